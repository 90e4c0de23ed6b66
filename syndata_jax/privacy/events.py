"""The `DpEvent`s of dp-accounting that a release may consist of.

An event says what accounting needs to know of a mechanism, and no more. Here
they are checked, taken apart into primitive mechanisms, and turned into JSON
and back.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from syndata_jax.errors import UserError
from syndata_jax.privacy import validate

if TYPE_CHECKING:
  from dp_accounting import DpEvent

# dp_accounting takes a second to import: each function does so for itself.

_SUPPORTED = (
  "GaussianDpEvent",
  "LaplaceDpEvent",
  "PoissonSampledDpEvent",
  "SelfComposedDpEvent",
  "ComposedDpEvent",
  "ZCDpEvent",
  "NonPrivateDpEvent",
  "DiscreteGaussianDpEvent",
)


def primitives(event: DpEvent, count: int = 1) -> dict[DpEvent, int]:
  """Takes an event apart.

  Args:
    event: of `GaussianDpEvent`, `LaplaceDpEvent`, `PoissonSampledDpEvent` of a
      Gaussian, `DiscreteGaussianDpEvent`, `ZCDpEvent` (which needs to hold at
      whole orders alone), `NonPrivateDpEvent`, and compositions of these.
    count: repetitions of the event, at least 1.

  Returns:
    How often each primitive mechanism is applied. `PoissonSampledDpEvent` and
    what it samples is one of them.

  Raises:
    UserError: another event, or a number in it that has no meaning.
  """
  import dp_accounting

  from syndata_jax.privacy.discrete_event import DiscreteGaussianDpEvent

  validate.check_count("count", count)
  match event:
    case dp_accounting.SelfComposedDpEvent():
      validate.check_count("count", event.count)
      return primitives(event.event, count * event.count)
    case dp_accounting.ComposedDpEvent():
      total: collections.Counter[DpEvent] = collections.Counter()
      for part in event.events:
        total.update(primitives(part, count))
      return dict(total)
    case dp_accounting.PoissonSampledDpEvent():
      if not isinstance(event.event, dp_accounting.GaussianDpEvent):
        raise UserError(
          f"event=PoissonSampledDpEvent of {type(event.event).__name__}: only "
          "a GaussianDpEvent can be sampled"
        )
      validate.check_sampling(event.sampling_probability, count)
      validate.check_noise(event.event.noise_multiplier)
    case dp_accounting.GaussianDpEvent() | dp_accounting.LaplaceDpEvent():
      validate.check_noise(event.noise_multiplier)
    case DiscreteGaussianDpEvent():
      validate.check_noise(event.standard_deviation)
      validate.check_count("coordinates", event.coordinates)
    case dp_accounting.ZCDpEvent():
      validate.check_positive("rho", event.rho)
      validate.check_not_negative("xi", event.xi)
    case dp_accounting.NonPrivateDpEvent():
      pass
    case _:
      raise _unsupported(type(event).__name__)
  return {event: count}


def as_dict(event: DpEvent) -> dict[str, Any]:
  """An event that `primitives` takes, ready for JSON."""
  import attr

  fields: dict[str, Any] = {"type": type(event).__name__}
  for field in attr.fields(type(event)):
    value = getattr(event, field.name)
    if field.name == "event":
      value = as_dict(value)
    elif field.name == "events":
      value = [as_dict(part) for part in value]
    else:  # a number, perhaps NumPy's
      is_whole = field.name in ("count", "coordinates")
      value = int(value) if is_whole else float(value)
    fields[field.name] = value
  return fields


def from_dict(fields: Mapping[str, Any]) -> DpEvent:
  """The event of which `as_dict` was written.

  Raises:
    UserError: a type that is not supported.
    KeyError, TypeError: not what `as_dict` writes.
  """
  import dp_accounting

  from syndata_jax.privacy.discrete_event import DiscreteGaussianDpEvent

  values = dict(fields)
  kind = values.pop("type")
  if kind not in _SUPPORTED:
    raise _unsupported(kind)
  if "event" in values:
    values["event"] = from_dict(values["event"])
  if "events" in values:
    values["events"] = [from_dict(part) for part in values["events"]]
  if kind == DiscreteGaussianDpEvent.__name__:
    return DiscreteGaussianDpEvent(**values)
  return getattr(dp_accounting, kind)(**values)


def _unsupported(kind: str) -> UserError:
  return UserError(f"event={kind}: must be one of {', '.join(_SUPPORTED)}")
