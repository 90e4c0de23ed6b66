"""syndata-pretrain: what it writes, how it continues, what it refuses."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest
from absl.testing import flagsaver

from syndata_jax.data import class_images
from syndata_jax.data.training_set import named_leaves
from syndata_jax.diffusion.base import digests, load
from syndata_jax.programs import pretrain

SHAPE, CLASSES = (4, 4, 1), 2
_TINY = """
from syndata_jax.programs.pretraining import defaults


def get_config():
  config = defaults()
  config.image_shape = (4, 4, 1)
  config.num_classes = 2
  config.crops_per_class = 20
  config.width = 4
  config.multipliers = (1,)
  config.attention = ()
  config.diffusion_epochs = 3
  config.diffusion_batch = 16
  config.checkpoint_every = 1
  return config
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
  return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
  path = tmp_path_factory.mktemp("configs") / "tiny.py"
  path.write_text(_TINY)
  return path


@pytest.fixture(scope="module")
def start(cache):
  """`start(*arguments)`: exit code, standard output and standard error."""

  def run(*arguments):
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
      pytest.MonkeyPatch.context() as patch,
      flagsaver.flagsaver(),
      contextlib.redirect_stdout(out),
      contextlib.redirect_stderr(err),
    ):
      patch.setattr(sys, "argv", ["syndata-pretrain", *map(str, arguments)])
      patch.setenv("COLUMNS", "100")
      patch.setenv("XDG_CACHE_HOME", str(cache))
      patch.delitem(sys.modules, "config_config", raising=False)
      try:
        pretrain.run()
      except SystemExit as end:
        code = end.code
    return code, out.getvalue(), err.getvalue()

  return run


@pytest.fixture(scope="module")
def finished(start, tiny, tmp_path_factory):
  folder = tmp_path_factory.mktemp("bases") / "finished"
  code, _, err = start(f"--config={tiny}", f"--out={folder}")
  assert code == 0, err
  return folder


def params(folder):
  return dict(named_leaves(load(folder, SHAPE, CLASSES).params))


def test_the_folder_is_a_base(finished, start, tiny):
  base = load(finished, SHAPE, CLASSES)
  assert base.facts["source"] == "photographs"
  assert base.facts["images"] == 40 and base.facts["epochs"] == 3
  assert base.facts["devices"] == 8
  assert np.isfinite(base.facts["loss"]) and base.facts["seconds"] > 0
  public = class_images("photographs", SHAPE, CLASSES, None, 20)
  np.testing.assert_array_equal(base.seen, digests(public.images))
  with PIL.Image.open(finished / "samples.png") as sheet:
    assert np.asarray(sheet).std() > 0
  metrics = (finished / "metrics.jsonl").read_text().splitlines()
  assert [json.loads(line)["number"] for line in metrics] == [1, 2, 3]
  before = (finished / "base.json").read_bytes()
  assert start(f"--config={tiny}", f"--out={finished}")[0] == 0
  assert (finished / "base.json").read_bytes() == before


def test_killed_in_the_middle(start, tiny, finished, cache, tmp_path):
  out = tmp_path / "killed"
  arguments = [f"--config={tiny}", f"--out={out}"]
  environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
  process = subprocess.Popen(
    [sys.executable, "-m", "syndata_jax.programs.pretrain", *arguments],
    env=environment,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  try:
    while process.poll() is None and not any(out.glob("pretraining/*.sha256")):
      time.sleep(0.005)
  finally:
    process.kill()
  assert process.wait() == -signal.SIGKILL
  assert not (out / "base.json").exists()
  code, _, err = start(*arguments)
  assert code == 0, err
  whole = (finished / "params.npz").read_bytes()
  assert (out / "params.npz").read_bytes() == whole


def test_one_device_learns_what_eight_do(finished, tiny, cache, tmp_path):
  """Sums over the batch have another order, and nothing else differs."""
  flags = "--xla_force_host_platform_device_count=1"
  environment = os.environ | {
    "XDG_CACHE_HOME": str(cache),
    "XLA_FLAGS": " ".join([os.environ["XLA_FLAGS"], flags]),
  }
  out = tmp_path / "one"
  subprocess.run(
    [sys.executable, "-m", "syndata_jax.programs.pretrain"]
    + [f"--config={tiny}", f"--out={out}"],
    env=environment,
    check=True,
    stdout=subprocess.DEVNULL,
  )
  assert load(out, SHAPE, CLASSES).facts["devices"] == 1
  one, eight = params(out), params(finished)
  for name, array in eight.items():
    np.testing.assert_allclose(one[name], array, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
  ("argument", "expected"),
  [
    ("--out=", "--out: name the folder"),
    ("--config=", "no such file"),
    ("--config.sourc=digits", "config field sourc: must be one of"),
    ("--config.source=mnist", "source='mnist': must be one of"),
    ("--config.num_models=4", "config field num_models: must be one of"),
    ("--config.diffusion_batch=999", "diffusion_batch=999: must not exceed"),
    ("--config.source=cinic10", "data_dir=None: must be the folder"),
    ("--config.num_classes=7 --config.source=digits", "must have 7"),
    ("--config.image_shape=(4,4,2)", "C 1 or 3"),
    ("--config.seed=-1", "seed=-1: must be"),
    ("--config.precision=float64", "precision='float64': must be one of"),
    ("--config.diffusion_epochs=0", "diffusion_epochs=0: must be"),
  ],
)
def test_bad_input(start, tiny, tmp_path, argument, expected):
  out = tmp_path / "base"
  code, _, err = start(f"--config={tiny}", f"--out={out}", *argument.split())
  assert code == 2 and err.count("\n") == 1
  assert expected in err
  assert not out.exists()


def test_another_run_in_the_folder(start, tiny, finished, tmp_path):
  code, _, err = start(
    f"--config={tiny}", f"--out={finished}", "--config.seed=4"
  )
  assert code == 2 and f"--out={finished}: holds another run" in err
  assert "seed is 0 there and 4 here" in err
  (tmp_path / "notes.txt").write_text("mine")
  code, _, err = start(f"--config={tiny}", f"--out={tmp_path}")
  assert code == 2 and f"--out={tmp_path}: holds files" in err
