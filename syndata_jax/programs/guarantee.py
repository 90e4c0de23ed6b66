"""The formal guarantee of a run: stated when it starts, checked at its end."""

import math
import pathlib
from typing import Any

from syndata_jax.attack import EpsilonBound
from syndata_jax.errors import UserError
from syndata_jax.privacy import PrivacyStatement
from syndata_jax.files import read_json, write_json
from syndata_jax.identity import differences
from syndata_jax.reporting import Guarantee

_FILE = "privacy.json"

# The same statement, computed by another processor or library version.
_TOLERANCE = 1e-6


def state(workdir: pathlib.Path, statement: PrivacyStatement | None) -> None:
  """Writes `privacy.json`, where the run has a guarantee.

  Raises:
    UserError: the run was started under another statement.
  """
  path = workdir / _FILE
  here = {} if statement is None else statement.as_dict()
  if not path.exists():
    if here:
      write_json(path, here)
    return
  changed = differences(read_json(path), here, _same)
  if changed:
    raise UserError(
      f"{path}: the run was started under another guarantee"
      f" ({'; '.join(changed)}); name another --workdir"
    )


def stated(workdir: pathlib.Path) -> PrivacyStatement | None:
  """Reads what `state` wrote; None where there is no guarantee.

  Raises:
    UserError: the file is damaged.
  """
  path = workdir / _FILE
  if not path.exists():
    return None
  fields = read_json(path)
  try:
    for name in ("epsilon", "replace_one_epsilon"):
      if fields[name] is None:  # how JSON says infinity
        fields[name] = math.inf
    fields["public"] = tuple(fields["public"])
    return PrivacyStatement(**fields)
  except (KeyError, TypeError) as error:
    raise UserError(f"{path}: damaged ({error!r}); delete it") from error


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
  return Guarantee(statement.lines(), epsilon)


def _same(there: Any, here: Any) -> bool:
  if isinstance(there, float) and isinstance(here, float):
    return math.isclose(there, here, rel_tol=_TOLERANCE)
  return there == here
