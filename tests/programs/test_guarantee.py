"""The audit checks what DP-SGD promises, and known bugs do not pass."""

import dataclasses
import json
import math
import re

import dp_accounting
import jax
import jax.numpy as jnp
import pytest

from syndata_jax.errors import UserError
from syndata_jax.privacy import PrivacyStatement, Release, SubsampledGaussian
from syndata_jax.programs import guarantee

# Nothing hides what the networks memorise: few examples, nearly full batches,
# many steps, no augmentation, the last parameters.
_PRIVATE = """
from syndata_jax.programs.settings import defaults


def get_config():
  config = defaults("dpsgd")
  config.paradigm = "dpsgd"
  config.dataset = "digits"
  config.model = "convnet"
  config.model_options = {"width": 16, "depth": 1}
  config.schedule = "cosine"
  config.weight_decay = 0.0
  config.augment = False
  config.epsilon = 0.3
  config.delta = 1e-4
  config.augmentation_multiplicity = 1
  config.ema_decay = 0.0
  config.performance.checkpoint_every = 1000
  return config
"""
_SHADOWS = dict(
  num_models=8,
  num_train=120,
  num_canaries=60,
  batch_size=45,
  num_epochs=50,
  clip_norm=10.0,
  learning_rate=0.2,
)
_ONE_RUN = dict(
  audit="one_run",
  num_train=250,
  num_canaries=100,
  batch_size=190,
  num_epochs=120,
  clip_norm=2.0,
  learning_rate=0.8,
)


@pytest.fixture(scope="module")
def private(tmp_path_factory):
  path = tmp_path_factory.mktemp("configs") / "private.py"
  path.write_text(_PRIVATE)
  return path


@pytest.fixture(scope="module")
def audit(start, private):
  def run(workdir, **fields):
    overrides = [f"--config.{name}={value}" for name, value in fields.items()]
    return start(f"--config={private}", f"--workdir={workdir}", *overrides)

  return run


@pytest.fixture(scope="module")
def honest(audit, tmp_path_factory):
  """One model, with all its noise."""
  workdir = tmp_path_factory.mktemp("runs") / "honest"
  ended = audit(workdir, **_ONE_RUN)
  assert ended.code == 0, ended.err
  return workdir, ended


def _claim_and_bound(workdir):
  found = json.loads((workdir / "attack.json").read_text())
  return json.loads((workdir / "privacy.json").read_text()), found[
    "epsilon_bound"
  ]


def _single_spaced(text):
  return " ".join(text.split())


def test_the_guarantee_is_stated_and_the_claim_reported(honest):
  workdir, ended = honest
  stated, bound = _claim_and_bound(workdir)
  assert stated["epsilon"] == pytest.approx(0.3, rel=1e-3)
  assert stated["epsilon"] <= 0.3 < stated["replace_one_epsilon"]
  (release,) = stated["releases"]
  assert release["event"]["count"] == 120
  assert release["event"]["event"]["sampling_probability"] == 190 / 200
  assert any("clip norm 2" in line for line in release["details"])
  assert bound["delta"] == stated["delta"] == 1e-4
  report = _single_spaced((workdir / "report.txt").read_text())
  assert report in _single_spaced(ended.out)
  for line in guarantee.stated(workdir).lines():
    assert line in report
  row = report.split("one example added or removed ")[1].split()
  shown = pytest.approx([0.3, bound["epsilon"], bound["largest"]], rel=1e-3)
  assert [float(cell) for cell in row[:3]] == shown
  assert ended.err == ""


def test_a_resumed_run_keeps_its_guarantee(honest, audit):
  workdir, _ = honest
  path = workdir / "privacy.json"
  before = path.read_text()
  there = json.loads(before)
  # Another version of the accounting, a little off in the last digits.
  path.write_text(
    json.dumps(there | {"epsilon": there["epsilon"] * (1 + 1e-9)})
  )
  assert audit(workdir, **_ONE_RUN).code == 0
  changed = json.loads(before)
  changed["releases"][0]["event"]["count"] = 2
  changed["releases"][0]["details"] = ["in other words"]
  changed["scope"] = "everything"
  path.write_text(json.dumps(changed))
  ended = audit(workdir, **_ONE_RUN)
  assert ended.code == 2
  assert ended.err.count("\n") == 1
  assert str(path) in ended.err
  assert "releases[0].event.count is 2 there and 120 here" in ended.err
  assert "scope is 'everything' there" in ended.err
  assert "noise_multiplier" not in ended.err
  assert "details" not in ended.err
  for earlier in ({}, {"mechanism": "DP-SGD", "steps": 120, "epsilon": 0.3}):
    path.write_text(json.dumps(earlier))
    ended = audit(workdir, **_ONE_RUN)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert f"{path}: a privacy statement of version None" in ended.err
  path.unlink()
  assert audit(workdir, **_ONE_RUN).code == 0
  assert path.read_text() == before


def _statement(**changes):
  silent = Release("m", "model", dp_accounting.NonPrivateDpEvent())
  fields = dict(
    releases=(silent,),
    epsilon=math.inf,
    replace_one_epsilon=math.inf,
    delta=1e-5,
    public=("a", "b"),
  )
  return PrivacyStatement(**(fields | changes))


def _votes(noise):
  event = dp_accounting.GaussianDpEvent(noise)
  return Release("votes", "counts", event, (f"noise: {noise:.4g}",), 10)


def test_a_statement_without_a_finite_epsilon_comes_back(tmp_path):
  guarantee.state(tmp_path, _statement())
  json.loads(
    (tmp_path / "privacy.json").read_text(), parse_constant=pytest.fail
  )
  assert guarantee.stated(tmp_path) == _statement()


def test_other_releases_are_another_guarantee(tmp_path):
  votes = _votes(20.0)
  guarantee.state(tmp_path, _statement(releases=(votes,)))
  # The noise was solved for elsewhere: another last digit, in its words too.
  near = dataclasses.replace(_votes(20.0 * (1 + 1e-9)), details=("noise: 20",))
  guarantee.state(tmp_path, _statement(releases=(near,)))
  assert guarantee.stated(tmp_path).releases[0] == votes
  with pytest.raises(UserError, match=r"releases\[0\]\.event\.noise_mult"):
    guarantee.state(tmp_path, _statement(releases=(_votes(21.0),)))
  with pytest.raises(UserError, match="num_releases is 10 there and 20 here"):
    guarantee.state(tmp_path, _statement(releases=(votes, votes)))
  with pytest.raises(UserError, match="another guarantee") as caught:
    guarantee.state(tmp_path, None)
  assert "\n" not in str(caught.value)


def test_a_run_without_a_guarantee_states_nothing(tmp_path, finished):
  guarantee.state(tmp_path, None)
  assert list(tmp_path.iterdir()) == []
  assert guarantee.stated(tmp_path) is None
  assert not (finished.workdir / "privacy.json").exists()
  found = json.loads((finished.workdir / "attack.json").read_text())
  assert found["epsilon_bound"]["delta"] == 1e-5
  assert "none" in finished.ended.out.split("one example replaced")[1]


def _assert_broken(ended, workdir, factor=1.5):
  stated, bound = _claim_and_bound(workdir)
  claim = stated[
    "replace_one_epsilon" if bound["neighbours"] == "replace_one" else "epsilon"
  ]
  assert bound["epsilon"] > factor * claim
  assert ended.code == 3
  assert ended.err.startswith("syndata-audit: guarantee broken: epsilon is at")
  assert ended.err.count("\n") == 1
  shown = re.search(r"above the claimed ([\d.]+) \((\w+),", ended.err)
  assert shown[2] == bound["neighbours"]
  assert claim <= float(shown[1]) < 1.001 * claim
  report = _single_spaced((workdir / "report.txt").read_text())
  assert "The guarantee is broken: epsilon is at least" in report
  assert report in _single_spaced(ended.out)


@pytest.mark.slow
def test_forgotten_noise_is_found(audit, tmp_path, monkeypatch):
  monkeypatch.setattr(
    SubsampledGaussian,
    "noise",
    lambda self, key, tree: jax.tree.map(jnp.zeros_like, tree),
  )
  ended = audit(tmp_path / "run", **_SHADOWS)
  _, bound = _claim_and_bound(tmp_path / "run")
  assert bound["neighbours"] == "replace_one"
  # Of each pair a random half of the models.
  assert bound["coins"] == 4 * 30
  _assert_broken(ended, tmp_path / "run")
  # It stays broken, however often one looks.
  _assert_broken(audit(tmp_path / "run", **_SHADOWS), tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("claim", [2.5, 8.0, 13.7])
def test_a_claim_without_noise_is_broken_or_not_refutable(
  audit, tmp_path, monkeypatch, claim
):
  """Every claim is of no value; the report must not call one checked."""
  monkeypatch.setattr(
    SubsampledGaussian,
    "noise",
    lambda self, key, tree: jax.tree.map(jnp.zeros_like, tree),
  )
  fields = _SHADOWS | dict(num_models=16, num_epochs=100, epsilon=claim / 2.2)
  workdir = tmp_path / "run"
  ended = audit(workdir, **fields)
  stated, bound = _claim_and_bound(workdir)
  assert stated["replace_one_epsilon"] == pytest.approx(claim, rel=0.2)
  if claim == 2.5:
    _assert_broken(ended, workdir, factor=1.1)
    return
  assert ended.code == 0
  assert bound["largest"] < stated["replace_one_epsilon"]
  report = _single_spaced((workdir / "report.txt").read_text())
  assert "is not refutable at this size" in report
  assert report in _single_spaced(ended.out)


@pytest.mark.slow
def test_noise_for_the_mean_on_the_sum_is_found(audit, tmp_path, monkeypatch):
  """The sensitivity is off by the batch size."""
  right = SubsampledGaussian.noise

  def wrong(self, key, tree):
    noise = right(self, key, tree)
    return jax.tree.map(lambda leaf: leaf / self.expected_batch, noise)

  monkeypatch.setattr(SubsampledGaussian, "noise", wrong)
  ended = audit(tmp_path / "run", **_ONE_RUN)
  _, bound = _claim_and_bound(tmp_path / "run")
  assert bound["neighbours"] == "add_or_remove_one"
  assert bound["coins"] == 100
  _assert_broken(ended, tmp_path / "run")


@pytest.mark.slow
def test_the_same_shadows_pass_with_their_noise(audit, tmp_path):
  ended = audit(tmp_path / "run", **_SHADOWS)
  assert ended.code == 0, ended.err
  assert "broken" not in ended.out
