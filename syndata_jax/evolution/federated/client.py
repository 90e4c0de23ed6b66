"""What one client computes: its votes, clipped, rounded and with noise.

Everything here sees private records and stays with the client. What leaves it
is `contribution`, and that under the masks of the secure sum alone.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence

import numpy as np

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.evolution.federated.mechanism import DistributedSkellam
from syndata_jax.images.neighbours import Metric, nearest

# Draws of a rounding, each of which is short enough with probability 0.39 at
# least: what is left after so many has probability 1e-218.
_DRAWS = 1000


def clean_votes(
  embeddings: np.ndarray,
  labels: np.ndarray,
  candidates: np.ndarray,
  sizes: Sequence[int],
  k: int = 1,
  metric: Metric = "l2",
) -> np.ndarray:
  """The votes of one client's records, each within its class.

  Args:
    embeddings: of the records, f32[P,D].
    labels: i32[P], classes.
    candidates: f32[M,D], sorted by class.
    sizes: candidates of each class, sum M.
    k: nearest candidates a record votes for, with 1/sqrt(k) each.
    metric: `l2` or `cosine`.

  Returns:
    f64[M]; the votes of each record have L2 norm 1. Records of a class without
    candidates have none.

  Raises:
    UserError: fewer candidates than k in a class that has some, or shapes that
      do not match.
  """
  if sum(sizes) != len(candidates):
    raise UserError(
      f"sizes={list(sizes)}: must sum to the number of candidates"
      f" ({len(candidates)})"
    )
  for size in filter(None, sizes):  # of all classes: what is held is private
    validate.within(1, size, k=k)
  votes = np.zeros(len(candidates))
  starts = np.cumsum(sizes) - np.asarray(sizes)
  for label, (start, size) in enumerate(zip(starts, sizes, strict=True)):
    records = embeddings[labels == label]
    if not size or not len(records):
      continue
    _, rows = nearest(records, candidates[start : start + size], k, metric)
    np.add.at(votes, start + rows.ravel(), 1 / math.sqrt(k))
  return votes


def clipped(votes: np.ndarray, clip_norm: float) -> np.ndarray:
  """The whole vector shortened to L2 norm C where it is longer.

  Never made longer: a client with few records keeps few votes.

  Args:
    votes: real[M], of all classes together.
    clip_norm: C.
  """
  norm = float(np.linalg.norm(votes))
  return votes * (clip_norm / norm) if norm > clip_norm else votes


def rounded(
  steps: np.ndarray, squared_bound: int, generator: np.random.Generator
) -> np.ndarray:
  """Each entry rounded up or down at random, right on average, norm bounded.

  Conditional rounding of Kairouz, Liu and Steinke (arXiv 2102.06387): drawn
  again until the result is short enough, which is checked in whole numbers.

  Args:
    steps: f64[M], not negative.
    squared_bound: of the squared L2 norm of the result; at least that of
      `steps`.
    generator: of what is drawn.

  Returns:
    i64[M].
  """
  floor = np.floor(steps)
  below = floor.astype(np.int64)
  for _ in range(_DRAWS):
    whole = below + (generator.random(len(steps)) < steps - floor)
    if _squared(whole) <= squared_bound:
      return whole
  return below


def noise_share(
  variance: float, size: int, generator: np.random.Generator
) -> np.ndarray:
  """Skellam noise i64[size] of this variance: a difference of two Poissons.

  Args:
    variance: at least 0.
    size: entries.
    generator: of what is drawn.
  """
  positive, negative = generator.poisson(variance / 2, (2, size))
  return positive - negative


def contribution(
  votes: np.ndarray,
  mechanism: DistributedSkellam,
  generator: np.random.Generator | None = None,
) -> np.ndarray:
  """What a client adds to the secure sum.

  Args:
    votes: f64[M], its clean ones.
    mechanism: of the round.
    generator: of the rounding and the noise; one with 256 bits of the
      operating system's entropy by default. It must never be used twice.

  Returns:
    u64[M], modulo 2^b.
  """
  generator = generator or fresh_generator()
  steps = clipped(votes, mechanism.clip_norm) * mechanism.scale
  whole = rounded(steps, mechanism.squared_bound, generator)
  noise = noise_share(mechanism.share_variance, len(whole), generator)
  return modulo(whole + noise, mechanism.bits)


def fresh_generator() -> np.random.Generator:
  """A generator that nobody can predict who does not see its state.

  NumPy's PCG64 is no cryptographic generator: the guarantee assumes that its
  noise, which is never published by itself, is as good as random.
  """
  return np.random.default_rng(secrets.randbits(256))


def modulo(values: np.ndarray, bits: int) -> np.ndarray:
  """i64 or u64[M] modulo 2^bits, as u64[M]."""
  return values.astype(np.uint64) & np.uint64((1 << bits) - 1)


def _squared(whole: np.ndarray) -> int:
  return int(whole @ whole)
