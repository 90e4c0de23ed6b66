"""What a machine could do at most: the yardstick of utilisation."""

import functools
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax import keys
from syndata_jax.ensemble.flops import peak_flops

_SIDE = 2048
_ROUNDS = 7


def peak(devices: Sequence[jax.Device], dtype: jnp.dtype) -> float | None:
  """Operations a second of all the devices together.

  An accelerator's is that of its data sheet, None where it is not known. CPU
  devices share the cores, so theirs is `measured`, however many they are.
  """
  if devices[0].platform == "cpu":
    return measured()
  of_first = peak_flops(devices[0], dtype)
  return of_first * len(devices) if of_first else None


@functools.cache
def measured() -> float:
  """The fastest of a few large float32 matrix products on all CPU cores.

  It is what BLAS reaches on this machine, not the processor's data sheet.
  """
  draw = keys.generator(0, "benchmarks/peak")
  a, b = draw.normal(size=(2, _SIDE, _SIDE)).astype(np.float32)
  seconds = []
  for _ in range(_ROUNDS):
    start = time.perf_counter()
    np.matmul(a, b)
    seconds.append(time.perf_counter() - start)
  return 2.0 * _SIDE**3 / min(seconds)
