"""Releases add up, are paid for, and are not forgotten."""

import dataclasses
import json
import math

import dp_accounting
import pytest
from dp_accounting import pld
from hypothesis import given, settings
from hypothesis import strategies as st

from syndata_jax import privacy
from syndata_jax.errors import UserError
from syndata_jax.privacy import Ledger, Release


def _votes(noise=14.0, count=1, **fields):
  event = dp_accounting.GaussianDpEvent(noise)
  return Release("nearest neighbours", "counts", event, count=count, **fields)


def _training(rate=0.05, noise=1.5, steps=400, **fields):
  step = dp_accounting.PoissonSampledDpEvent(
    rate, dp_accounting.GaussianDpEvent(noise)
  )
  event = dp_accounting.SelfComposedDpEvent(step, steps)
  return Release("DP-SGD", "model", event, **fields)


def test_a_hybrid_against_dp_accounting():
  ledger = Ledger(1e-5)
  for _ in range(4):
    ledger = ledger.add(_votes(10.0))
  ledger = ledger.add(_training(delta=4e-6)).add(_votes(20.0, count=6))
  for neighbours in ("add_or_remove_one", "replace_one"):
    relation = dp_accounting.NeighboringRelation[neighbours.upper()]
    peer = pld.PLDAccountant(relation)
    peer.compose(dp_accounting.GaussianDpEvent(10.0), 4)
    peer.compose(_training().event)
    peer.compose(dp_accounting.GaussianDpEvent(20.0), 6)
    expected = peer.get_epsilon(6e-6)
    assert ledger.epsilon(neighbours) == pytest.approx(expected, rel=3e-4)
    # Delta is the training's own in part; without that, epsilon is less.
    assert ledger.epsilon(neighbours) > 1.005 * peer.get_epsilon(1e-5)


def test_votes_are_the_closed_form():
  """Five steps of noise 2 sqrt(2): published as 3.34; 4.98 when replaced."""
  noise = 2 * math.sqrt(2)
  release = _votes(noise, 5, replace_one_sensitivity=math.sqrt(2))
  ledger = Ledger(1e-5).add(release)
  for neighbours, sensitivity, published in (
    ("add_or_remove_one", 1, 3.34),
    ("replace_one", math.sqrt(2), 4.98),
  ):
    epsilon = ledger.epsilon(neighbours)
    assert epsilon == pytest.approx(published, abs=0.005)
    mu = sensitivity * math.sqrt(5) / noise
    assert privacy.gaussian_delta(epsilon, mu) == pytest.approx(1e-5, rel=1e-9)


def test_own_deltas_add_up_over_repetitions():
  ledger = (
    Ledger(1e-5).add(_votes(9.0, 4, delta=1e-6)).add(_votes(9.0, delta=2e-6))
  )
  spent = privacy.gaussian_delta(ledger.epsilon(), math.sqrt(5) / 9)
  assert spent == pytest.approx(4e-6, rel=1e-9)
  with pytest.raises(UserError, match=r"delta=1e-05: must be above 1\.6e-05"):
    ledger.add(_votes(delta=1e-5))


def test_a_spent_budget_is_kept():
  noise = privacy.gaussian_noise_multiplier(1.0, 10, 1e-5)
  ledger = Ledger(1e-5, budget=1.0)
  for _ in range(10):
    ledger = ledger.add(_votes(noise))
  assert ledger.epsilon() == pytest.approx(1.0, rel=1e-9)
  # What was asked for before is as it was, and what costs nothing much passes.
  with pytest.raises(UserError) as caught:
    ledger.add(_votes(100.0))
  message = str(caught.value)
  assert message.startswith(
    "budget=1: epsilon 1 is spent, counts by nearest neighbours would make it "
  )
  assert "(add_or_remove_one, delta 1e-05)" in message
  assert "\n" not in message
  assert len(ledger.releases) == 10
  # Earlier the same release was allowed.
  short = dataclasses.replace(ledger, releases=ledger.releases[:9])
  short = short.add(_votes(100.0))
  assert short.epsilon() < 1.0
  # Nothing without noise has a price.
  silent = Release("a count", "counts", dp_accounting.NonPrivateDpEvent())
  with pytest.raises(UserError, match="would make it inf"):
    Ledger(1e-5, budget=1e9).add(silent)
  assert Ledger(1e-5).add(silent).epsilon() == math.inf


def test_the_budget_has_a_relation():
  Ledger(1e-5, budget=4.0).add(_training())
  with pytest.raises(UserError, match="replace_one, delta 1e-05"):
    Ledger(1e-5, "replace_one", 4.0).add(_training())


def test_saved_and_resumed(tmp_path):
  path = tmp_path / "ledger.json"
  begun = Ledger(1e-5, "replace_one", 8.0)
  ledger = begun.add(_votes(1 / 0.3, 2, details=("a", "b"), delta=1e-8))
  ledger.save(path)
  assert list(tmp_path.iterdir()) == [path]
  resumed = Ledger.load(path, begun).add(_training())
  resumed.save(path)
  assert list(tmp_path.iterdir()) == [path]
  again = Ledger.load(path)
  assert again == resumed == ledger.add(_training())
  assert again.epsilon() == ledger.add(_training()).epsilon()
  with pytest.raises(UserError, match="budget=8"):
    again.add(_training(noise=0.7))


@pytest.mark.parametrize(
  "expected, message",
  [
    (Ledger(1e-6), "delta is 1e-05 there and 1e-06 here"),
    (Ledger(1e-5, "replace_one"), "neighbours is add_or_remove_one there"),
    (Ledger(1e-5, budget=2.0), "budget is None there and 2.0 here"),
    (Ledger(1e-5).add(_votes(15.0)), "its first releases differ"),
  ],
)
def test_another_ledger_is_not_resumed(tmp_path, expected, message):
  path = tmp_path / "ledger.json"
  Ledger(1e-5).add(_votes()).save(path)
  assert Ledger.load(path, Ledger(1e-5).add(_votes())).releases == (_votes(),)
  with pytest.raises(UserError, match=message) as caught:
    Ledger.load(path, expected)
  assert str(caught.value).startswith(f"{path}: another ledger (")
  assert "\n" not in str(caught.value)


def _write(**changes):
  def damage(text):
    return json.dumps(json.loads(text) | changes)

  return damage


@pytest.mark.parametrize(
  "damage, message",
  [
    (lambda text: text[: len(text) // 2], "a damaged ledger"),
    (lambda text: "[1, 2]", "a damaged ledger"),
    (lambda text: "7", "a damaged ledger"),
    (lambda text: "{}", "a ledger of version None: must be 1"),
    (_write(version=2), "a ledger of version 2: must be 1"),
    (_write(delta=None), "a damaged ledger: delta=None: must be between"),
    (_write(delta="a"), "a damaged ledger: delta=a: must be between"),
    (_write(surplus=1), "a damaged ledger"),
    (_write(releases=[{}]), r"a damaged ledger \(KeyError\('event'\)\)"),
    (_write(releases=None), "a damaged ledger"),
    (
      lambda text: text.replace("GaussianDpEvent", "RandomDpEvent"),
      "a damaged ledger: event=RandomDpEvent: must be one of",
    ),
    (
      lambda text: text.replace("14.0", "-14.0"),
      "a damaged ledger: noise_multiplier=-14.0: must be 0 or more",
    ),
  ],
)
def test_a_damaged_ledger_is_one_line(tmp_path, damage, message):
  path = tmp_path / "ledger.json"
  Ledger(1e-5).add(_votes()).save(path)
  path.write_text(damage(path.read_text()))
  with pytest.raises(UserError, match=message) as caught:
    Ledger.load(path)
  assert str(caught.value).startswith(f"{path}: ")
  assert "\n" not in str(caught.value)


def test_a_missing_ledger_is_one_line(tmp_path):
  with pytest.raises(UserError, match=r"none\.json: cannot be read \(No such"):
    Ledger.load(tmp_path / "none.json")


def test_a_failed_write_leaves_the_old_ledger(tmp_path, monkeypatch):
  path = tmp_path / "ledger.json"
  Ledger(1e-5).add(_votes()).save(path)

  def killed(source, target):
    raise KeyboardInterrupt

  monkeypatch.setattr("os.replace", killed)
  with pytest.raises(KeyboardInterrupt):
    Ledger(1e-5).save(path)
  assert Ledger.load(path).releases == (_votes(),)


@pytest.mark.parametrize(
  "arguments, message",
  [
    ((0.0,), "delta=0.0: must be between 0 and 1"),
    ((1e-5, "unbounded"), "neighbours=unbounded: must be one of"),
    ((1e-5, "replace_one", 0.0), "budget=0.0: must be above 0 and finite"),
    ((1e-5, "replace_one", math.inf), "budget=inf: must be above 0"),
  ],
)
def test_refuses_in_one_line(arguments, message):
  with pytest.raises(UserError, match=message):
    Ledger(*arguments)


_NOISES = st.floats(0.5, 50.0)
_VOTES = st.builds(_votes, _NOISES, st.integers(1, 20))
_LAPLACE = st.builds(
  lambda noise: Release(
    "Laplace", "counts", dp_accounting.LaplaceDpEvent(noise)
  ),
  _NOISES,
)
_TRAININGS = st.builds(
  _training,
  st.floats(0.005, 0.9),
  _NOISES,
  st.integers(1, 200),
  delta=st.sampled_from([0.0, 1e-7]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(_VOTES, max_size=5), _VOTES)
def test_votes_never_lower_epsilon(releases, release):
  ledger = Ledger(1e-5, releases=tuple(releases))
  assert ledger.add(release).epsilon() > ledger.epsilon()


@settings(max_examples=6, deadline=None)
@given(
  st.lists(st.one_of(_VOTES, _TRAININGS, _LAPLACE), max_size=3),
  st.one_of(_VOTES, _TRAININGS, _LAPLACE),
  st.sampled_from(["add_or_remove_one", "replace_one"]),
)
def test_a_release_never_lowers_epsilon(releases, release, neighbours):
  ledger = Ledger(1e-5, neighbours, releases=tuple(releases))
  # Room for the rounding of the grid.
  least = 0.998 * ledger.epsilon() - 1e-3
  assert ledger.add(release).epsilon() >= least
