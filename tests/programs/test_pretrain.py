"""syndata-pretrain: what it writes, how it continues, what it refuses."""

import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import PIL.Image
import pytest
from rich.console import Console

from syndata_jax.data import class_images
from syndata_jax.diffusion.base import digests, load
from syndata_jax.ensemble.data_axis import make_data_axis
from syndata_jax.programs import pretrain
from syndata_jax.programs.pretraining import Pretraining, from_config
from syndata_jax.programs.workdir import read_metrics

_CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
SHAPE, CLASSES = (4, 4, 1), 2
OPTIONS = {
  "image_shape": SHAPE,
  "num_classes": CLASSES,
  "crops_per_class": 20,
  "width": 4,
  "multipliers": (1,),
  "attention": (),
  "diffusion_epochs": 3,
  "diffusion_batch": 16,
  "checkpoint_every": 1,
}
_TINY = f"""
from syndata_jax.programs.pretraining import defaults


def get_config():
  config = defaults()
  config.update({OPTIONS!r})
  return config
"""


@pytest.fixture(scope="module")
def public(tmp_path_factory):
  """A config file."""
  path = tmp_path_factory.mktemp("configs") / "public.py"
  path.write_text(_TINY)
  return path


@pytest.fixture(scope="module")
def start(start_pretraining):
  return start_pretraining


@pytest.fixture(scope="module")
def finished(start, public, tmp_path_factory):
  folder = tmp_path_factory.mktemp("bases") / "finished"
  ended = start(f"--config={public}", f"--out={folder}")
  assert ended.code == 0, ended.err
  return folder


@pytest.mark.slow
def test_the_folder_is_a_base(finished, start, public):
  base = load(finished, SHAPE, CLASSES)
  assert base.facts["source"] == "photographs"
  assert base.facts["images"] == 40 and base.facts["epochs"] == 3
  assert base.facts["devices"] == 8
  assert np.isfinite(base.facts["loss"]) and base.facts["seconds"] > 0
  images, _ = class_images("photographs", SHAPE, CLASSES, None, 20)
  np.testing.assert_array_equal(base.seen, digests(images))
  with PIL.Image.open(finished / "samples.png") as sheet:
    assert np.asarray(sheet).std() > 0
  metrics = (finished / "metrics.jsonl").read_text().splitlines()
  assert [json.loads(line)["number"] for line in metrics] == [1, 2, 3]
  before = (finished / "base.json").read_bytes()
  assert start(f"--config={public}", f"--out={finished}")[0] == 0
  assert (finished / "base.json").read_bytes() == before


@pytest.mark.slow
def test_killed_in_the_middle(start, public, finished, cache, tmp_path):
  out = tmp_path / "killed"
  arguments = [f"--config={public}", f"--out={out}"]
  environment = os.environ | {
    "XDG_CACHE_HOME": str(cache),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
  }
  process = subprocess.Popen(
    [sys.executable, "-m", "syndata_jax.programs.pretrain", *arguments],
    env=environment,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  checkpoints = out / "pretraining"
  try:
    while process.poll() is None and not any(checkpoints.glob("*.sha256")):
      time.sleep(0.005)
  finally:
    process.kill()
  assert process.wait() == -signal.SIGKILL
  assert not (out / "base.json").exists()
  ended = start(*arguments)
  assert ended.code == 0, ended.err
  whole = (finished / "params.npz").read_bytes()
  assert (out / "params.npz").read_bytes() == whole


@pytest.mark.slow
def test_one_device_learns_what_eight_do(finished, tmp_path, monkeypatch):
  """Sums over a batch have another order, and nothing else differs.

  Adam makes steps of the rate of gradients that are rounding alone (a bias
  before a norm), so that a few parameters differ by more than the others.
  """
  one = lambda batch: make_data_axis(batch, jax.devices()[:1])
  monkeypatch.setattr(pretrain, "make_data_axis", one)
  settings = Pretraining(**OPTIONS)
  images = class_images("photographs", SHAPE, CLASSES, None, 20)
  pretrain.pretrain(
    settings, images, str(tmp_path / "one"), Console(quiet=True)
  )
  alone, together = (
    load(folder, SHAPE, CLASSES) for folder in (tmp_path / "one", finished)
  )
  assert alone.facts["devices"] == 1
  losses = [
    [record["loss"] for record in read_metrics(folder)]
    for folder in (tmp_path / "one", finished)
  ]
  np.testing.assert_allclose(*losses, rtol=1e-5)
  leaves = [jax.tree.leaves(base.params) for base in (alone, together)]
  flat = [np.concatenate([a.ravel() for a in arrays]) for arrays in leaves]
  assert np.quantile(abs(flat[0] - flat[1]), 0.9) < 1e-6


@pytest.mark.parametrize(
  ("dataset", "shape", "arguments"),
  [
    ("digits", (8, 8, 1), ["fashion_mnist", "photographs"]),
    ("fashion_mnist", (28, 28, 1), ["digits", "photographs", "cinic10"]),
  ],
)
def test_every_pretraining_of_the_configs_is_allowed(dataset, shape, arguments):
  module = runpy.run_path(str(_CONFIGS / dataset / "pretrain.py"))
  for argument in arguments:
    settings = from_config(module["get_config"](argument))
    assert settings.image_shape == shape
    # Never the data set that it is to stand beside.
    assert settings.source == argument != dataset
  assert module["get_config"]().source == arguments[0]
  with pytest.raises(ValueError, match="config argument"):
    module["get_config"](dataset)


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
def test_bad_input(start, public, tmp_path, argument, expected):
  out = tmp_path / "base"
  code, _, err = start(f"--config={public}", f"--out={out}", *argument.split())
  assert code == 2 and err.count("\n") == 1
  assert expected in err
  assert not out.exists()


@pytest.mark.slow
def test_another_run_in_the_folder(start, public, finished, tmp_path):
  code, _, err = start(
    f"--config={public}", f"--out={finished}", "--config.seed=4"
  )
  assert code == 2 and f"--out={finished}: holds another run" in err
  assert "seed is 0 there and 4 here" in err
  (tmp_path / "notes.txt").write_text("mine")
  code, _, err = start(f"--config={public}", f"--out={tmp_path}")
  assert code == 2 and f"--out={tmp_path}: holds files" in err
