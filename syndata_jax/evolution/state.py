"""What a run has paid for: one file, whole or not at all.

Ledger and noisy histogram are written together, before anything follows from
the histogram: what is in the file is paid for and is not drawn again, and what
is not in the file nobody has seen. The key of the noise is not in it, for with
it the noise could be subtracted; and nothing in it is clean.
"""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax import files, identity
from syndata_jax.errors import UserError, prefixed
from syndata_jax.evolution.api import Samples
from syndata_jax.evolution.population import Population
from syndata_jax.privacy import Ledger

FILE = "evolution.npz"
_VERSION = 1
_OBJECTS = "O"


class State(NamedTuple):
  """A run so far.

  Attributes:
    ledger: with every release that was paid for.
    sizes: parents of each class; empty while they are not known.
    check: what the start check answered, its fields, None where it did not.
    noisy: the histograms, f32[S] each.
    noises: their noise multipliers.
    epsilons: spent after each.
    ancestors: random samples of which somebody was left, before each.
    population: the candidates of the last histogram, None before any.
  """

  ledger: Ledger
  sizes: tuple[int, ...] = ()
  check: dict[str, Any] | None = None
  noisy: tuple[np.ndarray, ...] = ()
  noises: tuple[float, ...] = ()
  epsilons: tuple[float, ...] = ()
  ancestors: tuple[int, ...] = ()
  population: Population | None = None


def save(folder: pathlib.Path, state: State, run: Mapping[str, Any]) -> None:
  """Writes the file; nobody but its owner may read it.

  Args:
    folder: where it is.
    state: of the run.
    run: settings and circumstances that it cannot go on without.
  """
  arrays, kinds = {}, []
  if state.population is not None:
    for number, leaf in enumerate(jax.tree.leaves(state.population)):
      array = np.asarray(leaf)
      kinds.append(array.dtype.kind)
      text = array.dtype.kind == _OBJECTS
      arrays[f"population_{number:03}"] = _as_bytes(array) if text else array
  for number, noisy in enumerate(state.noisy):
    arrays[f"noisy_{number:03}"] = np.asarray(noisy, np.float32)
  fields = {
    "version": _VERSION,
    "run": dict(run),
    "ledger": state.ledger.as_dict(),
    "sizes": state.sizes,
    "check": state.check,
    "noises": state.noises,
    "epsilons": state.epsilons,
    "ancestors": state.ancestors,
    "kinds": kinds,
  }
  head = np.frombuffer(json.dumps(fields).encode(), np.uint8)
  folder.mkdir(parents=True, exist_ok=True)
  with files.write_stream(folder / FILE, files.PRIVATE) as stream:
    np.savez(stream, **{"head": head, **arrays})  # type: ignore[arg-type]


def load(
  folder: pathlib.Path,
  expected: Ledger,
  run: Mapping[str, Any],
  like: Callable[[tuple[int, ...]], Samples],
) -> State | None:
  """Reads what `save` wrote; None where there is nothing.

  Args:
    folder: where it is.
    expected: the ledger with which the run began.
    run: as the run would write it now.
    like: samples of the structure that the stored ones have, by class sizes.

  Raises:
    UserError: damaged, or of another run, such as one of more iterations.
  """
  path = folder / FILE
  if not path.exists():
    return None
  arrays = files.read_arrays(path)
  with prefixed(str(path)):
    fields = _head(arrays)
    others = identity.differences(fields["run"], json.loads(json.dumps(run)))
    if others:
      raise UserError(
        f"another run ({others[0]}); what it released is paid for: go on with"
        " its settings, or name another folder"
      )
    ledger = Ledger.from_dict(fields["ledger"])
    ledger.refuse_other(expected)
    try:
      sizes = tuple(fields["sizes"])
      return State(
        ledger,
        sizes,
        fields["check"],
        tuple(arrays[f"noisy_{i:03}"] for i in range(len(fields["noises"]))),
        tuple(fields["noises"]),
        tuple(fields["epsilons"]),
        tuple(fields["ancestors"]),
        _population(arrays, fields["kinds"], sizes, like),
      )
    except UserError:  # of the generator
      raise
    except (KeyError, TypeError, ValueError) as error:
      raise UserError(f"damaged ({type(error).__name__})") from error


def _as_bytes(texts: np.ndarray) -> np.ndarray:
  """Texts as JSON, u8[...]: no padding, and every character survives."""
  return np.frombuffer(json.dumps(texts.tolist()).encode(), np.uint8)


def _as_text(content: np.ndarray) -> np.ndarray:
  return np.array(json.loads(content.tobytes()), object)


def _head(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
  try:
    fields = json.loads(arrays["head"].tobytes())
    version = fields["version"]
  except (KeyError, TypeError, ValueError) as error:
    raise UserError(f"damaged ({type(error).__name__})") from error
  if version != _VERSION:
    raise UserError(f"of version {version}: must be {_VERSION}")
  return fields


def _population(
  arrays: Mapping[str, np.ndarray],
  kinds: list[str],
  sizes: tuple[int, ...],
  like: Callable[[tuple[int, ...]], Samples],
) -> Population | None:
  """The stored population.

  Args:
    arrays: of the file.
    kinds: of each of its leaves, those of NumPy's types.
    sizes: parents of each class.
    like: as in `load`.
  """
  if not kinds:
    return None
  leaves: list[Any] = []
  for number, kind in enumerate(kinds):
    array = arrays[f"population_{number:03}"]
    leaves.append(_as_text(array) if kind == _OBJECTS else array)
  *samples, labels, ancestor = leaves
  structure = jax.tree.structure(like(sizes))
  return Population(
    jax.tree.unflatten(structure, samples),
    jnp.asarray(labels),
    jnp.asarray(ancestor),
  )
