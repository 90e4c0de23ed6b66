"""Whether the records lie where the generator draws."""

import math

import jax
import numpy as np
import pytest

from syndata_jax.errors import UserError
from syndata_jax.evolution import start_check as module
from syndata_jax.evolution.start_check import start_check, yardstick

DRAW = np.random.default_rng(0)
SAMPLES = DRAW.normal(size=(300, 4)).astype(np.float32)
LABELS = np.repeat([0, 1, 2], 100).astype(np.int32)
FRESH = DRAW.normal(size=(300, 4)).astype(np.float32)
RECORDS = DRAW.normal(size=(600, 4)).astype(np.float32)
RECORD_LABELS = DRAW.integers(0, 3, 600).astype(np.int32)


def _measure(metric="l2"):
  return yardstick(jax.random.key(0), SAMPLES, LABELS, FRESH, LABELS, metric)


def _ask(records, noise, seed=1, labels=RECORD_LABELS, metric="l2"):
  return start_check(
    jax.random.key(seed),
    records,
    labels,
    SAMPLES,
    LABELS,
    _measure(metric),
    share=0.02,
    noise_multiplier=noise,
    metric=metric,
  )


def _brute(records, labels, metric="l2"):
  """Distance of each to the nearest sample of its class, in float64."""
  distances = []
  for record, label in zip(records.astype(np.float64), labels, strict=True):
    same = SAMPLES[label == LABELS].astype(np.float64)
    if metric == "l2":
      distances.append(np.linalg.norm(same - record, axis=1).min())
    else:
      lengths = np.linalg.norm(same, axis=1) * np.linalg.norm(record)
      distances.append((1 - same @ record / lengths).min())
  return np.array(distances)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_without_noise_it_is_the_mean(metric):
  public = _measure(metric)
  own = np.minimum(_brute(FRESH, LABELS, metric), public.radius).mean()
  assert public.distance == pytest.approx(own, rel=1e-4)
  answer, release = _ask(RECORDS, 0.0, metric=metric)
  mean = np.minimum(_brute(RECORDS, RECORD_LABELS, metric), public.radius)
  assert answer.distance == pytest.approx(mean.mean(), rel=1e-4)
  assert answer.low == pytest.approx(answer.distance)
  assert answer.high == pytest.approx(answer.distance)
  assert release.event.__class__.__name__ == "NonPrivateDpEvent"


def test_radius_is_the_median_distance_within_a_class():
  one, other = np.triu_indices(300, 1)
  same = LABELS[one] == LABELS[other]
  apart = np.linalg.norm(SAMPLES[one[same]] - SAMPLES[other[same]], axis=1)
  assert _measure().radius == pytest.approx(np.median(apart), rel=0.05)


def test_inside_outside_undecided():
  inside, _ = _ask(RECORDS, 10.0)
  assert inside.verdict == "inside"
  assert "can work here" in inside.sentence
  outside, _ = _ask(RECORDS + 3, 10.0)
  assert outside.verdict == "outside"
  assert "unlikely to work here" in outside.sentence
  vague, _ = _ask(RECORDS, 500.0)
  assert vague.verdict == "undecided"
  assert (vague.low, vague.high) == (0, pytest.approx(_measure().radius))
  for number in (outside.distance, outside.low, outside.high):
    assert f"{number:.3g}" in outside.sentence
  assert "0.02 of the budget" in outside.sentence


def test_the_interval_covers():
  clean = _ask(RECORDS, 0.0)[0].distance
  answers = [_ask(RECORDS, 40.0, seed)[0] for seed in range(120)]
  covers = np.mean([a.low <= clean <= a.high for a in answers])
  assert 0.89 <= covers <= 0.995
  width = np.mean([a.high - a.low for a in answers]) / _measure().radius
  assert 0.1 < width < 0.4  # and is no empty statement


def test_sensitivity(monkeypatch):
  """No record moves the two sums by more than is said."""
  seen = []
  monkeypatch.setattr(
    module, "_share_of_first", lambda v, s: (seen.append(v), (0.0,) * 3)[1]
  )
  others = [RECORDS[:1], RECORDS[:1] + 1, RECORDS[:1] + 1e6, SAMPLES[:1]]
  label = np.zeros(1, np.int32)
  _ask(RECORDS, 0.0)
  for other in others:
    for of in (label, label + 2):
      labels = np.concatenate([RECORD_LABELS, of])
      _ask(np.concatenate([RECORDS, other]), 0.0, labels=labels)
  added = np.array(seen[1:]) - seen[0]
  assert np.linalg.norm(added, axis=1).max() <= 1 + 1e-6
  assert np.linalg.norm(added, axis=1).min() >= math.sqrt(0.5) - 1e-6
  replaced = added[:, None] - added
  assert 1.3 < np.linalg.norm(replaced, axis=-1).max() <= math.sqrt(2) + 1e-6


def test_release():
  _, release = _ask(RECORDS, 7.0)
  assert release.event.noise_multiplier == 7
  assert release.kind == "start check"
  assert release.replace_one_sensitivity == pytest.approx(math.sqrt(2))
  one, _ = _ask(RECORDS, 7.0)
  again, _ = _ask(RECORDS, 7.0)
  other, _ = _ask(RECORDS, 7.0, seed=9)
  assert one == again != other


def test_a_class_without_samples_is_far():
  labels = np.full(600, 5, np.int32)
  answer, _ = _ask(RECORDS, 0.0, labels=labels)
  assert answer.distance == pytest.approx(_measure().radius)


def test_no_records():
  answer, _ = _ask(RECORDS[:0], 5.0, labels=RECORD_LABELS[:0])
  assert (answer.low, answer.high) == (0, pytest.approx(_measure().radius))


def test_refuses():
  same = np.zeros((4, 2), np.float32)
  labels = np.zeros(4, np.int32)
  with pytest.raises(UserError, match="samples that differ"):
    yardstick(jax.random.key(0), same, labels, same, labels)
  with pytest.raises(UserError, match="two of one class"):
    yardstick(jax.random.key(0), same, np.arange(4), same, labels)
