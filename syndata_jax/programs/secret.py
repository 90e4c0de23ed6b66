"""The key of all draws of an evolution, which nobody else may know.

Who has the noisy votes and the key can draw the noise again and subtract it. A
secret key is therefore drawn from the operating system, lies in a file of its
own while a run may have to be resumed, and is removed when it is over.
"""

import pathlib
import secrets

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax import files
from syndata_jax.errors import UserError
from syndata_jax.programs.evolving import SECRET

FILE = "noise.key"


def key_of(folder: pathlib.Path, seed: int) -> jax.Array:
  """The typed key of a run: that of its file, a new one, or that of a seed.

  Args:
    folder: of the run.
    seed: `evolving.SECRET` for a secret key.

  Raises:
    UserError: the file is damaged.
  """
  if seed != SECRET:
    return jax.random.key(seed)
  # As many words as the generator has: 64 bits of threefry.
  shape = jax.random.key_data(jax.random.key(0)).shape
  path = folder / FILE
  if not path.exists():
    files.write(path, secrets.token_bytes(4 * int(shape[0])), files.PRIVATE)
  words = np.frombuffer(path.read_bytes(), np.uint8)
  if len(words) != 4 * shape[0]:
    raise UserError(f"{path}: damaged; restore it, or name another folder")
  return jax.random.wrap_key_data(jnp.asarray(words.view(np.uint32)))


def forget(folder: pathlib.Path) -> None:
  """Removes the key of a run that is over."""
  (folder / FILE).unlink(missing_ok=True)
