"""Events are taken apart, checked, and survive JSON."""

import json
import math

import dp_accounting
import numpy as np
import pytest

from syndata_jax.errors import UserError
from syndata_jax.privacy import Release, events
from syndata_jax.privacy.discrete_event import DiscreteGaussianDpEvent

GAUSSIAN = dp_accounting.GaussianDpEvent(2.5)
LAPLACE = dp_accounting.LaplaceDpEvent(7.0)
SAMPLED = dp_accounting.PoissonSampledDpEvent(0.1, GAUSSIAN)


def test_compositions_are_taken_apart():
  event = dp_accounting.ComposedDpEvent(
    [
      dp_accounting.SelfComposedDpEvent(SAMPLED, 100),
      GAUSSIAN,
      dp_accounting.SelfComposedDpEvent(
        dp_accounting.ComposedDpEvent([GAUSSIAN, LAPLACE]), 3
      ),
    ]
  )
  expected = {SAMPLED: 200, GAUSSIAN: 8, LAPLACE: 6}
  assert events.primitives(event, 2) == expected


@pytest.mark.parametrize(
  "event",
  [
    GAUSSIAN,
    LAPLACE,
    SAMPLED,
    dp_accounting.NonPrivateDpEvent(),
    DiscreteGaussianDpEvent(4.5, 3),
    dp_accounting.SelfComposedDpEvent(SAMPLED, 12_448),
    dp_accounting.ComposedDpEvent([GAUSSIAN, LAPLACE, SAMPLED]),
    dp_accounting.GaussianDpEvent(math.pi / 7),
  ],
)
def test_survives_json(event):
  fields = json.loads(json.dumps(events.as_dict(event), allow_nan=False))
  assert events.from_dict(fields) == event


def test_numbers_of_numpy_are_written():
  event = dp_accounting.SelfComposedDpEvent(
    dp_accounting.GaussianDpEvent(np.float32(0.5)), np.int64(3)
  )
  assert json.loads(json.dumps(events.as_dict(event))) == {
    "type": "SelfComposedDpEvent",
    "event": {"type": "GaussianDpEvent", "noise_multiplier": 0.5},
    "count": 3,
  }


@pytest.mark.parametrize(
  "event, message",
  [
    (dp_accounting.NoOpDpEvent(), "event=NoOpDpEvent: must be one of Gauss"),
    (
      dp_accounting.ComposedDpEvent(
        [GAUSSIAN, dp_accounting.RandomizedResponseDpEvent(0.1, 2)]
      ),
      "event=RandomizedResponseDpEvent: must be one of",
    ),
    (
      dp_accounting.PoissonSampledDpEvent(0.1, LAPLACE),
      "PoissonSampledDpEvent of LaplaceDpEvent: only a GaussianDpEvent can be",
    ),
    (
      dp_accounting.GaussianDpEvent(-1.0),
      "noise_multiplier=-1.0: must be 0 or",
    ),
    (dp_accounting.LaplaceDpEvent(math.nan), "noise_multiplier=nan"),
    (
      dp_accounting.PoissonSampledDpEvent(1.5, GAUSSIAN),
      "sample_rate=1.5: must be above 0 and at most 1",
    ),
    (DiscreteGaussianDpEvent(-1.0), "noise_multiplier=-1.0: must be 0 or"),
    (DiscreteGaussianDpEvent(1.0, 0), "coordinates=0: must be a whole"),
    (
      dp_accounting.SelfComposedDpEvent(GAUSSIAN, 0),
      "count=0: must be a whole",
    ),
  ],
)
def test_refuses_in_one_line(event, message):
  with pytest.raises(UserError, match=message) as caught:
    Release("m", "counts", event)
  assert "\n" not in str(caught.value)


def test_an_unknown_type_is_not_read():
  with pytest.raises(UserError, match="event=UnsupportedDpEvent: must be one"):
    events.from_dict({"type": "UnsupportedDpEvent"})


@pytest.mark.parametrize(
  "changed, message",
  [
    (dict(count=0), "count=0: must be a whole number of at least 1"),
    (dict(delta=-1e-6), "delta=-1e-06: must be at least 0 and below 1"),
    (dict(delta=math.nan), "delta=nan: must be at least 0"),
    (
      dict(replace_one_sensitivity=2.1),
      "replace_one_sensitivity=2.1: must be above 0 and at most 2",
    ),
    (
      dict(event=SAMPLED, replace_one_sensitivity=1.5),
      "replace_one_sensitivity=1.5: must be 2 under sampling",
    ),
  ],
)
def test_a_release_refuses_in_one_line(changed, message):
  fields = dict(mechanism="m", kind="counts", event=GAUSSIAN) | changed
  with pytest.raises(UserError, match=message) as caught:
    Release(**fields)
  assert "\n" not in str(caught.value)
