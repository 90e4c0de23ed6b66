"""A release that is about to be made: counted before anyone can know it.

Clients draw their noise once. If the server dies between asking them to take
their masks off and storing the sum, the sum cannot be had again, but somebody
may have seen it; so it is paid for.
"""

from __future__ import annotations

import pathlib
from typing import NamedTuple

from syndata_jax import files
from syndata_jax.errors import UserError, prefixed
from syndata_jax.privacy import Ledger

FILE = "pending.json"


class Pending(NamedTuple):
  """A release that was about to be made.

  Attributes:
    iteration: of it, from 0.
    noise_multiplier: of it.
    ledger: with it.
  """

  iteration: int
  noise_multiplier: float
  ledger: Ledger


def save(folder: pathlib.Path, pending: Pending) -> None:
  """Writes it, before the masks are taken off."""
  folder.mkdir(parents=True, exist_ok=True)
  fields = pending._asdict() | {"ledger": pending.ledger.as_dict()}
  files.write_json(folder / FILE, fields)


def load(folder: pathlib.Path) -> Pending | None:
  """Reads what `save` wrote; None where there is nothing.

  Raises:
    UserError: damaged.
  """
  path = folder / FILE
  if not path.exists():
    return None
  fields = files.read_json(path)
  with prefixed(str(path)):
    try:
      return Pending(
        int(fields["iteration"]),
        float(fields["noise_multiplier"]),
        Ledger.from_dict(fields["ledger"]),
      )
    except (KeyError, TypeError) as error:
      raise UserError(f"damaged ({type(error).__name__})") from error


def clear(folder: pathlib.Path) -> None:
  """Forgets it: it is stored, or came to nothing."""
  (folder / FILE).unlink(missing_ok=True)
