"""RMIA: an example against the others, in the same model.

Source: Zarifzadeh, Liu and Shokri, "Low-Cost High-Power Membership Inference
Attacks" (2024, arXiv 2312.03262), algorithm 1, with gamma = 1, the other
audited examples as the population z, and p from a softmax at temperature 1.

With gamma = 1 the score of an example is its rank within its model, so of one
view it takes Q values and one example of each model shares the highest. A false
positive rate below 1/Q is reached only where nearly all of these are members.
Figures handle the ties exactly, see `roc`.
"""

import numpy as np
from scipy import stats

from syndata_jax import validate
from syndata_jax.attack import design
from syndata_jax.attack.base import log_mean, log_ratio, log_sigmoid

# The paper's, for CIFAR-10: the smaller, the more a model is taken to learn
# from what it trains on.
DEFAULT_A = 0.3


def rmia(
  scores: np.ndarray, membership: np.ndarray, target: int | None = None
) -> np.ndarray:
  """Share of the other examples that look less like members, online.

  For judged model t, example x and view a, with p(x) the mean of the mean
  likelihood of the IN and that of the OUT references:

    mean over a of the share of z != x with p_t(x) / p(x) >= p_t(z) / p(z).

  Args:
    scores: real[Q, M, A], the logit score log(p / (1 - p)), whose sigmoid is
      the probability of the label; see `logit_score`. Q is 2 at least.
    membership: bool[Q, M]; every judged example needs an IN and an OUT
      reference, so 2 members and 2 non-members in each row without a target.
    target: the model to judge, with all others as references; None judges
      each model with all the others.

  Returns:
    f64[Q, M], or f64[Q, 1] of a target, in 0..1; high means member.

  Raises:
    ValueError: shapes that do not match, scores that are not finite, a target
      out of range, a single example, or too few references.
  """
  return _share_below(log_ratio(scores, membership, target))


def offline_rmia(
  scores: np.ndarray,
  membership: np.ndarray,
  a: float = DEFAULT_A,
  target: int | None = None,
) -> np.ndarray:
  """`rmia` without IN references.

  What IN references would say is taken for a p_out + 1 - a, so that
  p(x) = ((1 + a) p_out + 1 - a) / 2; the paper's appendix B.2.2.

  Args:
    scores: as for `rmia`.
    membership: bool[Q, M]; every judged example needs an OUT reference.
    a: in 0..1; fixed in advance, not fitted.
    target: as for `rmia`.

  Returns:
    As `rmia`.

  Raises:
    ValueError: as `rmia`, or `a` out of range.
  """
  validate.within(0, 1, a=a)
  scores, membership = design.checked(scores, membership, target)
  design.check_references(membership, target, 0, 1)
  logs = log_sigmoid(scores)
  outside = log_mean(logs, ~membership, target)
  with np.errstate(divide="ignore"):
    marginal = np.logaddexp(outside + np.log1p(a), np.log1p(-a)) - np.log(2)
  return _share_below(design.judged(logs, target) - marginal)


def _share_below(ratio: np.ndarray) -> np.ndarray:
  """f64[Q, J] of f64[Q, J, A]: how many of the others are not above."""
  examples = len(ratio)
  if examples < 2:
    raise ValueError("scores are of 1 example: at least 2 needed")
  rank = stats.rankdata(ratio, method="max", axis=0)
  return (rank.mean(axis=2) - 1) / (examples - 1)
