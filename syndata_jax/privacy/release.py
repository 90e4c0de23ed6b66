"""One release: what leaves the data, and the event that accounts for it."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from syndata_jax.errors import UserError
from syndata_jax.privacy import events, validate

if TYPE_CHECKING:
  from dp_accounting import DpEvent

# What replacing an example moves a sum at most, over what adding one does.
_TRIANGLE = 2.0


@dataclasses.dataclass(frozen=True)
class Release:
  """Something computed from private data that others may see.

  Attributes:
    mechanism: how it is made private, in one line.
    kind: what it is, in one word: `model`, `images`, `labels`, `counts`, ...
    event: its accounting, when one example is added or removed; see
      `events.primitives` for the types.
    details: the numbers of the mechanism, a line each.
    count: how often it is released, at least 1.
    delta: of one repetition, beside the event's: the probability that the
      mechanism is not the event's, whatever happens then. Added up.
    replace_one_sensitivity: how far one replaced example moves the released
      sums, over how far one added or removed does; above 0, at most 2. 2 for
      sums of clipped vectors (dp-accounting's convention), the square root of
      2 for a histogram in which each example has one vote. Another value than
      2 needs mechanisms without sampling.

  Raises:
    UserError: a field that is not as above.
  """

  mechanism: str
  kind: str
  event: DpEvent
  details: tuple[str, ...] = ()
  count: int = 1
  delta: float = 0.0
  replace_one_sensitivity: float = _TRIANGLE

  def __post_init__(self) -> None:
    validate.check_own_delta(self.delta)
    validate.check_sensitivity(self.replace_one_sensitivity)
    applied = events.primitives(self.event, self.count)
    is_sampled = any(
      hasattr(event, "sampling_probability") for event in applied
    )
    if is_sampled and self.replace_one_sensitivity != _TRIANGLE:
      raise UserError(
        f"replace_one_sensitivity={self.replace_one_sensitivity}: must be "
        f"{_TRIANGLE:g} under sampling"
      )

  def primitives(self, neighbours: str) -> dict[DpEvent, int]:
    """How often each primitive mechanism is applied.

    Args:
      neighbours: `replace_one` rescales the noise of mechanisms whose
        sensitivity is then less than twice that of `add_or_remove_one`.
    """
    applied = events.primitives(self.event, self.count)
    scale = _TRIANGLE / self.replace_one_sensitivity
    if neighbours != "replace_one" or scale == 1:
      return applied
    rescaled: collections.Counter[DpEvent] = collections.Counter()
    for event, count in applied.items():
      if hasattr(event, "rho"):
        event = type(event)(event.rho / scale**2, event.xi / scale**2)
      if hasattr(event, "noise_multiplier"):
        event = type(event)(scale * event.noise_multiplier)
      rescaled[event] += count
    return dict(rescaled)

  def as_dict(self) -> dict[str, Any]:
    """Ready for JSON."""
    fields = {
      field.name: getattr(self, field.name)
      for field in dataclasses.fields(self)
    }
    return fields | {
      "event": events.as_dict(self.event),
      "details": list(self.details),
    }

  @classmethod
  def from_dict(cls, fields: Mapping[str, Any]) -> Release:
    """The release of which `as_dict` was written.

    Raises:
      UserError: an event or a number that is not allowed.
      KeyError, TypeError: not what `as_dict` writes.
    """
    return cls(
      **{
        **fields,
        "event": events.from_dict(fields["event"]),
        "details": tuple(fields["details"]),
      }
    )
