"""How much of a model's data is audited: too much is another training task."""

from typing import NamedTuple

# Mislabelled images above it lower the accuracy that is audited. A rule of
# thumb, not a bound.
MOST_CANARIES = 0.05


class Shares(NamedTuple):
  """Parts of one model's data, fractions."""

  canaries: float
  audited: float  # canaries and average examples

  @property
  def too_many_canaries(self) -> bool:
    """Whether a report must warn of them."""
    return self.canaries > MOST_CANARIES


def shares(num_canaries: int, num_average: int, num_members: int) -> Shares:
  """The shares of a model that has half of the audited examples.

  Args:
    num_canaries: Q of the audit; with one model, half of them on average.
    num_average: V of the audit, likewise.
    num_members: n, the size of a model's data; `num_members` of
      `machine.json`.
  """
  canaries, average = num_canaries / 2, num_average / 2
  return Shares(canaries / num_members, (canaries + average) / num_members)
