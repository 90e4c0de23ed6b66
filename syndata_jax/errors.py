"""The one exception that a person is meant to read."""

import contextlib
from collections.abc import Iterator


class UserError(ValueError):
  """A mistake of the person who started the program.

  The message is one line that names the flag, field or file, the value it has
  and what is allowed. Programs print it on standard error and exit with 2.
  """


@contextlib.contextmanager
def prefixed(prefix: str) -> Iterator[None]:
  """Puts `prefix: ` before the message of a UserError raised in the block.

  For a caller who knows what the one who raises cannot: which of the person's
  fields a value came from. A function names its own arguments only.
  """
  try:
    yield
  except UserError as error:
    raise UserError(f"{prefix}: {error}") from error
