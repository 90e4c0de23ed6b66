"""The attack without shadow models: one threshold for all examples."""

import numpy as np


def global_threshold(scores: np.ndarray) -> np.ndarray:
  """The score of the untouched image, as it is.

  Ranked over all examples and models together it is the loss-threshold attack
  of Yeom et al. (2018): without calibration, an example that is easy for every
  model looks like a member. The baseline that LiRA has to beat.

  Args:
    scores: f64[Q, M, A]; view 0 of A is the untouched image.

  Returns:
    f64[Q, M].
  """
  return scores[:, :, 0]
