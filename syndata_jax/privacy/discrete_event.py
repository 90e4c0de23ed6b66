"""The event of the discrete Gaussian on a histogram, which dp-accounting lacks.

Imported where it is needed, as dp_accounting takes a second.
"""

import attr
from dp_accounting import DpEvent


@attr.s(frozen=True, slots=True, auto_attribs=True)
class DiscreteGaussianDpEvent(DpEvent):
  """Discrete Gaussian noise on a histogram of whole numbers.

  Attributes:
    standard_deviation: sigma of the noise of a bin, in votes.
    coordinates: bins that one example moves by one, if added or removed; a
      replaced one moves twice as many.
  """

  standard_deviation: float
  coordinates: int = 1
