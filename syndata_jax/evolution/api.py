"""What Private Evolution asks of a generator, and how its answers are checked.

A generator of one's own:

    class Dots(Api):
      traceable = True

      def random(self, key, labels):
        return jax.random.uniform(key, (len(labels), 2))

      def variation(self, key, samples, labels, degree):
        step = degree * jax.random.normal(key, samples.shape)
        return jnp.clip(samples + step, 0, 1)
"""

import dataclasses
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

import jax
import numpy as np

from syndata_jax.errors import UserError

# A pytree of arrays with a leading axis B: images, parameters of a simulator,
# columns of a table; NumPy's arrays of strings for text.
Samples = Any


class Api(Protocol):
  """A generator; it never sees a private record.

  Attributes:
    traceable: whether its methods are pure JAX functions: a whole iteration is
      then compiled, and vmapped over shadow models.
    public: what it knew before, a line each, for the privacy statement, such as
      "fonts of matplotlib".
  """

  traceable: bool = False
  public: tuple[str, ...] = ()

  def random(self, key: jax.Array, labels: jax.Array) -> Samples:
    """New samples of these classes, i32[B]."""
    ...

  def variation(
    self,
    key: jax.Array,
    samples: Samples,
    labels: jax.Array,
    degree: float | jax.Array,
  ) -> Samples:
    """One variation of each sample, of the same structure and shapes.

    Args:
      key: of what is drawn.
      samples: B of them.
      labels: their classes, i32[B].
      degree: how far, in [0, 1]: 0 leaves a sample as it is, or nearly so, 1
        may change anything about it.
    """
    ...

  def render(self, samples: Samples) -> Any:
    """What is embedded and released: u8[B,H,W,C] for images."""
    return samples

  def inherit(
    self,
    key: jax.Array,
    parents: Samples,
    weights: jax.Array,
    population: Samples,
  ) -> Samples:
    """The parents as they are varied; here as they were selected.

    Args:
      key: of what is drawn.
      parents: B selected samples.
      weights: thresholded noisy votes of the population, f32[S]; zeros before
        the first vote.
      population: of which the parents were selected, S samples.
    """
    del key, weights, population
    return parents


@dataclasses.dataclass(frozen=True)
class Checked(Api):
  """A generator whose failures are each one `UserError`; see `checked`."""

  api: Api
  name: str
  seconds: float

  @property
  def traceable(self) -> bool:  # type: ignore[override]
    """That of the generator."""
    return self.api.traceable

  @property
  def public(self) -> tuple[str, ...]:  # type: ignore[override]
    """That of the generator."""
    return tuple(self.api.public)

  def random(self, key: jax.Array, labels: jax.Array) -> Samples:
    """As `Api.random`."""
    samples = self._call("random", key, labels)
    self._require_rows("random", samples, len(labels))
    return samples

  def variation(
    self,
    key: jax.Array,
    samples: Samples,
    labels: jax.Array,
    degree: float | jax.Array,
  ) -> Samples:
    """As `Api.variation`."""
    if not self.traceable:
      degree = float(degree)
    varied = self._call("variation", key, samples, labels, degree)
    self._require_same("variation", varied, samples)
    return varied

  def render(self, samples: Samples) -> Any:
    """As `Api.render`."""
    rendered = self._call("render", samples)
    self._require_rows("render", rendered, num_rows(samples))
    return rendered

  def inherit(
    self,
    key: jax.Array,
    parents: Samples,
    weights: jax.Array,
    population: Samples,
  ) -> Samples:
    """As `Api.inherit`."""
    heirs = self._call("inherit", key, parents, weights, population)
    self._require_same("inherit", heirs, parents)
    return heirs

  def _call(self, method: str, *arguments: Any) -> Any:
    function = getattr(self.api, method)
    if not self.traceable:
      arguments = jax.tree.map(_on_host, arguments)
    try:
      if self.traceable or not self.seconds:
        return function(*arguments)
      return _within(self.seconds, function, *arguments)
    except UserError:
      raise
    except TimeoutError as error:
      if error.args:  # the generator's own
        raise self._refusal(method, f"failed ({_line(error)})") from error
      raise self._refusal(
        method, f"gave no answer in {self.seconds:g} seconds"
      ) from None
    except Exception as error:  # a user's code may raise anything
      raise self._refusal(method, f"failed ({_line(error)})") from error

  def _require_rows(self, method: str, tree: Any, count: int) -> None:
    leaves = jax.tree.leaves(tree)
    shapes = [tuple(getattr(leaf, "shape", ())) for leaf in leaves]
    if not leaves or any(shape[:1] != (count,) for shape in shapes):
      raise self._refusal(
        method,
        f"gave arrays of shapes {shapes}: must have a leading axis of {count},"
        " the number of labels",
      )

  def _require_same(self, method: str, tree: Any, given: Any) -> None:
    self._require_rows(method, tree, num_rows(given))
    if _signature(tree) != _signature(given):
      raise self._refusal(
        method,
        f"gave {_described(tree)}: must be of the structure and shapes of its"
        f" input, {_described(given)}",
      )

  def _refusal(self, method: str, problem: str) -> UserError:
    return UserError(f"api={self.name}: {method} {problem}")


def checked(api: Api, name: str = "", seconds: float = 0.0) -> Checked:
  """The generator with its answers checked.

  Wrong shapes, a failure, or no answer in time is one `UserError` that names
  the generator and its method. Shapes are checked while a traceable one is
  traced; only others can be stopped waiting for.

  Args:
    api: the generator.
    name: in messages; that of its class by default.
    seconds: for an answer; 0 for any time.
  """
  return Checked(api, name or type(api).__name__, seconds)


def num_rows(tree: Any) -> int:
  """B, the leading axis of a pytree of arrays."""
  return int(jax.tree.leaves(tree)[0].shape[0])


def _on_host(leaf: Any) -> Any:
  """NumPy's array of a JAX array; keys stay what they are."""
  is_array = isinstance(leaf, jax.Array)
  if is_array and not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    return np.asarray(leaf)
  return leaf


def _within(
  seconds: float, function: Callable[..., Any], *arguments: Any
) -> Any:
  """The function's result; `TimeoutError()` where it takes longer.

  What hangs goes on in a thread that does not keep the process alive.
  """
  answers: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

  def run() -> None:
    try:
      answers.put((True, function(*arguments)))
    except BaseException as error:
      answers.put((False, error))

  threading.Thread(target=run, daemon=True).start()
  try:
    succeeded, answer = answers.get(timeout=seconds)
  except queue.Empty:
    raise TimeoutError from None
  if succeeded:
    return answer
  raise answer


def _signature(tree: Any) -> tuple[Any, ...]:
  leaves, structure = jax.tree.flatten(tree)
  # The length of strings is no part of what they are.
  kinds = [
    leaf.dtype.kind if leaf.dtype.kind in "OU" else leaf.dtype
    for leaf in leaves
  ]
  shapes = [tuple(leaf.shape) for leaf in leaves]
  return structure, tuple(shapes), tuple(kinds)


def _described(tree: Any) -> str:
  return ", ".join(
    f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(tree)
  )


def _line(error: BaseException) -> str:
  lines = str(error).strip().splitlines()
  return f"{type(error).__name__}: {lines[0]}" if lines else repr(error)
