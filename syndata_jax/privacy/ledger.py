"""What has been released from one data set, and what it has cost together."""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import pathlib
from typing import TYPE_CHECKING, Any

from syndata_jax import files
from syndata_jax.errors import UserError, prefixed
from syndata_jax.privacy import validate
from syndata_jax.privacy.composition import composed_epsilon
from syndata_jax.privacy.release import Release
from syndata_jax.privacy.statement import PrivacyStatement
from syndata_jax.rounding import rounded_up

if TYPE_CHECKING:
  from dp_accounting import DpEvent

_VERSION = 1

# Of the budget: the round-off of noise that was solved for it.
_TOLERANCE = 1e-9


@dataclasses.dataclass(frozen=True)
class Ledger:
  """Releases from one data set, their common epsilon, and what is allowed.

  Nothing is changed: `add` returns another ledger.

  **What the epsilon means when releases depend on earlier ones.** A later
  release may ask anything, decided by what the earlier ones have shown: the
  losses of the mechanisms compose whatever is asked. Their *parameters* (noise,
  sampling rate, number, and whether there is another release at all) are
  another matter:

  - Fixed before the first release, as in a schedule: `epsilon` holds for every
    ledger. Stopping early is covered by the epsilon of the whole schedule.
  - Chosen by what earlier releases have shown, Gaussian mechanisms without
    sampling and deltas of their own alone: `budget` holds. `add` then compares
    the sum of squared sensitivities over variances with a constant, which is a
    valid privacy filter (Smith and Thakurta, "Fully Adaptive Composition for
    Gaussian Differential Privacy", arXiv 2210.17520; with Renyi divergences,
    looser: Feldman and Zrnic, arXiv 2008.11193). `epsilon` then depends on the
    data, and is no guarantee where it is below the budget.
  - Chosen so, any other ledger: neither holds in general. To compose loss
    distributions until a target is crossed is no valid filter ("f-Differential
    Privacy Filters: Validity and Approximate Solutions", arXiv 2602.06756),
    and for a running total (an odometer) even less can be had (Rogers et al.,
    "Privacy Odometers and Filters", arXiv 1605.08294).

  Attributes:
    delta: of all releases together, between 0 and 1.
    neighbours: the relation of `budget`: `add_or_remove_one` example, or
      `replace_one` by another.
    budget: the largest epsilon that `add` allows, in nats, above 0; None to
      allow any.
    releases: so far. Their own deltas must leave something of `delta`: the
      events are accounted at the rest.

  Raises:
    UserError: a field that is not as above.
  """

  delta: float
  neighbours: str = "add_or_remove_one"
  budget: float | None = None
  releases: tuple[Release, ...] = ()

  def __post_init__(self) -> None:
    validate.check_delta(self.delta)
    validate.check_neighbours(self.neighbours)
    if self.budget is not None:
      validate.check_positive("budget", self.budget)
    if self._rest_of_delta() <= 0:
      raise UserError(
        f"delta={self.delta}: must be above {self._own_delta():.4g}, the sum "
        "of the releases' own deltas"
      )

  def epsilon(self, neighbours: str | None = None) -> float:
    """Of all releases together, in nats, at `delta`; may be infinite.

    Args:
      neighbours: another relation than that of the budget.
    """
    neighbours = neighbours or self.neighbours
    total: collections.Counter[DpEvent] = collections.Counter()
    for release in self.releases:
      total.update(release.primitives(neighbours))
    return composed_epsilon(total, self._rest_of_delta(), neighbours)

  def add(self, release: Release) -> Ledger:
    """The ledger with one release more; to be saved before it is published.

    Raises:
      UserError: epsilon would exceed the budget, or the releases' own deltas
        would use up `delta`.
    """
    ledger = dataclasses.replace(self, releases=(*self.releases, release))
    if self.budget is None:
      return ledger
    total = ledger.epsilon()
    if total > self.budget * (1 + _TOLERANCE):
      raise UserError(
        f"budget={self.budget:g}: epsilon {rounded_up(self.epsilon())} is "
        f"spent, {release.kind} by {release.mechanism} would make it "
        f"{rounded_up(total)} ({self.neighbours}, delta {self.delta:g})"
      )
    return ledger

  def statement(self, **answers: Any) -> PrivacyStatement:
    """The guarantee of all releases so far.

    Args:
      **answers: the fields of `PrivacyStatement` that are words: `public`,
        `unit`, `trust_model`, `tuning`, `scope`, `assumptions`.
    """
    return PrivacyStatement(
      releases=self.releases,
      epsilon=self.epsilon("add_or_remove_one"),
      replace_one_epsilon=self.epsilon("replace_one"),
      delta=self.delta,
      neighbours=self.neighbours,
      **answers,
    )

  def save(self, path: pathlib.Path) -> None:
    """Writes JSON in one step: the file is the old one or the new one."""
    files.write_json(path, self.as_dict())

  @classmethod
  def load(cls, path: pathlib.Path, expected: Ledger | None = None) -> Ledger:
    """Reads what `save` wrote.

    Args:
      path: the file.
      expected: the ledger with which a resumed run would begin: the one in the
        file must have its delta, relation and budget, and start with its
        releases.

    Raises:
      UserError: no such file, damaged, of another version, or not as expected.
    """
    try:
      fields = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
      raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
      raise UserError(f"{path}: a damaged ledger ({error})") from error
    with prefixed(str(path)):
      ledger = cls.from_dict(fields)
      if expected is not None:
        ledger.refuse_other(expected)
    return ledger

  @classmethod
  def from_dict(cls, fields: Any) -> Ledger:
    """The ledger of which `as_dict` was written.

    Raises:
      UserError: damaged, or of another version.
    """
    try:
      values = dict(fields)
      version = values.pop("version", None)
    except (TypeError, ValueError) as error:
      raise UserError(f"a damaged ledger ({error})") from error
    if version != _VERSION:
      raise UserError(f"a ledger of version {version}: must be {_VERSION}")
    try:
      releases = tuple(map(Release.from_dict, values.pop("releases")))
      return cls(**values, releases=releases)
    except UserError as error:
      raise UserError(f"a damaged ledger: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
      raise UserError(f"a damaged ledger ({error!r})") from error

  def refuse_other(self, expected: Ledger) -> None:
    """Refuses a stored ledger with which a run would not have begun.

    Args:
      expected: as in `load`.

    Raises:
      UserError: another delta, relation or budget, or other first releases.
    """
    for name in ("delta", "neighbours", "budget"):
      stored, current = getattr(self, name), getattr(expected, name)
      if stored != current:
        raise UserError(
          f"another ledger ({name} is {stored} there and {current} here)"
        )
    if self.releases[: len(expected.releases)] != expected.releases:
      raise UserError("another ledger (its first releases differ)")

  def as_dict(self) -> dict[str, Any]:
    """Ready for JSON."""
    return {
      "version": _VERSION,
      "delta": self.delta,
      "neighbours": self.neighbours,
      "budget": self.budget,
      "releases": [release.as_dict() for release in self.releases],
    }

  def _own_delta(self) -> float:
    return math.fsum(release.count * release.delta for release in self.releases)

  def _rest_of_delta(self) -> float:
    return self.delta - self._own_delta()
