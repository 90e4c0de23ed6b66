"""A statement answers what is asked of a guarantee, and survives JSON."""

import json
import math

import dp_accounting
import pytest

from syndata_jax import privacy
from syndata_jax.errors import UserError
from syndata_jax.privacy import Ledger, PrivacyStatement, Release

_MECHANISM = privacy.SubsampledGaussian(
  num_examples=1_000,
  expected_batch=50,
  clip_norm=2.0,
  noise_multiplier=1.5,
  steps=100,
  delta=1e-4,
)
_VOTES = Release(
  "Gaussian histogram of nearest neighbours",
  "images",
  dp_accounting.GaussianDpEvent(20.0),
  details=("noise: 20 votes",),
  count=10,
  replace_one_sensitivity=math.sqrt(2),
)


def _through_json(statement):
  text = json.dumps(statement.as_dict(), allow_nan=False)
  return PrivacyStatement.from_dict(json.loads(text))


def test_dp_sgd_states_what_its_mechanism_accounts_for():
  statement = privacy.dp_sgd_statement(_MECHANISM)
  assert statement.epsilon == _MECHANISM.epsilon
  assert statement.replace_one_epsilon == _MECHANISM.replace_one_epsilon
  assert statement.delta == 1e-4
  lines = statement.lines()
  assert len(lines) <= 12
  text = "\n".join(lines)
  for part in (
    "delta 0.0001",
    "when one example is added or removed (when one is replaced: epsilon 2.",
    "model: DP-SGD, Poisson-subsampled Gaussian, every step released",
    "rate 0.05",
    "100 steps",
    "noise: 1.5 x clip norm 2",
    "each model alone",
  ):
    assert part in text


def test_the_questions_of_nist_are_answered():
  """SP 800-226: what a claim must come with."""
  fields = privacy.dp_sgd_statement(_MECHANISM).as_dict()
  assert fields["unit"] == "one training example, an image with its label"
  assert fields["neighbours"] == "add_or_remove_one"
  assert fields["epsilon"] == _MECHANISM.epsilon
  assert fields["delta"] == 1e-4
  assert fields["trust_model"].startswith("central")
  assert fields["num_releases"] == 1
  assert [release["kind"] for release in fields["releases"]] == ["model"]
  assert "normalisation constants" in fields["public"]
  assert fields["tuning"] == "unaccounted"
  assert any("seed" in words for words in fields["assumptions"])
  lines = privacy.dp_sgd_statement(_MECHANISM).lines()
  questions = [line.split(":")[0] for line in lines[1:]]
  for question in (
    "model",
    "unit of privacy",
    "trust model",
    "releases",
    "public",
    "hyper-parameters",
    "assumed",
  ):
    assert questions.count(question) == 1


def test_a_hybrid_lists_both_releases():
  ledger = Ledger(1e-4, "replace_one").add(_VOTES).add(_MECHANISM.release())
  statement = ledger.statement(
    public=("an embedding",), unit="one patient", tuning="none"
  )
  assert statement.epsilon == ledger.epsilon("add_or_remove_one")
  assert statement.replace_one_epsilon == ledger.epsilon()
  assert statement.num_releases == 11
  first, *lines = statement.lines()
  replaced = float(first.split()[1])
  assert ledger.epsilon() <= replaced <= 1.001 * ledger.epsilon()
  assert "example is replaced (when one is added or removed: epsilon" in first
  for line in (
    "images: Gaussian histogram of nearest neighbours, 10 times",
    "noise: 20 votes",
    "releases: 11; holds for all releases together",
    "unit of privacy: one patient",
    "public: an embedding",
    "hyper-parameters: not searched on private data",
  ):
    assert line in lines
  assert _through_json(statement) == statement


def test_epsilon_is_rounded_up():
  statement = privacy.dp_sgd_statement(_MECHANISM)
  shown = float(statement.lines()[0].split()[1])
  assert _MECHANISM.epsilon <= shown <= 1.001 * _MECHANISM.epsilon


@pytest.mark.parametrize(
  "value, shown", [(0.3, "0.3"), (1.00049, "1.001"), (123456.0, "1.235e+05")]
)
def test_epsilon_is_rounded_exactly(value, shown):
  """0.3 is a float below 0.3, which arithmetic with floats takes above it."""
  statement = PrivacyStatement((), value, value, 1e-5)
  assert statement.lines()[0].startswith(f"epsilon {shown} at delta 1e-05 ")


def test_without_noise_nothing_is_claimed():
  silent = privacy.SubsampledGaussian(1_000, 50, 2.0, 0.0, 100, 1e-4)
  statement = privacy.dp_sgd_statement(silent)
  assert statement.epsilon == math.inf
  assert statement.as_dict()["epsilon"] is None
  assert statement.lines()[0].startswith("no privacy guarantee")
  assert _through_json(statement) == statement


def _changed(**changes):
  return privacy.dp_sgd_statement(_MECHANISM).as_dict() | changes


@pytest.mark.parametrize(
  "fields, message",
  [
    ({}, "a privacy statement of version None: must be 2"),
    ({"version": 3}, "a privacy statement of version 3: must be 2"),
    # As it was written before there were releases.
    (
      {"mechanism": "DP-SGD", "sampling": "poisson", "epsilon": 1.0},
      "a privacy statement of version None: must be 2",
    ),
    ({"version": 2}, "a damaged privacy statement"),
    (_changed(num_releases=2), "num_releases=2, but it lists 1"),
    (_changed(epsilon="a"), "a damaged privacy statement: epsilon=a: must"),
    (_changed(epsilon=-1.0), "epsilon=-1.0: must be 0 or more"),
    (_changed(delta=None), "delta=None: must be between 0 and 1"),
    (_changed(releases=[1]), "a damaged privacy statement"),
    (_changed(surplus=1), "a damaged privacy statement"),
    (_changed(tuning="yes"), "tuning=yes: must be one of unaccounted, acc"),
  ],
)
def test_a_damaged_statement_is_one_line(fields, message):
  with pytest.raises(UserError, match=message) as caught:
    PrivacyStatement.from_dict(fields)
  assert "\n" not in str(caught.value)
