"""What the headline finds beside the two variances that it lies between.

Slow, and worth its table: `pytest -m slow -s tests/attack/test_power.py`.
"""

import numpy as np
import pytest
from memberships import paired

from syndata_jax.attack import lira, tpr_at_fpr

AUDITS, EXAMPLES = 24, 200
FPRS = (0.001, 0.01)


def _gaussian(rng, members):
  return 3.0 * members + rng.normal(size=members.shape)


def _unlike_gaussians(rng, members):
  """Spreads and gaps of their own."""
  spread = np.exp(rng.normal(0, 0.6, (len(members), 1)))
  gap = rng.uniform(0, 6, (len(members), 1))
  return gap * members + spread * rng.normal(size=members.shape)


def _heavy_tails(rng, members):
  return 4.0 * members + rng.standard_t(3, members.shape)


def _learnt_by_half(rng, members):
  """As a coreset does: half of the models that own it learn from it."""
  learnt = members & (rng.random(members.shape) < 0.5)
  return 7.0 * learnt + rng.normal(size=members.shape)


def _learnt_by_some(rng, members):
  """As a coreset does, each example with a share of its own."""
  learnt = members & (rng.random(members.shape) < rng.random((len(members), 1)))
  return 7.0 * learnt + rng.normal(size=members.shape)


def _two_humps(rng, members):
  hump = rng.choice([-2.0, 2.0], members.shape)
  return 3.0 * members + hump + rng.normal(0, 0.5, members.shape)


def _unlike_humps(rng, members):
  hump = 4.0 * (rng.random(members.shape) < rng.beta(4, 4, (len(members), 1)))
  return 3.0 * members + hump + rng.normal(0, 0.7, members.shape)


def _rare_hump(rng, members):
  """A fifth of all scores, as far away as members are."""
  hump = 4.0 * (rng.random(members.shape) < 0.2)
  return 4.0 * members + hump + rng.normal(0, 0.7, members.shape)


def _humps_of_any_share(rng, members):
  """Shares from 0 to 1, and a hump as far away as members are."""
  hump = 4.0 * (rng.random(members.shape) < rng.random((len(members), 1)))
  return 4.0 * members + hump + rng.normal(0, 0.6, members.shape)


SCENARIOS = [
  _gaussian,
  _unlike_gaussians,
  _heavy_tails,
  _learnt_by_half,
  _learnt_by_some,
  _two_humps,
  _unlike_humps,
]
# Known to favour the pooled variance, see `shrinkage.py`.
LIMITS = [_rare_hump, _humps_of_any_share]


def _tprs(scenario, models, variances):
  """f64[variances, audits, FPRs], every variance on the same audits."""
  tprs = []
  for seed in range(AUDITS):
    rng = np.random.default_rng([seed, models])
    members = paired(rng, EXAMPLES, models)
    level = rng.normal(0, 3, (EXAMPLES, 1))
    scores = (level + scenario(rng, members))[:, :, None]
    ratios = [lira(scores, members, variance) for variance in variances]
    tprs.append(
      [[tpr_at_fpr(ratio, members, fpr) for fpr in FPRS] for ratio in ratios]
    )
  return np.swapaxes(tprs, 0, 1)


def _variances(models):
  return ["shrunk", "global"] + ["per_example"] * (models >= 6)


def _compared(scenario, models):
  """Prints one line; the TPRs by variance."""
  tprs = _tprs(scenario, models, _variances(models))
  cells = [
    " / ".join(
      f"{100 * mean:5.2f} ({100 * error:.2f})"
      for mean, error in zip(
        each.mean(axis=0), each.std(axis=0) / AUDITS**0.5, strict=True
      )
    )
    for each in tprs
  ]
  name = scenario.__name__.strip("_").replace("_", " ")
  print(f"\n| {name} | {models} | " + " | ".join(cells) + " |", end="")
  return tprs


def _not_clearly_below(shrunk, rival):
  """Paired audits: within 3 standard errors, or 1 point, of the rival."""
  difference = shrunk - rival
  slack = 3 * difference.std(axis=0) / AUDITS**0.5
  return (difference.mean(axis=0) >= -np.maximum(slack, 0.01)).all()


@pytest.mark.slow
@pytest.mark.parametrize("models", [4, 8, 16, 32, 64])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_shrunk_is_never_clearly_below(scenario, models):
  shrunk, *rivals = _compared(scenario, models)
  for rival in rivals:
    assert _not_clearly_below(shrunk, rival)


@pytest.mark.slow
@pytest.mark.parametrize("models", [8, 16, 32, 64])
@pytest.mark.parametrize("scenario", LIMITS)
def test_at_its_limits_it_is_never_below_per_example(scenario, models):
  shrunk, _, per_example = _compared(scenario, models)
  assert _not_clearly_below(shrunk, per_example)


@pytest.mark.parametrize("models", [8, 16])
def test_it_does_not_collapse(models):
  """One cell of the table above, in the fast run."""
  shrunk, per_example = _tprs(_gaussian, models, ["shrunk", "per_example"])
  assert shrunk.mean(axis=0)[1] > per_example.mean(axis=0)[1] + 0.1
