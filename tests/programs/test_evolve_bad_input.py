"""syndata-evolve: what it refuses, and what is kept if something fails."""

import json

import evolving
import numpy as np
import pytest

from syndata_jax.evolution import state
from syndata_jax.privacy import Ledger


@pytest.fixture(scope="module")
def start(start_evolution, tmp_path_factory):
  config = tmp_path_factory.mktemp("configs") / "evolve.py"
  config.write_text(evolving.CONFIG)

  def run(out, *arguments):
    return start_evolution(f"--config={config}", f"--out={out}", *arguments)

  return run


def refused(ended, expected):
  assert ended.code == 2, ended
  assert ended.err.count("\n") == 1, ended.err
  assert expected in ended.err, ended.err


def stored(folder):
  """Arrays of the state, and its head."""
  with np.load(folder / state.FILE) as archive:
    arrays = dict(archive)
  return arrays, json.loads(arrays["head"].tobytes())


class TestFailures:
  """A generator on the host that fails: what was paid for is kept."""

  @pytest.fixture
  def fault(self, tmp_path, monkeypatch):
    path = tmp_path / "fault"
    monkeypatch.setenv(evolving.FAULT, str(path))
    return path

  @pytest.mark.parametrize(
    ("kind", "said"),
    [
      ("fails", "variation failed (RuntimeError: out of ink)"),
      ("hangs", "variation gave no answer in 1.5 seconds"),
    ],
  )
  def test_is_one_line_and_goes_on(self, start, fault, tmp_path, kind, said):
    plain = ["--config.look_ahead=0", "--config.api_seconds=1.5"]
    fault.write_text(kind)
    ended = start(tmp_path / "out", *plain)
    refused(ended, f"api=HostDots: {said}")
    assert not (tmp_path / "out" / "release").exists()
    arrays, head = stored(tmp_path / "out")
    paid = arrays["noisy_000"].copy()
    assert len(head["noises"]) == 1
    fault.write_text("")
    ended = start(tmp_path / "out", *plain)
    assert ended.code == 0, ended.err
    arrays, head = stored(tmp_path / "out")
    np.testing.assert_array_equal(arrays["noisy_000"], paid)
    ledger = Ledger.from_dict(head["ledger"])
    assert len(ledger.releases) == evolving.ITERATIONS
    assert ledger.epsilon() <= evolving.EPSILON * (1 + 1e-9)


@pytest.mark.parametrize(
  ("argument", "expected"),
  [
    ("--out=", "--out: name the folder of the release"),
    ("--config=", "no such file"),
    ("--config.num_epochs=3", "config field num_epochs: must be one of"),
    ("--config.epsilon=0", "exactly one must be above 0"),
    (
      "--config.epsilon=1 --config.noise_multiplier=2",
      "exactly one must be above 0",
    ),
    ("--config.epsilon=nan", "epsilon=nan: must be finite"),
    ("--config.delta=0.5", "delta=0.5: must be at most"),
    ("--config.num_iterations=0", "num_iterations=0: must be"),
    ("--config.num_classes=5", "num_classes=5: digits has labels beyond"),
    ("--config.class_fractions=(1.0,2.0)", "must be 10 numbers"),
    ("--config.degrees=(0.5,)", "must be 2 numbers, one an iteration"),
    ("--config.nearest=5", "nearest=5: must be in [1, 4]"),
    ("--config.seed=-2", "seed=-2: must be -1"),
    ("--config.tuning=maybe", "tuning='maybe': must be one of"),
    ("--config.records=music", "records='music': must be one of images"),
    ("--config.api=brush", "api='brush': must be one of"),
    ("--config.embedding=taste", "embedding='taste': must be one of"),
    ("--config.start_check_share=1.0", "start_check_share=1.0: must be in"),
    (
      "--config.class_shares=private --config.counts_share=0.6"
      " --config.start_check_share=0.5",
      "shares=1.1: must be in (0, 1)",
    ),
    ("--config.api=pool --config.pool=digits", "of the private images"),
    ("--config.dataset=npz", "data_dir=None: dataset=npz needs the .npz file"),
  ],
)
def test_bad_input(start, tmp_path, argument, expected):
  out = tmp_path / "out"
  refused(start(out, *argument.split()), expected)
  assert not out.exists()


def test_a_generator_with_wrong_shapes(start, tmp_path):
  path = tmp_path / "wrong.py"
  path.write_text(
    "import jax.numpy as jnp\n"
    "from syndata_jax.evolution.api import Api\n\n"
    "class Wrong(Api):\n"
    "  def random(self, key, labels):\n"
    "    return jnp.zeros((3, 8, 8, 1), jnp.uint8)\n\n"
    "def make(image_shape, num_classes, options):\n"
    "  return Wrong()\n"
  )
  refused(
    start(tmp_path / "out", f"--config.api={path}"),
    "api=Wrong: random gave arrays of shapes [(3, 8, 8, 1)]",
  )
  assert not (tmp_path / "out" / "release").exists()
  assert not (tmp_path / "out" / state.FILE).exists()
