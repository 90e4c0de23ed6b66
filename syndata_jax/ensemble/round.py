"""What a stage tells after every round."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Round(NamedTuple):
  """What is known after one round of a stage, such as an epoch."""

  stage: str
  number: int  # 1 is the first
  of: int  # rounds of the whole stage
  seconds: float  # wall time; that of the first includes compilation
  images: int  # presented to all models together
  left: int  # images of the rounds to come
  metrics: dict[str, np.ndarray]  # f32[M] each


OnRound = Callable[[Round], None]
