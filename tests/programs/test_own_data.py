"""A person's own data that are not right: one line, and nothing written."""

import re

import numpy as np
import PIL.Image
import pytest

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (80, 8, 8, 1)).astype(np.uint8)
LABELS = np.arange(80) % 4


@pytest.fixture
def audit(start, tiny, tmp_path):
  """`audit(source, path)` of the tiny config, and its workdir."""

  def run(source, path, *arguments):
    workdir = tmp_path / "run"
    given = [f"--config.dataset={source}", f"--data_dir={path}", *arguments]
    ended = start(
      f"--config={tiny}", "--config.num_train=0", f"--workdir={workdir}", *given
    )
    return ended, workdir

  return run


def refused(outcome, pattern):
  ended, workdir = outcome
  assert ended.code == 2, ended
  assert ended.err.count("\n") == 1, ended.err
  assert re.search(pattern, ended.err), ended.err
  assert not workdir.exists()


def npz(folder, **changes):
  arrays = dict(
    train_images=IMAGES,
    train_labels=LABELS,
    test_images=IMAGES,
    test_labels=LABELS,
  )
  np.savez(folder / "own.npz", **arrays | changes)
  return folder / "own.npz"


@pytest.mark.parametrize(
  ("labels", "pattern"),
  [
    (LABELS + 1, "dataset=npz: class 0 has no training images: .* subtract 1"),
    (
      np.where(np.arange(80) == 5, 255, LABELS),
      "classes 4, 5, 6 and 248 more have no training images",
    ),
    (
      np.where(np.arange(80) == 5, 2**31 - 1, LABELS),
      "classes 4, 5, 6 and 2147483640 more have no training images",
    ),
  ],
)
def test_labels_that_add_classes(audit, tmp_path, labels, pattern):
  path = npz(tmp_path, train_labels=labels, test_labels=labels)
  refused(audit("npz", path), pattern)


@pytest.mark.parametrize("name", ["lost+found", "__MACOSX"])
def test_a_folder_that_adds_a_class(audit, tmp_path, name):
  root = tmp_path / "images"
  for split in ("train", "test"):
    for kind in ("cat", "dog"):
      (root / split / kind).mkdir(parents=True)
      for i in range(4):
        path = root / split / kind / f"{i}.png"
        PIL.Image.fromarray(IMAGES[i, ..., 0]).save(path)
  (root / "train" / name).mkdir()
  refused(
    audit("folder", root),
    re.escape(
      f"train/{name}: a class without training images, beside 8 images"
    ),
  )


@pytest.mark.parametrize(
  ("fact", "value", "pattern"),
  [
    ("mean", 125.3, r"mean=\(125\.3,\): must be in \[0, 1\].*by 255"),
    ("std", 63.0, r"std=\(63\.0,\): must be in \(0, 1\].*by 255"),
  ],
)
def test_facts_of_another_scale(audit, tmp_path, fact, value, pattern):
  refused(audit("npz", npz(tmp_path, **{fact: np.array([value])})), pattern)


def test_a_module_whose_mean_is_of_another_scale(audit, tmp_path):
  path = tmp_path / "mine.py"
  path.write_text(
    "import numpy as np\nfrom syndata_jax.data import Dataset\n"
    "def load(data_dir):\n  i = np.zeros((4, 8, 8, 1), 'u1')\n"
    "  y = np.array([0, 1, 0, 1], 'i4')\n"
    "  return Dataset('toy', i, y, i, y, 2, (125.3,), (0.5,), True)\n"
  )
  refused(
    audit(path, tmp_path), r"mine\.py': .*mean=\(125\.3,\): must be in \["
  )


def test_a_subset_without_a_class(audit, tmp_path):
  refused(
    audit("npz", npz(tmp_path), "--config.num_train=3"),
    "num_train=3: seed=0 draws no image of class [0-3]: must be larger",
  )


def test_what_is_not_read_of_a_file_is_said(audit, tmp_path):
  """A file of MedMNIST passes; the audit ends at the next mistake."""
  path = npz(
    tmp_path,
    train_images=IMAGES[..., 0],
    train_labels=LABELS[:, None],
    val_images=IMAGES[:3, ..., 0],
    val_labels=LABELS[:3, None],
    test_labels=LABELS[:, None],
    test_images=IMAGES[..., 0],
  )
  ended, _ = audit("npz", path, "--config.num_train=81")
  warning, refusal = ended.err.splitlines()
  assert "own.npz: val_images, val_labels left out: an audit reads" in warning
  assert "num_train=81: must be 0 (all) to 80" in refusal
