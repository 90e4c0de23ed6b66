"""BASE: how much likelier the judged model finds an example than others do.

Source: Lassila, Ostman and Ngo, "Practical Bayes-Optimal Membership Inference
Attacks" (2025, arXiv 2505.24089): the log-likelihood minus the logarithm of
the references' mean likelihood, which approximates the Bayes-optimal rule.
Against the paper: softmax at temperature 1, and IN and OUT references weigh
half each whatever their numbers. Of a row with exactly half of the models a
plain mean would know whether the judged model is one of the members: they
then are one fewer among the references.
"""

import numpy as np

from syndata_jax.attack import design

# exp of this is above the smallest double.
_LOWEST = -700.0


def base(
  scores: np.ndarray, membership: np.ndarray, target: int | None = None
) -> np.ndarray:
  """Log p minus log of the references' mean p, mean over views.

  Args:
    scores: real[Q, M, A], the logit score log(p / (1 - p)), whose sigmoid is
      the probability of the label; see `logit_score`.
    membership: bool[Q, M]; every judged example needs an IN and an OUT
      reference, so 2 members and 2 non-members in each row without a target.
    target: the model to judge, with all others as references; None judges
      each model with all the others.

  Returns:
    f64[Q, M], or f64[Q, 1] of a target; high means member.

  Raises:
    ValueError: shapes that do not match, scores that are not finite, a target
      out of range, or too few references.
  """
  return log_ratio(scores, membership, target).mean(axis=2)


def log_ratio(
  scores: np.ndarray, membership: np.ndarray, target: int | None
) -> np.ndarray:
  """Log of p over the references' mean p, f64[Q, J, A]; see `base`."""
  scores, membership = design.checked(scores, membership, target)
  design.check_references(membership, target, 1, 1)
  logs = log_sigmoid(scores)
  inside = log_mean(logs, membership, target)
  outside = log_mean(logs, ~membership, target)
  marginal = np.logaddexp(inside, outside) - np.log(2)
  return design.judged(logs, target) - marginal


def log_sigmoid(scores: np.ndarray) -> np.ndarray:
  """Log of p = 1 / (1 + exp(-score)), which never underflows."""
  return np.minimum(scores, 0) - np.log1p(np.exp(-np.abs(scores)))


def log_mean(
  logs: np.ndarray, chosen: np.ndarray, target: int | None
) -> np.ndarray:
  """Log of the mean likelihood of each judged model's chosen references.

  Args:
    logs: f64[Q, M, A], log-likelihoods.
    chosen: bool[Q, M], at least one reference of each judged example.
    target: the model to judge, or None.

  Returns:
    f64[Q, J, A].
  """
  models = chosen.shape[1]
  others = design.others(models, target)
  # Relative to the largest of the row, and added up without the judged model
  # rather than taken from a total, which loses the digits of the rest.
  largest = logs.max(
    axis=1, keepdims=True, where=chosen[:, :, None], initial=-np.inf
  )
  weights = np.exp(np.clip(logs - largest, _LOWEST, 0)) * chosen[:, :, None]
  total = others @ weights
  size = (chosen @ others.T)[:, :, None]
  return np.log(total / size) + largest
