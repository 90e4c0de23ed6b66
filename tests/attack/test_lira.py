"""LiRA against a double loop over targets and examples."""

import time

import numpy as np
import pytest
from memberships import chance, coins, paired, unbalanced
from scipy.stats import norm, t
from variants import others_slow

from syndata_jax.attack import auc, lira, offline_lira, tpr_at_fpr
from syndata_jax.attack.shrinkage import fit_prior

VARIANCES = ["per_example", "global", "shrunk"]


def _left_out(scores, membership):
  """Each score of one side with the mean and variance of its companions.

  Squared distance, variance and degrees of freedom: what the prior is made of.
  """
  rows = []
  for view in range(scores.shape[2]):
    for example, model in zip(*np.nonzero(membership), strict=True):
      side = membership[example].copy()
      side[model] = False
      if side.any():
        others = scores[example, side, view]
        square = (scores[example, model, view] - others.mean()) ** 2
        variance = others.var(ddof=1) if len(others) > 1 else 0.0
        rows.append((square / (1 + 1 / side.sum()), variance, side.sum() - 1))
  return np.array(rows).T


def _prior(scores, membership, variance, target):
  if variance != "shrunk":
    return None
  if target is not None:
    scores = np.delete(scores, target, axis=1)
    membership = np.delete(membership, target, axis=1)
  return fit_prior(*_left_out(scores, membership))


def _densities(scores, chosen, variance, example, model, prior):
  """One frozen SciPy distribution for each view."""
  others = np.arange(chosen.shape[1]) != model
  side = chosen[example] & others
  of_side = scores[example, side]  # [n, A]
  centre = of_side.mean(axis=0)
  if variance == "global":
    std = scores[:, others][chosen[:, others]].std(ddof=1)
    return norm(centre, std + 1e-30)
  if variance == "per_example":
    return norm(centre, of_side.std(axis=0, ddof=1) + 1e-30)
  d0, s0 = prior
  counted = np.maximum(chosen.sum(axis=1) - 1, 1)
  d, n = counted[example] - 1, counted.mean()
  if d == 0 or np.isinf(d0):
    spread = np.full(len(centre), s0)
  else:
    spread = (d0 * s0 + d * of_side.var(axis=0, ddof=1)) / (d0 + d)
  scale = np.sqrt(spread * (1 + 1 / n))
  return norm(centre, scale) if np.isinf(d0) else t(d0 + d, centre, scale)


def _reference(scores, membership, variance, target=None):
  """The definition, one target model and one example at a time."""
  examples, models, _ = scores.shape
  judged = range(models) if target is None else [target]
  sides = [
    (side, _prior(scores, side, variance, target))
    for side in (membership, ~membership)
  ]
  result = np.empty((examples, len(judged)))
  for column, model in enumerate(judged):
    for example in range(examples):
      inside, outside = (
        _densities(scores, side, variance, example, model, prior)
        for side, prior in sides
      )
      score = scores[example, model]
      ratio = inside.logpdf(score) - outside.logpdf(score)
      result[example, column] = ratio.mean()
  return result


@pytest.mark.parametrize("variance", ["per_example", "global"])
@pytest.mark.parametrize("design", [paired, unbalanced])
@pytest.mark.parametrize(
  # The largest is more than one block of examples.
  "shape",
  [
    (2, 6, 1),
    (4, 6, 3),
    (10, 33, 2),
    (30, 8, 1),
    pytest.param((60, 32, 18), marks=pytest.mark.slow),
  ],
)
def test_equals_the_double_loop(variance, design, shape):
  rng = np.random.default_rng(shape)
  membership = design(rng, *shape[:2])
  scores = rng.normal(rng.normal(0, 3, (shape[0], 1, 1)), 2, shape)
  scores += 2 * membership[:, :, None]
  before = scores.copy()
  result = lira(scores, membership, variance)
  assert result.dtype == np.float64
  expected = _reference(scores, membership, variance)
  np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-10)
  np.testing.assert_array_equal(scores, before)


def _scores(rng, membership, views=2):
  """Examples of unlike levels and spreads, and a gap."""
  shape = (*membership.shape, views)
  spread = np.exp(rng.normal(0, 0.7, (shape[0], 1, 1)))
  level = rng.normal(0, 3, (shape[0], 1, 1))
  return level + spread * rng.normal(size=shape) + 2 * membership[:, :, None]


@pytest.mark.parametrize("target", [None, 3])
@pytest.mark.parametrize("design", [paired, unbalanced, coins])
@pytest.mark.parametrize("shape", [(12, 6, 2), (20, 9, 1)])
def test_shrunk_equals_the_double_loop(design, shape, target):
  rng = np.random.default_rng(shape)
  membership = design(rng, *shape[:2])
  scores = _scores(rng, membership, shape[2])
  np.testing.assert_allclose(
    lira(scores, membership, "shrunk", target),
    _reference(scores, membership, "shrunk", target),
    rtol=1e-9,
    atol=1e-9,
  )


@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_shrunk_of_four_models_is_the_prior_alone(spread):
  rng = np.random.default_rng(4)
  membership = paired(rng, 40, 4)
  scores = rng.normal(size=(40, 4, 1)) * np.exp(
    rng.normal(0, spread, (40, 1, 1))
  )
  np.testing.assert_allclose(
    lira(scores, membership, "shrunk"),
    _reference(scores, membership, "shrunk"),
    rtol=1e-9,
    atol=1e-9,
  )


@pytest.mark.parametrize("variance", VARIANCES)
def test_a_target_is_judged_by_the_others_alone(variance):
  rng = np.random.default_rng(5)
  membership = paired(rng, 30, 10)
  scores = _scores(rng, membership)
  result = lira(scores, membership, variance, target=2)
  assert result.shape == (30, 1)
  if variance != "shrunk":
    whole = lira(scores, membership, variance)
    np.testing.assert_allclose(result, whole[:, 2:3], rtol=1e-12)
  # Another example's score in the target changes nothing of this one.
  scores[7:, 2] += 100
  again = lira(scores, membership, variance, target=2)
  np.testing.assert_array_equal(again[:7], result[:7])


def test_a_target_needs_one_reference_of_each_side():
  membership = np.array([[1, 1, 0, 0, 0], [1, 0, 1, 1, 1], [0, 1, 0, 1, 0]])
  membership = membership.astype(bool)
  rng = np.random.default_rng(6)
  scores = _scores(rng, membership)
  for variance in ("shrunk", "global"):
    np.testing.assert_allclose(
      lira(scores, membership, variance, 0),
      _reference(scores, membership, variance, 0),
      rtol=1e-9,
    )
  with pytest.raises(ValueError, match="row 0 has 1 members and 3 non-members"):
    lira(scores, membership, "per_example", 0)
  with pytest.raises(ValueError, match="among the references"):
    lira(scores, membership, "shrunk", 1)
  with pytest.raises(ValueError, match="target=5: 0 to 4 allowed"):
    lira(scores, membership, "shrunk", 5)


def test_shrunk_needs_a_pair_to_learn_a_spread_from():
  membership = np.array([[True, True, False], [False, True, False]])
  with pytest.raises(ValueError, match="no row with 2 references of a side"):
    lira(np.ones((2, 3, 1)), membership, "shrunk", 0)


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("target", [None, 1])
def test_offline_equals_the_double_loop(variance, target):
  rng = np.random.default_rng(7)
  membership = unbalanced(rng, 15, 9)
  scores = _scores(rng, membership)
  judged = range(9) if target is None else [target]
  prior = _prior(scores, ~membership, variance, target)
  expected = np.empty((15, len(judged)))
  for column, model in enumerate(judged):
    for example in range(15):
      out = _densities(scores, ~membership, variance, example, model, prior)
      tails = out.sf(scores[example, model])
      expected[example, column] = norm.isf(tails).mean()
  result = offline_lira(scores, membership, variance, target)
  # The deviate of a Student tail is an approximation, a Gaussian one exact.
  exact = variance != "shrunk"
  np.testing.assert_allclose(
    result, expected, rtol=1e-6 if exact else 0.03, atol=1e-6 if exact else 0.03
  )


def test_offline_needs_no_members_and_does_not_saturate():
  rng = np.random.default_rng(8)
  membership = np.zeros((6, 8), bool)
  membership[:3, 0] = True
  scores = rng.normal(size=(6, 8, 1))
  scores[:3, 0, 0] = [50, 100, 1e4]
  result = offline_lira(scores, membership, target=0)[:, 0]
  assert np.isfinite(result).all()
  assert result[2] > result[1] > result[0] > result[3:].max()
  every = offline_lira(scores, membership)
  assert every.shape == (6, 8)


@pytest.mark.parametrize("models", others_slow([4, 8]))
@pytest.mark.parametrize("design", [paired, coins])
@pytest.mark.parametrize("attack", [lira, offline_lira])
def test_shrunk_is_not_above_chance_with_few_models(attack, design, models):
  """Outliers must not tell by the size of a side who is left out."""
  tprs, aucs, bounds = [], [], []
  for seed in range(100):
    rng = np.random.default_rng([seed, models])
    membership = design(rng, 100, models)
    scores = rng.normal(0, 3, (100, 1, 1))
    scores = scores + rng.standard_t(2, (100, models, 1))
    ratio = attack(scores, membership, "shrunk")
    tprs.append([tpr_at_fpr(ratio, membership, fpr) for fpr in (0.01, 0.05)])
    aucs.append(auc(ratio, membership))
    bounds.append([chance(fpr, membership) for fpr in (0.01, 0.05)])
  error = np.std(tprs, axis=0) / 10
  assert (np.mean(tprs, axis=0) <= np.mean(bounds, axis=0) + 3 * error).all()
  assert np.mean(aucs) <= 0.5 + 3 * np.std(aucs) / 10


def test_the_default_is_per_example_variance():
  rng = np.random.default_rng(0)
  membership, scores = paired(rng, 4, 8), rng.normal(size=(4, 8, 2))
  np.testing.assert_array_equal(
    lira(scores, membership), lira(scores, membership, "per_example")
  )


@pytest.mark.parametrize("variance", VARIANCES)
def test_a_large_offset_costs_only_its_own_digits(variance):
  rng = np.random.default_rng(1)
  membership = unbalanced(rng, 20, 12)
  # Multiples of 2^-10, which the offset does not round.
  scores = np.round(rng.normal(0, 1, (20, 12, 2)) * 1024) / 1024
  np.testing.assert_allclose(
    lira(scores + 2.0**30, membership, variance),
    lira(scores, membership, variance),
    atol=1e-5,
  )


def test_an_outlier_spoils_no_fit_that_it_is_not_in():
  rng = np.random.default_rng(2)
  membership = paired(rng, 4, 12)
  scores = rng.normal(size=(4, 12, 1))
  for model in (0, 5, 11):
    spoilt = scores.copy()
    spoilt[:, model] = 1e12
    np.testing.assert_allclose(
      lira(spoilt, membership),
      _reference(spoilt, membership, "per_example"),
      rtol=1e-10,
    )


@pytest.mark.parametrize("size", [1e6, -1e6])
@pytest.mark.parametrize("models", [6, 7, 12])
def test_a_narrow_cluster_beside_an_outlier_keeps_its_width(models, size):
  """Whoever is the outlier, and whatever lies beside the others."""
  rng = np.random.default_rng(models)
  membership = np.tile(np.arange(models) % 2 == 0, (models, 1))
  # Multiples of 2^-20, which nothing rounds.
  scores = np.round(rng.normal(0, 1, (models, models, 1)) * 1024) / 2**20
  scores += np.where(membership, 3.0, -5.0)[:, :, None]
  scores[np.arange(models), np.arange(models)] += size
  np.testing.assert_allclose(
    lira(scores, membership),
    _reference(scores, membership, "per_example"),
    rtol=1e-10,
  )


@pytest.mark.parametrize("variance", VARIANCES)
def test_scores_without_spread_stay_finite(variance):
  membership = paired(np.random.default_rng(3), 4, 8)
  constant = np.full((4, 8, 2), 0.1)
  np.testing.assert_array_equal(lira(constant, membership, variance), 0)
  separate = np.broadcast_to(membership[:, :, None], (4, 8, 2)).astype(float)
  ratio = lira(separate, membership, variance)
  assert np.isfinite(ratio).all()
  assert ratio[membership].min() > 0 > ratio[~membership].max()


@pytest.mark.parametrize(
  "variance, members",
  [("per_example", n) for n in (0, 2, 6, 8)]
  + [(variance, n) for variance in ("global", "shrunk") for n in (0, 1, 7, 8)],
)
def test_needs_enough_of_each(variance, members):
  membership = np.tile(np.arange(8) < 4, (5, 1))
  membership[3] = np.arange(8) < members
  with pytest.raises(ValueError, match=rf"row 3 has {members} members"):
    lira(np.zeros((5, 8, 1)), membership, variance)


def test_refuses_what_does_not_fit():
  membership = np.tile(np.arange(8) < 4, (5, 1))
  with pytest.raises(ValueError, match="do not match"):
    lira(np.zeros((5, 8)), membership)
  with pytest.raises(ValueError, match="do not match"):
    lira(np.zeros((8, 5, 1)), membership)
  with pytest.raises(ValueError, match="variance='pooled': must be one of"):
    lira(np.zeros((5, 8, 1)), membership, "pooled")
  with pytest.raises(ValueError, match="not finite"):
    lira(np.full((5, 8, 1), np.nan), membership)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("variance", VARIANCES)
def test_finds_nothing_where_there_is_nothing(seed, variance):
  rng = np.random.default_rng(seed)
  membership = paired(rng, 500, 32)
  scores = lira(rng.normal(size=(500, 32, 1)), membership, variance)
  assert 0.0002 <= tpr_at_fpr(scores, membership, 0.001) <= 0.003
  assert 0.48 <= auc(scores, membership) <= 0.51


@pytest.mark.parametrize(
  "variance, expected",
  [("per_example", 0.275), ("global", 0.426), ("shrunk", 0.426)],
)
def test_power_on_unit_gaussians_three_apart(variance, expected):
  tprs = []
  for seed in range(4):
    rng = np.random.default_rng(seed)
    membership = paired(rng, 500, 32)
    scores = rng.normal(3.0 * membership)[:, :, None]
    ratio = lira(scores, membership, variance)
    tprs.append(tpr_at_fpr(ratio, membership, 0.001))
  assert np.mean(tprs) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("variance", VARIANCES)
def test_is_fast(variance):
  rng = np.random.default_rng(0)
  membership = paired(rng, 500, 32)
  scores = rng.normal(size=(500, 32, 18))
  seconds = []
  for _ in range(5):
    start = time.perf_counter()
    lira(scores, membership, variance)
    seconds.append(time.perf_counter() - start)
  print(f"LiRA, {variance}, 500 x 32 x 18: {min(seconds):.3f} s")
  assert min(seconds) < 0.5


def test_two_references_of_a_target_are_enough():
  """By hand: one view, two OUT references, which then share one spread."""
  rng = np.random.default_rng(0)
  membership = np.zeros((30, 3), bool)
  membership[::2, 1] = True
  scores = rng.normal(size=(30, 3, 1))
  found = offline_lira(scores, membership, "per_example", target=1)
  mean = scores[:, [0, 2], 0].mean(axis=1)
  spread = scores[:, [0, 2], 0].std(axis=1, ddof=1)
  expected = (scores[:, 1, 0] - mean) / spread
  np.testing.assert_allclose(found[:, 0], expected)
  assert np.isfinite(offline_lira(scores, membership, target=1)).all()
