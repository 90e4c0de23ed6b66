"""Several processes that train one ensemble together (`jax.distributed`).

All of them run the same program on the same settings and data. Devices
compute, and the lead process alone writes files.
"""

from collections.abc import Sequence

import jax
import numpy as np

from syndata_jax.errors import UserError


def is_lead() -> bool:
  """Whether this process writes the files."""
  return jax.process_index() == 0


def first_local(devices: Sequence[jax.Device]) -> jax.Device:
  """The first of the devices that this process may ask about its memory."""
  process = jax.process_index()
  return next(d for d in devices if d.process_index == process)


def agree(value: int, what: str) -> None:
  """Makes sure that all processes came to the same number.

  Args:
    value: what this process has found.
    what: its name, for the error.

  Raises:
    UserError: another process found another one; all would wait for ever.
  """
  if jax.process_count() == 1:
    return
  from jax.experimental import multihost_utils

  values = multihost_utils.process_allgather(np.int32(value))
  if (values != value).any():
    found = ", ".join(map(str, values))
    raise UserError(
      f"processes 0 to {len(values) - 1} disagree on {what} ({found}): give"
      " them the same flags and a folder that all of them can read"
    )
