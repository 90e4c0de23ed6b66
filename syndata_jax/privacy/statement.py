"""What a run with a formal guarantee says about itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from syndata_jax.errors import UserError
from syndata_jax.privacy import validate
from syndata_jax.privacy.release import Release
from syndata_jax.rounding import rounded_up

# Of the fields in JSON; 1 had those of DP-SGD alone.
_VERSION = 2

_RELATIONS = {
  "add_or_remove_one": "added or removed",
  "replace_one": "replaced",
}

# What is known of a search for hyper-parameters, and how a report says it.
TUNING = {
  "unaccounted": "a search on private data, if there was one, is not accounted",
  "accounted": "searched on private data, as one of the releases above",
  "none": "not searched on private data",
}


@dataclasses.dataclass(frozen=True)
class PrivacyStatement:
  """A guarantee, and everything it rests on.

  The questions are those of NIST SP 800-226, "Guidelines for Evaluating
  Differential Privacy Guarantees" (2025).

  Attributes:
    releases: all that leaves the data: what it is, by which mechanism.
    epsilon: of all together, when one example is added or removed, in nats;
      may be infinite.
    replace_one_epsilon: when one example is replaced, at the same delta.
    delta: of both, between 0 and 1.
    neighbours: the relation in which the claim is made, `add_or_remove_one` or
      `replace_one`.
    public: what was treated as public.
    unit: whose privacy it is, the "example" of the relation.
    trust_model: who sees the private data.
    tuning: hyper-parameters were searched on private data `unaccounted` (or
      nobody knows), `accounted` as releases, or not at all: `none`.
    scope: what the guarantee holds for.
    assumptions: what must be true beside the mathematics.

  Raises:
    UserError: a field that is not as above.
  """

  releases: tuple[Release, ...]
  epsilon: float
  replace_one_epsilon: float
  delta: float
  neighbours: str = "add_or_remove_one"
  public: tuple[str, ...] = ()
  unit: str = "one example"
  trust_model: str = "central, one trusted curator holds the private data"
  tuning: str = "unaccounted"
  scope: str = "all releases together"
  assumptions: tuple[str, ...] = ()

  def __post_init__(self) -> None:
    validate.check_delta(self.delta)
    validate.check_neighbours(self.neighbours)
    for name in ("epsilon", "replace_one_epsilon"):
      validate.check_not_negative(name, getattr(self, name))
    if self.tuning not in TUNING:
      raise UserError(
        f"tuning={self.tuning}: must be one of {', '.join(TUNING)}"
      )

  @property
  def num_releases(self) -> int:
    """Repetitions included."""
    return sum(release.count for release in self.releases)

  def as_dict(self) -> dict[str, Any]:
    """Ready for JSON, which knows no infinity: no guarantee is None."""
    fields = {
      field.name: getattr(self, field.name)
      for field in dataclasses.fields(self)
    }
    for name in ("epsilon", "replace_one_epsilon"):
      if math.isinf(fields[name]):
        fields[name] = None
    fields["releases"] = [release.as_dict() for release in self.releases]
    for name in ("public", "assumptions"):
      fields[name] = list(fields[name])
    return {
      "version": _VERSION,
      **fields,
      "num_releases": self.num_releases,
    }

  @classmethod
  def from_dict(cls, fields: Mapping[str, Any]) -> PrivacyStatement:
    """The statement of which `as_dict` was written.

    Raises:
      UserError: another version's, or damaged.
    """
    values = dict(fields)
    version = values.pop("version", None)
    if version != _VERSION:
      raise UserError(
        f"a privacy statement of version {version}: must be {_VERSION}"
      )
    try:
      num_releases = values.pop("num_releases")
      for name in ("epsilon", "replace_one_epsilon"):
        if values[name] is None:  # how JSON says infinity
          values[name] = math.inf
      for name in ("public", "assumptions"):
        values[name] = tuple(values[name])
      values["releases"] = tuple(map(Release.from_dict, values["releases"]))
      statement = cls(**values)
    except UserError as error:
      raise UserError(f"a damaged privacy statement: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
      raise UserError(f"a damaged privacy statement ({error!r})") from error
    if num_releases != statement.num_releases:
      raise UserError(
        f"a damaged privacy statement: num_releases={num_releases}, but it "
        f"lists {statement.num_releases}"
      )
    return statement

  def lines(self) -> list[str]:
    """For a person to read."""
    lines = [self._guarantee()]
    for release in self.releases:
      times = f", {release.count:,} times" if release.count > 1 else ""
      lines += [f"{release.kind}: {release.mechanism}{times}", *release.details]
    lines += [
      f"releases: {self.num_releases:,}; holds for {self.scope}",
      f"unit of privacy: {self.unit}",
      f"trust model: {self.trust_model}",
      f"public: {', '.join(self.public) or 'nothing'}",
      f"hyper-parameters: {TUNING[self.tuning]}",
    ]
    if self.assumptions:
      lines.append(f"assumed: {'; '.join(self.assumptions)}")
    return lines

  def _guarantee(self) -> str:
    epsilons = {
      "add_or_remove_one": self.epsilon,
      "replace_one": self.replace_one_epsilon,
    }
    claimed = epsilons.pop(self.neighbours)
    if math.isinf(claimed):
      return "no privacy guarantee: something is released without noise"
    ((other, value),) = epsilons.items()
    return (
      f"epsilon {rounded_up(claimed)} at delta {self.delta:.3g} when one "
      f"example is {_RELATIONS[self.neighbours]} (when one is "
      f"{_RELATIONS[other]}: epsilon {rounded_up(value)})"
    )
