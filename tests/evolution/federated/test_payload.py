"""Bytes of a round, counted on the way."""

import dataclasses

import pytest
from federated_small import (
  CLASSES,
  DIMENSION,
  Faulty,
  ballot,
  mechanism,
  participants,
)

from syndata_jax.evolution.federated.mechanism import (
  DistributedSkellam,
  fine_scale,
)
from syndata_jax.evolution.federated.payload import model_payload, payload
from syndata_jax.evolution.federated.server import SecureVoters


def _size(value):
  if isinstance(value, bytes):
    return len(value)
  if isinstance(value, list):
    return sum(map(_size, value))
  return 8 if isinstance(value, int | float) else 0  # names are framing


class _Counted(Faulty):
  """Adds up the bytes to and from the first client."""

  def __init__(self, people):
    super().__init__(people)
    self.down = self.up = 0
    self.one = min(people)

  def ask(self, questions):
    """As honest clients answer."""
    replies = super().ask(questions)
    self.down += sum(map(_size, questions[self.one].values()))
    self.up += sum(map(_size, replies[self.one].values()))
    return replies


@pytest.mark.parametrize("bits", [16, 40])
def test_as_many_bytes_as_travel(bits):
  rule = mechanism(scale=128 if bits == 16 else 2**26)
  assert rule.bits == bits
  transport = _Counted(participants())
  SecureVoters(transport).tally(rule, ballot(), lambda: None)
  expected = payload(rule, DIMENSION, CLASSES)
  assert (transport.down, transport.up) == (expected.down, expected.up)


def test_far_less_than_a_model():
  """The figures of the docstring."""
  rule = DistributedSkellam(
    clip_norm=1.0,
    scale=fine_scale(1.0, 2000),
    noise_multiplier=10.0,
    num_candidates=2000,
    max_clients=100,
    min_honest=80,
  )
  assert rule.bits == 24
  size = payload(rule, 784, 10)
  assert size.votes == 6000
  assert round(size.down / 1e6, 1) == 6.3
  assert round(size.up / 1e3) == 37
  resnet18 = model_payload(11_173_962)
  assert round(resnet18 / 1e6) == 45
  assert resnet18 > 1000 * size.up
  assert resnet18 > 7 * size.down
  # With fewer clients the keys are fewer, the votes as long.
  few = dataclasses.replace(rule, max_clients=10, min_honest=8)
  assert payload(few, 784, 10).votes == 6000
