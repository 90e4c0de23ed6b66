"""syndata-evolve: what it leaves, how it continues, what it refuses."""

import io
import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import time
import zipfile

import evolving
import numpy as np
import PIL.Image
import pytest

from syndata_jax import data
from syndata_jax.evolution import state
from syndata_jax.privacy import PrivacyStatement
from syndata_jax.programs import release, secret
from syndata_jax.programs.evolving import defaults, from_config


@pytest.fixture(scope="module")
def config(tmp_path_factory):
  path = tmp_path_factory.mktemp("configs") / "evolve.py"
  path.write_text(evolving.CONFIG)
  return path


@pytest.fixture(scope="module")
def start(start_evolution, config):
  def run(out, *arguments):
    return start_evolution(f"--config={config}", f"--out={out}", *arguments)

  return run


@pytest.fixture(scope="module")
def finished(start, tmp_path_factory):
  folder = tmp_path_factory.mktemp("evolutions") / "finished"
  ended = start(folder)
  assert ended.code == 0, ended.err
  return folder, ended


def private():
  dataset = data.subset(data.load("digits"), evolving.RECORDS, 0)
  return dataset.train_images, dataset.train_labels


def released(folder):
  with np.load(folder / "release" / "images.npz") as archive:
    return dict(archive)


def stored(folder):
  """Arrays of the state, and its head."""
  with np.load(folder / state.FILE) as archive:
    arrays = dict(archive)
  return arrays, json.loads(arrays["head"].tobytes())


def contents(folder):
  """Every file's bytes, and those of the members of archives, by path."""
  found = {}
  for path in folder.rglob("*"):
    if not path.is_file():
      continue
    found[str(path)] = path.read_bytes()
    if zipfile.is_zipfile(path):
      with zipfile.ZipFile(io.BytesIO(found[str(path)])) as archive:
        for name in archive.namelist():
          found[f"{path}:{name}"] = archive.read(name)
  return found


def refused(ended, expected):
  assert ended.code == 2, ended
  assert ended.err.count("\n") == 1, ended.err
  assert expected in ended.err, ended.err


def test_the_folder_has_the_set_its_guarantee_and_pictures(finished):
  folder, ended = finished
  arrays = released(folder)
  assert arrays["images"].shape == (evolving.SAMPLES, 8, 8, 1)
  assert arrays["images"].dtype == np.uint8
  assert arrays["labels"].dtype == np.int32
  assert np.bincount(arrays["labels"]).tolist() == [4] * evolving.CLASSES
  statement = PrivacyStatement.from_dict(
    json.loads((folder / "release" / "privacy.json").read_text())
  )
  assert statement.epsilon == pytest.approx(evolving.EPSILON, rel=1e-6)
  assert statement.epsilon <= evolving.EPSILON * (1 + 1e-9)
  assert statement.replace_one_epsilon > evolving.EPSILON
  assert statement.num_releases == evolving.ITERATIONS
  assert statement.delta == pytest.approx(
    1 / (evolving.RECORDS * np.log(evolving.RECORDS))
  )
  assert "a test card" in statement.public
  assert any("declared to be equal" in line for line in statement.public)
  assert statement.unit == "one record, an image with its label"
  assert statement.tuning == "unaccounted"
  assert any("seed" in line for line in statement.assumptions)
  assert "epsilon 5 at delta" in ended.out
  for name in ("progress.png", "samples.png"):
    with PIL.Image.open(folder / name) as picture:
      assert np.asarray(picture.convert("L")).std() > 0
  assert sorted(path.name for path in folder.iterdir()) == [
    "config.json",
    "evolution.npz",
    "progress.png",
    "release",
    "samples.png",
  ]
  mode = stat.S_IMODE((folder / "evolution.npz").stat().st_mode)
  assert mode == 0o600


def test_a_finished_one_is_not_done_again(finished, start):
  folder, first = finished
  before = {
    p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.iterdir()
  }
  again = start(folder)
  assert again.code == 0, again.err
  assert {
    p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.iterdir()
  } == before
  assert again.out.splitlines()[-1] == first.out.splitlines()[-1]
  assert "round" not in again.out


def test_another_config_is_refused(finished, start):
  folder, _ = finished
  refused(
    start(folder, "--config.num_iterations=3"),
    f"--out={folder}: holds another run (num_iterations is 2 there and 3 here)",
  )
  refused(start(folder, "--config.num_train=151"), "num_records is 150 there")


def test_nothing_private_is_in_any_file(finished):
  """Images of members, their labels, counts of classes, clean histograms."""
  folder, _ = finished
  images, labels = private()
  _, head = stored(folder)
  assert len(head["noises"]) == evolving.ITERATIONS
  forbidden = {
    f"image {i} {kind.__name__}": (image / scale).astype(kind).tobytes()
    for i, image in enumerate(images)
    for kind, scale in ((np.uint8, 1), (np.float32, 255), (np.float32, 1))
    if image.any()
  }
  counts = np.bincount(labels, minlength=evolving.CLASSES)
  secrets = {
    "labels": labels,
    "sorted labels": np.sort(labels),
    "counts": counts,
  }
  secrets |= {f"histogram {t}": h for t, h in clean(folder, images, labels)}
  kinds = (np.int32, np.int64, np.float32, np.float64, np.uint8)
  for name, array in secrets.items():
    for kind in kinds:
      forbidden[f"{name} {kind.__name__}"] = array.astype(kind).tobytes()
    forbidden[f"{name} in JSON"] = json.dumps(array.tolist()).encode()
    plain = " ".join(str(int(each)) for each in array).encode()
    forbidden[f"{name} in words"] = plain
  every = contents(folder)
  assert len(every) > 10
  for path, content in every.items():
    for name, pattern in forbidden.items():
      assert pattern not in content, (path, name)


def clean(folder, images, labels):
  """The last clean histogram, by brute force from the stored candidates."""
  arrays, _ = stored(folder)
  noisy = arrays[f"noisy_{evolving.ITERATIONS - 1:03}"]
  leaves = [arrays[f"population_{i:03}"] for i in range(3)]
  samples, classes = leaves[0], leaves[1]
  # Without look-ahead it would be this; the noise is large enough to see that
  # what is stored is neither this nor near it.
  points = np.round(255 * samples) / 255
  records = images.reshape(len(images), -1) / 255
  far = ((records[:, None] - points[None]) ** 2).sum(2)
  far[labels[:, None] != classes[None]] = np.inf
  histogram = np.bincount(far.argmin(1), minlength=len(points))
  assert (noisy != np.round(noisy)).all()  # noise on every bin
  return [(evolving.ITERATIONS - 1, histogram)]


@pytest.mark.slow
def test_stored_votes_are_the_clean_ones_with_noise(start, tmp_path):
  """So that the test above looks for the right histogram."""
  ended = start(tmp_path / "plain", "--config.look_ahead=0")
  assert ended.code == 0, ended.err
  images, labels = private()
  ((_, histogram),) = clean(tmp_path / "plain", images, labels)
  arrays, head = stored(tmp_path / "plain")
  rest = arrays[f"noisy_{evolving.ITERATIONS - 1:03}"] - histogram
  assert histogram.sum() == evolving.RECORDS and (histogram == 0).any()
  # Empty bins have noise as well.
  assert rest.std() == pytest.approx(head["noises"][-1], rel=0.4)
  assert (rest[histogram == 0] != 0).all()
  every = contents(tmp_path / "plain")
  for kind in (np.int32, np.int64, np.float32, np.float64):
    pattern = histogram.astype(kind).tobytes()
    assert not any(pattern in content for content in every.values())


def test_noise_none_gives_no_guarantee(start, tmp_path):
  ended = start(tmp_path / "endless", "--config.epsilon=inf")
  assert ended.code == 0, ended.err
  assert "no privacy guarantee" in ended.out
  fields = json.loads((tmp_path / "endless/release/privacy.json").read_text())
  assert fields["epsilon"] is None
  arrays, head = stored(tmp_path / "endless")
  noisy = arrays[f"noisy_{evolving.ITERATIONS - 1:03}"]
  assert (
    head["noises"] == [0.0] * evolving.ITERATIONS
    and noisy.sum() == evolving.RECORDS
  )


def test_a_secret_key_is_kept_until_the_end(start, tmp_path, monkeypatch):
  """Without a seed no two runs are the same, but a resumed one is."""
  folder = tmp_path / "secret"

  class Stopped(BaseException):
    pass

  def stop(*arguments):
    raise Stopped

  with monkeypatch.context() as patch:
    patch.setattr(release, "write", stop)
    with pytest.raises(Stopped):
      start(folder, "--config.seed=-1")
  path = folder / secret.FILE
  key = path.read_bytes()
  assert len(key) == 8 and stat.S_IMODE(path.stat().st_mode) == 0o600
  assert not (folder / "release").exists()
  assert start(folder, "--config.seed=-1").code == 0
  assert not path.exists()
  assert not any(key in content for content in contents(folder).values())
  again = tmp_path / "again"
  again.mkdir()
  (again / secret.FILE).write_bytes(key)
  (again / "config.json").write_bytes((folder / "config.json").read_bytes())
  assert start(again, "--config.seed=-1").code == 0
  other = tmp_path / "other"
  assert start(other, "--config.seed=-1").code == 0
  same, new = released(again)["images"], released(other)["images"]
  np.testing.assert_array_equal(released(folder)["images"], same)
  assert (new != same).any()


@pytest.mark.parametrize(
  ("saves", "before"),
  [
    (1, False),
    (2, True),
    pytest.param(1, True, marks=pytest.mark.slow),
    pytest.param(2, False, marks=pytest.mark.slow),
  ],
)
def test_it_goes_on_to_the_same_bits(
  start, finished, tmp_path, monkeypatch, saves, before
):
  """Stopped before or after one of the two releases was stored."""
  count, save = 0, state.save

  class Stopped(BaseException):
    pass

  def stopping(*arguments):
    nonlocal count
    count += 1
    if count == saves and before:
      raise Stopped
    save(*arguments)
    if count == saves:
      raise Stopped

  with monkeypatch.context() as patch:
    patch.setattr(state, "save", stopping)
    with pytest.raises(Stopped):
      start(tmp_path / "cut")
  assert not (tmp_path / "cut" / "release").exists()
  ended = start(tmp_path / "cut")
  assert ended.code == 0, ended.err
  folder, _ = finished
  for name in ("images.npz", "privacy.json"):
    there, here = (
      (each / "release" / name).read_bytes()
      for each in (folder, tmp_path / "cut")
    )
    assert there == here, name
  for name in ("evolution.npz", "samples.png", "progress.png"):
    assert (folder / name).read_bytes() == (
      tmp_path / "cut" / name
    ).read_bytes()


@pytest.mark.slow
def test_killed_in_the_middle(start, config, finished, cache, tmp_path):
  out = tmp_path / "killed"
  arguments = [f"--config={config}", f"--out={out}"]
  tests = pathlib.Path(__file__).parents[1]
  environment = os.environ | {
    "XDG_CACHE_HOME": str(cache),
    "PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}",
  }
  process = subprocess.Popen(
    [sys.executable, "-m", "syndata_jax.programs.evolve", *arguments],
    env=environment,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  try:
    while process.poll() is None and not (out / state.FILE).exists():
      time.sleep(0.002)
  finally:
    process.kill()
  assert process.wait() == -signal.SIGKILL
  assert not (out / "release" / "privacy.json").exists()
  assert start(out).code == 0
  folder, _ = finished
  np.testing.assert_array_equal(
    released(out)["images"], released(folder)["images"]
  )


def test_a_class_without_records_gets_noise_and_nothing_else(start, tmp_path):
  ended = start(tmp_path / "eleven", "--config.num_classes=11")
  assert ended.code == 0, ended.err
  arrays, head = stored(tmp_path / "eleven")
  last = arrays["noisy_000"][arrays["population_001"] == 10]
  assert len(last) == head["sizes"][10] == 3
  assert (last != 0).all() and abs(last).max() < 6 * head["noises"][0]


@pytest.mark.slow
def test_features_are_learned_from_random_samples_alone(start, tmp_path):
  arguments = ["--config.embedding=features", "--config.embedding_images=40"]
  ended = start(tmp_path / "features", *arguments)
  assert ended.code == 0, ended.err
  assert "learned from 40 random samples" in ended.out
  images, _ = private()
  patterns = [image.tobytes() for image in images if image.any()]
  for path, content in contents(tmp_path / "features").items():
    assert not any(pattern in content for pattern in patterns), path


def test_the_unset_of_epsilon_and_noise_gives_way():
  config = defaults("images")
  config.epsilon = 2.0
  config.noise_multiplier = 3.0
  settings = from_config(config, {"noise_multiplier"})
  assert settings.epsilon == 0 and settings.noise_multiplier == 3
