"""How long compiling takes: the first time, and through JAX's cache."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from syndata_jax.benchmarks.harness.record import Compilation

_SETTINGS = {
  "jax_enable_compilation_cache": True,
  "jax_persistent_cache_min_compile_time_secs": 0.0,
  "jax_persistent_cache_min_entry_size_bytes": -1,
}

# Programs from the cache live as long as the process: after freeing them,
# PyTorch in the same process was seen to stop with a corrupted heap.
_LOADED: list[jax.stages.Compiled] = []


def twice(
  lower: Callable[[], jax.stages.Lowered],
) -> tuple[jax.stages.Compiled, Compilation]:
  """Compiles with an empty cache, and again with the cache that this filled.

  Both times begin with Python's trace of the program, as in a new process.

  Args:
    lower: traces and lowers the program; called twice.

  Returns:
    The program, and the seconds of both.
  """
  with tempfile.TemporaryDirectory() as folder, _cache_in(folder):
    compiled, first = _compile(lower)
    loaded, again = _compile(lower)
  _LOADED.append(loaded)
  return compiled, Compilation(first, again)


def _compile(
  lower: Callable[[], jax.stages.Lowered],
) -> tuple[jax.stages.Compiled, float]:
  """The program, and its seconds with nothing in JAX's memory."""
  jax.clear_caches()
  start = time.perf_counter()
  compiled = lower().compile()
  return compiled, time.perf_counter() - start


@contextlib.contextmanager
def _cache_in(folder: str) -> Iterator[None]:
  """Lets JAX keep all it compiles in `folder`, for a while."""
  settings = _SETTINGS | {"jax_compilation_cache_dir": folder}
  previous = {name: getattr(jax.config, name) for name in settings}
  try:
    _configure(settings)
    yield
  finally:
    _configure(previous)


def _configure(settings: dict[str, Any]) -> None:
  for name, value in settings.items():
    jax.config.update(name, value)
  # JAX decides once where its cache is.
  compilation_cache.reset_cache()
