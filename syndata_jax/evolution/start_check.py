"""Whether the private records lie where the generator draws: one DP answer.

Private Evolution chooses among what a generator can draw, and moves nowhere
else: where no sample is ever near the records, no budget helps. So a declared
share of it is spent on the mean distance of the records to their nearest
random sample, and the answer stands beside the same distance of the generator's
own fresh samples.

Each record casts one vote, split between `far` and `near` as its distance d,
clipped at a public radius r, divides [0, r]: d / r and 1 - d / r. The two sums
are one Gaussian release: the split vote's L2 norm is at most 1 (the sensitivity
when a record is added or removed), a record that is replaced moves it by at
most sqrt(2), and nothing needs to be known about how many there are.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import numpy as np

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.images.neighbours import Metric, nearest
from syndata_jax.keys import host, stream
from syndata_jax.privacy import Release

_REPLACE_ONE = math.sqrt(2)
_CONFIDENCE, _DEVIATIONS = 0.95, 1.959964
# Pairs of samples of which the radius is the median distance.
_PAIRS = 4096
# Where, between the own distance and the radius, a verdict changes.
_NEAR, _FAR = 0.25, 0.5


class Yardstick(NamedTuple):
  """Distances among the generator's own samples; public.

  Attributes:
    radius: half of all pairs of random samples of one class are nearer to
      each other, half are further. Distances are clipped there.
    distance: mean clipped distance of a fresh sample to the nearest random
      one of its class.
    num_samples: random ones.
  """

  radius: float
  distance: float
  num_samples: int


class StartCheck(NamedTuple):
  """The answer; see `sentence`.

  Attributes:
    distance: of a private record to the nearest random sample of its class,
      the mean, clipped at the radius, as far as the noise lets it be known.
    low: lower end of a 95% interval for it, in which the noise is all that is
      random: it says nothing about other records than these.
    high: its upper end.
    yardstick: what it is compared with.
    share: of the run's mu^2 that was spent.
    noise_multiplier: of the release; 0 for none.
  """

  distance: float
  low: float
  high: float
  yardstick: Yardstick
  share: float
  noise_multiplier: float

  def place(self, distance: float) -> float:
    """Where a distance lies: 0 as near as own samples, 1 at the radius."""
    radius, own, _ = self.yardstick
    return (distance - own) / (radius - own) if radius > own else math.inf

  @property
  def verdict(self) -> str:
    """`inside`, `outside` or `undecided`, if the whole interval says so."""
    if self.place(self.high) <= _NEAR:
      return "inside"
    return "outside" if self.place(self.low) >= _FAR else "undecided"

  @property
  def sentence(self) -> str:
    """What was found, in numbers, and what to think of it."""
    radius, own, count = self.yardstick
    advice = {
      "inside": "The records lie about where the generator draws, so Private"
      " Evolution can work here; whether the votes tell its samples apart, this"
      " does not say",
      "outside": "The records lie outside of what the generator draws, and"
      " Private Evolution is unlikely to work here; use another generator, or"
      " several, or tune one",
      "undecided": "That does not decide whether Private Evolution can work"
      " here; larger variations or another generator may help",
    }[self.verdict]
    return (
      f"Private records are {self.distance:.3g} away from the nearest of"
      f" {count} random samples (mean of distances clipped at {radius:.3g};"
      f" {_CONFIDENCE:.0%} interval under the noise {self.low:.3g} to"
      f" {self.high:.3g}), the generator's own fresh samples {own:.3g}."
      f" {advice}. It took {self.share:.3g} of the budget."
    )


def yardstick(
  key: jax.Array,
  samples: np.ndarray,
  labels: np.ndarray,
  fresh: np.ndarray,
  fresh_labels: np.ndarray,
  metric: Metric = "l2",
) -> Yardstick:
  """Measures the generator's own samples; nothing private is read.

  Args:
    key: of the pairs that are compared.
    samples: f32[S,D], random samples in the space of the votes.
    labels: i32[S].
    fresh: f32[F,D], other random samples, drawn alike.
    fresh_labels: i32[F], of classes that the samples have.
    metric: of the votes.

  Raises:
    UserError: fewer than two samples, or all in one point.
  """
  validate.whole(2, samples=len(samples))
  draw = host(stream(key, "evolution.yardstick"))
  one, other = draw.integers(len(samples), size=(2, _PAIRS))
  paired = (one != other) & (labels[one] == labels[other])
  if not paired.any():
    raise UserError(
      f"samples={len(samples)}: two of one class needed for a radius"
    )
  apart = _apart(samples[one[paired]], samples[other[paired]], metric)
  radius = float(np.median(apart))
  if not radius > 0:
    raise UserError(
      "api: half of its random samples are the same: the start check needs"
      " samples that differ"
    )
  distances = _to_nearest(fresh, fresh_labels, samples, labels, metric, radius)
  return Yardstick(radius, float(distances.mean()), len(samples))


def start_check(
  key: jax.Array,
  records: np.ndarray,
  labels: np.ndarray,
  samples: np.ndarray,
  sample_labels: np.ndarray,
  public: Yardstick,
  share: float,
  noise_multiplier: float,
  metric: Metric = "l2",
) -> tuple[StartCheck, Release]:
  """Asks the private records once; to be entered in the ledger and kept.

  Args:
    key: of the noise, which nobody else may use or know.
    records: f32[P,D], private, in the space of the votes.
    labels: i32[P].
    samples: f32[S,D], random samples.
    sample_labels: i32[S].
    public: from `yardstick`, of these samples.
    share: of the run's mu^2, for the sentence.
    noise_multiplier: of the release, 0 for none.
    metric: of the votes.

  Returns:
    The answer, and the release of which it is all that may leave.
  """
  from dp_accounting import GaussianDpEvent, NonPrivateDpEvent

  validate.not_negative(noise_multiplier=noise_multiplier)
  radius = public.radius
  distances = _to_nearest(
    records, labels, samples, sample_labels, metric, radius
  )
  far = distances.astype(np.float64) / radius
  noise = host(stream(key, "evolution.start_check")).normal(size=2)
  votes = np.array([far.sum(), (1 - far).sum()]) + noise_multiplier * noise
  mean, low, high = (
    radius * part for part in _share_of_first(votes, noise_multiplier)
  )
  answer = StartCheck(mean, low, high, public, share, noise_multiplier)
  release = Release(
    mechanism="Gaussian noise on votes split between far and near",
    kind="start check",
    event=GaussianDpEvent(noise_multiplier)
    if noise_multiplier
    else NonPrivateDpEvent(),
    details=(f"noise multiplier {noise_multiplier:.6g}",),
    replace_one_sensitivity=_REPLACE_ONE,
  )
  return answer, release


def _share_of_first(
  votes: np.ndarray, stddev: float
) -> tuple[float, float, float]:
  """A / (a + b) of noisy a and b, with an interval, in [0, 1].

  The interval is Fieller's: clean sums in the proportion m to 1 - m lie on a
  line through the origin, and the noise takes them off it by N(0, stddev^2).
  All of [0, 1] where the line cannot be told from noise.

  Args:
    votes: f64[2], noisy.
    stddev: of the noise of each.

  Returns:
    The share, the lower and the upper end.
  """
  a, b = votes
  length = math.hypot(a, b)
  reach = _DEVIATIONS * stddev
  angle = math.atan2(a, b)  # 0 where all are near, pi / 2 where all are far
  if length <= reach or not -math.pi / 4 < angle < 3 * math.pi / 4:
    return _share(angle), 0.0, 1.0
  width = math.asin(reach / length)
  return _share(angle), _share(angle - width), _share(angle + width)


def _share(angle: float) -> float:
  angle = min(max(angle, 0.0), math.pi / 2)
  return math.sin(angle) / (math.sin(angle) + math.cos(angle))


def _to_nearest(
  queries: np.ndarray,
  labels: np.ndarray,
  references: np.ndarray,
  reference_labels: np.ndarray,
  metric: Metric,
  radius: float,
) -> np.ndarray:
  """Distance of each to the nearest reference of its class, clipped.

  Args:
    queries: f32[P,D].
    labels: i32[P].
    references: f32[S,D].
    reference_labels: i32[S].
    metric: `l2` or `cosine`.
    radius: where they are clipped, and what those of a class without
      references have.

  Returns:
    f32[P].
  """
  distances = np.full(len(queries), radius, np.float32)
  for label in np.unique(labels):
    rows = np.flatnonzero(labels == label)
    same = references[reference_labels == label]
    if len(same):
      distances[rows] = nearest(queries[rows], same, 1, metric)[0][:, 0]
  return np.minimum(distances, np.float32(radius))


def _apart(one: np.ndarray, other: np.ndarray, metric: Metric) -> np.ndarray:
  """Distances of rows f32[N,D] and f32[N,D], f64[N]."""
  one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
  if metric == "l2":
    return np.linalg.norm(one - other, axis=1)
  lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
  return 1 - (one * other).sum(1) / np.where(lengths > 0, lengths, 1)
