"""Membership scores: how much a model prefers the label it was trained on.

Q examples, M models, A augmented queries, K classes. A score is high when the
model is sure of the label. Both are differences of logits, so neither forms a
probability and neither saturates: Carlini et al., "Membership Inference
Attacks From First Principles" (2022), section V-A and Aerni et al. (2024).
"""

import numpy as np


def hinge_score(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """True-class logit minus the largest other logit.

  Args:
    logits: real[..., K] with K >= 2; left as it is.
    labels: integer array that broadcasts against the leading axes of
      `logits`, in 0..K-1; for logits [Q, M, A, K] pass `labels[:, None, None]`.
      The label of training, so the wrong one for a mislabelled canary.

  Returns:
    f64[...].

  Raises:
    ValueError: labels that are no integers in 0..K-1, or K < 2.
  """
  true, others = _split(logits, labels)
  return true - others.max(axis=-1)


def logit_score(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """True-class logit minus the logsumexp of the others: log(p / (1 - p)).

  Args:
    logits: real[..., K] with K >= 2; left as it is.
    labels: integer array that broadcasts against the leading axes of
      `logits`, in 0..K-1; for logits [Q, M, A, K] pass `labels[:, None, None]`.

  Returns:
    f64[...].

  Raises:
    ValueError: labels that are no integers in 0..K-1, or K < 2.
  """
  true, others = _split(logits, labels)
  largest = others.max(axis=-1, keepdims=True)
  others -= largest
  np.exp(others, out=others)
  return true - largest[..., 0] - np.log(others.sum(axis=-1))


def global_threshold(scores: np.ndarray) -> np.ndarray:
  """The score of the untouched image, as it is: no shadow models.

  Ranked over all examples and models together it is the loss-threshold attack
  of Yeom et al. (2018): without calibration, an example that is easy for every
  model looks like a member. The baseline that LiRA has to beat.

  Args:
    scores: f64[Q, M, A]; view 0 of A is the untouched image.

  Returns:
    f64[Q, M].
  """
  return scores[:, :, 0]


def _split(
  logits: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """The true-class logit [...] and a copy [..., K] with it set to -inf."""
  # The copy is what keeps the caller's float64 logits whole: two scores are
  # taken from the same array.
  others = np.array(logits, np.float64)
  labels = np.asarray(labels)
  classes = others.shape[-1]
  if classes < 2:
    raise ValueError(f"logits have {classes} class(es): at least 2 needed")
  if labels.dtype.kind not in "iu":
    raise ValueError(f"labels are {labels.dtype}: integers needed")
  if labels.size and not 0 <= labels.min() <= labels.max() < classes:
    raise ValueError(
      f"labels lie in {labels.min()}..{labels.max()}: 0..{classes - 1} allowed"
    )
  index = np.broadcast_to(labels, others.shape[:-1])[..., None]
  true = np.take_along_axis(others, index, axis=-1)[..., 0]
  np.put_along_axis(others, index, -np.inf, axis=-1)
  return true, others
