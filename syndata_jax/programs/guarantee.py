"""The formal guarantee of a run: stated when it starts, checked at its end."""

import math
import pathlib
from typing import Any

from syndata_jax.attack import EpsilonBound
from syndata_jax.errors import UserError
from syndata_jax.files import read_json, write_json
from syndata_jax.identity import differences
from syndata_jax.privacy import PrivacyStatement
from syndata_jax.reporting import Guarantee

_FILE = "privacy.json"

# The same statement, computed by another processor or library version.
_TOLERANCE = 1e-6

# Words about numbers that the other fields hold, or `config.json` compares.
_REPEATED = "details"


def state(workdir: pathlib.Path, statement: PrivacyStatement | None) -> None:
  """Writes `privacy.json`, where the run has a guarantee.

  Raises:
    UserError: the run was started under another statement, or the file is
      damaged.
  """
  path = workdir / _FILE
  stored = stated(workdir)
  if stored is None:
    if statement is not None:
      write_json(path, statement.as_dict())
    return
  current = {} if statement is None else _flat(statement.as_dict())
  changed = differences(_flat(stored.as_dict()), current, _same)
  if changed:
    raise UserError(
      f"{path}: the run was started under another guarantee"
      f" ({'; '.join(changed)}); name another --workdir"
    )


def stated(workdir: pathlib.Path) -> PrivacyStatement | None:
  """Reads what `state` wrote; None where there is no guarantee.

  Raises:
    UserError: the file is damaged, or was written by another version.
  """
  path = workdir / _FILE
  if not path.exists():
    return None
  fields = read_json(path)
  try:
    return PrivacyStatement.from_dict(fields)
  except UserError as error:
    raise UserError(
      f"{path}: {error}; delete it, or name another --workdir"
    ) from error


def promised(
  statement: PrivacyStatement | None, bound: EpsilonBound
) -> Guarantee | None:
  """What the report sets beside the bound: the claim that it would refute."""
  if statement is None:
    return None
  if bound.neighbours == "replace_one":
    epsilon = statement.replace_one_epsilon
  else:
    epsilon = statement.epsilon
  return Guarantee(statement.lines(), epsilon, statement.epsilon)


def _flat(value: Any, name: str = "") -> dict[str, Any]:
  """Nested JSON as one level: `releases[0].event.count`."""
  if isinstance(value, dict):
    parts = [
      (f"{name}.{key}" if name else key, part)
      for key, part in value.items()
      if key != _REPEATED
    ]
  elif isinstance(value, list):
    parts = [(f"{name}[{index}]", part) for index, part in enumerate(value)]
  else:
    return {name: value}
  return {
    path: leaf for key, part in parts for path, leaf in _flat(part, key).items()
  }


def _same(stored: Any, current: Any) -> bool:
  if isinstance(stored, float) and isinstance(current, float):
    return math.isclose(stored, current, rel_tol=_TOLERANCE)
  return stored == current
