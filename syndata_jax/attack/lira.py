"""LiRA: the likelihood-ratio attack, each model attacked with all the others.

Source: Carlini et al., "Membership Inference Attacks From First Principles"
(2022), algorithm 1 (online) and section VI-B (offline), with the leave-one-out
evaluation of Aerni, Zhang and Tramer, "Evaluations of Machine Learning Privacy
Defenses are Misleading" (2024). Against the first: centres are means and not
medians, standard deviations are sample ones (ddof = 1), and the log-likelihoods
of the views are averaged instead of modelled by one multivariate Gaussian. The
shrunk variance is that of `shrinkage.py`.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np

from syndata_jax import validate
from syndata_jax.attack import design, moments, shrinkage
from syndata_jax.attack.shrinkage import Prior

Variance = Literal["shrunk", "per_example", "global"]

# Scores that are all equal have no spread; their likelihood must stay finite.
_VARIANCE_FLOOR = 1e-60

# Scores worked on at once: few enough for a core's cache, and for memory that
# malloc keeps rather than maps anew (128 KiB).
_BLOCK = 1 << 14

# References that must be left on a side. A variance of one needs two; the
# prior and the pooled variance are there without.
NEEDED = {"shrunk": 1, "per_example": 2, "global": 1}


def lira(
  scores: np.ndarray,
  membership: np.ndarray,
  variance: Variance = "per_example",
  target: int | None = None,
) -> np.ndarray:
  """Log-likelihood ratio of IN against OUT, leave-one-out, mean over views.

  For judged model t, example i and view a, one density is fitted to the scores
  of the other models that trained on i and one to those of the other models
  that did not:

    mean over a of [log p_in(s) - log p_out(s)].

  | variance | density |
  |---|---|
  | `shrunk` | Student predictive; spread of (i, a) drawn towards all examples |
  | `per_example` | Gaussian; both spreads fitted to (i, a) alone: the paper's |
  | `global` | Gaussian; spreads pooled over all examples and views |

  The centres are those of (i, a) throughout, and IN and OUT have spreads of
  their own. `global` is the spread of the raw scores, so differences between
  examples widen it. `shrunk` fits a prior to all examples of a side: close to
  `global` where references are few and examples alike, to `per_example` where
  references are many and examples differ.

  Args:
    scores: real[Q, M, A]; high means member, see `scores.py`.
    membership: bool[Q, M]. Rows need not be balanced. When the judged model is
      taken out, each row must keep 1 member and 1 non-member, or 2 of each for
      `per_example`; so without a target it holds 2 or 3 of each.
    variance: one of the above.
    target: the model to judge, with all others as references; None judges
      each model with all the others.

  Returns:
    f64[Q, M], or f64[Q, 1] of a target; high means member.

  Raises:
    ValueError: shapes that do not match, scores that are not finite, a target
      out of range, too few members or non-members, no row with two references
      of a side to learn a spread from, or an unknown `variance`.
  """
  validate.one_of(get_args(Variance), variance=variance)
  scores, membership = design.checked(scores, membership, target)
  needed = NEEDED[variance]
  design.check_references(membership, target, needed, needed)
  inside = _density(scores, membership, target, variance)
  outside = _density(scores, ~membership, target, variance)
  if variance == "shrunk":
    return (inside.log() - outside.log()).mean(axis=1).T
  ratio = np.log(outside.scale / inside.scale)
  ratio = ratio + outside.gap**2 / outside.scale
  ratio = ratio - inside.gap**2 / inside.scale
  return ratio.mean(axis=1).T / 2


def offline_lira(
  scores: np.ndarray,
  membership: np.ndarray,
  variance: Variance = "shrunk",
  target: int | None = None,
) -> np.ndarray:
  """How far a score lies above what models say that did not train on it.

  The one-sided test against the OUT references alone: the normal deviate whose
  upper tail is that of the score under the OUT density, mean over views. It
  orders a single view as 1 - Pr[Z > s] does, of which the paper speaks, and
  does not saturate.

  Args:
    scores: real[Q, M, A]; high means member, see `scores.py`.
    membership: bool[Q, M]. Every judged example needs an OUT reference, or 2
      for `per_example`.
    variance: as for `lira`, of the OUT density.
    target: as for `lira`.

  Returns:
    As `lira`.

  Raises:
    ValueError: as `lira`.
  """
  validate.one_of(get_args(Variance), variance=variance)
  scores, membership = design.checked(scores, membership, target)
  design.check_references(membership, target, 0, NEEDED[variance])
  return _density(scores, ~membership, target, variance).deviate().mean(1).T


class _Density(NamedTuple):
  """What the references of one side expect of each judged score."""

  gap: np.ndarray  # f64[J, A, Q], judged score minus the references' mean
  scale: np.ndarray  # f64[J or 1, A or 1, Q or 1], squared scale, above 0
  degrees: np.ndarray  # f64[J or 1, A or 1, Q or 1] of Student; inf: Gaussian

  def log(self) -> np.ndarray:
    """Log of the density times the square root of 2 pi, f64[J, A, Q]."""
    deviance = shrinkage.student_deviance(
      self.gap**2 / self.scale, self.degrees
    )
    deviance += np.log(self.scale)
    return shrinkage.student_normaliser(self.degrees) - deviance / 2

  def deviate(self) -> np.ndarray:
    """The normal deviate of equal tail, f64[J, A, Q]."""
    return shrinkage.normal_deviate(
      self.gap / np.sqrt(self.scale), self.degrees
    )


def _density(
  scores: np.ndarray,
  chosen: np.ndarray,
  target: int | None,
  variance: Variance,
) -> _Density:
  """Fits one side.

  Args:
    scores: f64[Q, M, A].
    chosen: bool[Q, M], the models of this side.
    target: the model to judge, or None.
    variance: as for `lira`.
  """
  gap, squares = _fits(scores, chosen, target)
  size = np.asarray(design.others(chosen.shape[1], target) @ chosen.T)
  infinite = np.full((1, 1, 1), np.inf)
  if variance == "global":
    pooled = _pooled(scores, chosen, target)
    return _Density(gap, pooled + _VARIANCE_FLOOR, infinite)
  spread = squares / np.maximum(size - 1, 1)[:, None]
  if variance == "per_example":
    return _Density(gap, spread + _VARIANCE_FLOOR, infinite)
  # Sizes that tell nothing of who is judged, see `_sizes`.
  left = _sizes(chosen)
  spread, degrees = shrinkage.posterior(
    spread, left - 1, _prior(scores, chosen, target)
  )
  widened = spread * (1 + 1 / left.mean())
  return _Density(gap, widened + _VARIANCE_FLOOR, degrees)


def _prior(scores: np.ndarray, chosen: np.ndarray, target: int | None) -> Prior:
  """The prior of one side, of all views: each of its scores by the others.

  Without a target all the models of the side take part, the judged one among
  them: two numbers that all examples and models share tell nothing of one
  coin. A target takes no part.
  """
  if target is not None:
    scores = np.delete(scores, target, axis=1)
    chosen = np.delete(chosen, target, axis=1)
  rows = chosen.sum(axis=1) > 1
  if not rows.any():
    raise ValueError(
      "membership has no row with 2 references of a side: no spread to learn "
      "from"
    )
  scores, chosen = scores[rows], chosen[rows]
  gap, squares = _fits(scores, chosen, None)
  # Of each score: the others of its side, and their degrees of freedom.
  others = np.broadcast_to(chosen.sum(axis=1) - 1.0, gap.shape)
  left_out = np.broadcast_to(chosen.T[:, None], gap.shape)
  others, squares = others[left_out], squares[left_out]
  return shrinkage.fit_prior(
    gap[left_out] ** 2 / (1 + 1 / others),
    squares / np.maximum(others - 1, 1),
    others - 1,
  )


def _sizes(chosen: np.ndarray) -> np.ndarray:
  """f64[Q], how many references a row counts on, whoever is judged.

  The references of a side are one fewer where the judged model is of that
  side. In a row with a fixed number of members, such as half, degrees of
  freedom that followed them would tell which side that is: under no leakage at
  all outlying scores of members would rank above those of non-members. So both
  cases count on the smaller number. Where rows differ in their number of
  members, the factor 1 + 1/n would prefer examples with many of them; it takes
  the mean over rows. Centres and variances are of all the references there
  are.
  """
  return np.maximum(chosen.sum(axis=1) - 1.0, 1.0)


def _fits(
  scores: np.ndarray, chosen: np.ndarray, target: int | None
) -> tuple[np.ndarray, np.ndarray]:
  """`_fit` of all examples, block by block."""
  examples, models, views = scores.shape
  shape = (len(design.judged_models(models, target)), views, examples)
  gap, squares = np.empty(shape), np.empty(shape)
  rows = max(1, _BLOCK // (models * views))
  for start in range(0, examples, rows):
    block = slice(start, start + rows)
    # Examples last: sizes, which all views share, then broadcast over rows.
    values = np.ascontiguousarray(scores[block].transpose(1, 2, 0))
    gap[..., block], squares[..., block] = _fit(values, chosen[block].T, target)
  return gap, squares


def _fit(
  values: np.ndarray, chosen: np.ndarray, target: int | None
) -> tuple[np.ndarray, np.ndarray]:
  """Each judged model against the other chosen models.

  Leaving one out by subtracting it from a total loses all digits when the one
  left out is the outlier, which is the very case an attack looks for. Here
  every sum is over the others alone, and of distances to a pivot that lies
  within their range: whoever is left out, two of any three are there, and so
  is either their middle one or a score on each side of it. The squared
  distance from there to the mean of n others is at most twice the sum of
  their squared deviations, so that subtracting it costs no more than a factor
  of 1 + 2n of the rounding error. Of two, one may be left: its squares are
  exactly 0 and its distance is rounded as a difference of the two.

  Args:
    values: f64[M, A, Q].
    chosen: bool[M, Q]; each judged model leaves at least 1 in a column.
    target: the model to judge, or None.

  Returns:
    Distance of the judged score to the mean of the others, and their sum of
    squared deviations from it, both f64[J, A, Q].
  """
  models = len(values)
  judged = design.judged_models(models, target)
  others = design.others(models, target)
  usable = chosen
  if target is not None:
    usable = chosen & (np.arange(models) != target)[:, None]
  # A stable sort of booleans: the chosen first.
  order = np.argsort(~usable, axis=0, kind="stable")
  three = order[[0, 1, min(2, models - 1)]]
  three = np.where(np.take_along_axis(usable, three, 0), three, three[0])
  a, b, c = np.take_along_axis(values, three[:, None], axis=0)
  pivot = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
  distance = values - pivot
  of_chosen = distance * chosen[:, None]
  shape = (len(judged), *values.shape[1:])
  size = (others @ chosen)[:, None]
  total = (others @ of_chosen.reshape(models, -1)).reshape(shape)
  square_of_chosen = np.square(of_chosen, out=of_chosen)
  squares = (others @ square_of_chosen.reshape(models, -1)).reshape(shape)
  mean = total / size
  squares -= total * mean
  return distance[judged] - mean, squares


def _pooled(
  scores: np.ndarray, chosen: np.ndarray, target: int | None
) -> np.ndarray:
  """Variance of all chosen scores but those of the judged, f64[J, 1, 1]."""
  models = zip(scores.transpose(1, 0, 2), chosen.T, strict=True)
  sets = [moments.of(values[rows]) for values, rows in models]
  rests = [rest.variance() for rest in moments.all_but_one(sets)]
  judged = design.judged_models(len(sets), target)
  return np.reshape(rests, (-1, 1, 1))[judged]
