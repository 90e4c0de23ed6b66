"""What passes each check, and the line that says why something does not."""

import math

import numpy as np
import pytest

from syndata_jax import validate
from syndata_jax.errors import UserError

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
  ("check", "passes", "fails", "rule"),
  [
    (validate.positive, [1, 1e-300], [0, -1, -0.0], "be greater than 0"),
    (validate.not_negative, [0, -0.0, 3], [-1, -1e-300], "not be negative"),
    (
      lambda **fields: validate.at_least(2, **fields),
      [2, 2.5],
      [1, 1.99, -2],
      "be at least 2",
    ),
    (
      lambda **fields: validate.within(0, 1, **fields),
      [0, 0.5, 1],
      [-0.1, 1.1],
      r"be in \[0, 1\]",
    ),
    (
      lambda **fields: validate.within(0, 1, "[)", **fields),
      [0, 0.999],
      [1, -0.1],
      r"be in \[0, 1\)",
    ),
    (
      lambda **fields: validate.within(0, 1, "(]", **fields),
      [1e-9, 1],
      [0, 1.1],
      r"be in \(0, 1\]",
    ),
    (
      lambda **fields: validate.within(0.5, 2, "()", **fields),
      [0.6, 1],
      [0.5, 2],
      r"be in \(0.5, 2\)",
    ),
  ],
)
def test_numbers(check, passes, fails, rule):
  for value in passes:
    check(field=value, other=np.float32(value) if value > 1e-9 else value)
    check(field=np.float64(value))
  for value in fails:
    with pytest.raises(UserError, match=f"^field={value}: must {rule}$"):
      check(other=passes[0], field=value)
  for value in (NAN, INF, -INF, np.float32(NAN)):
    with pytest.raises(UserError, match=f"^field={value}: must be finite$"):
      check(field=value)
  for value in (None, True, [1], 1j):
    with pytest.raises(UserError, match=r"^field=.*: must be a number$"):
      check(field=value)
  with pytest.raises(UserError, match=r"^field='1': must be a number$"):
    check(field="1")


def test_whole_numbers():
  for value in (1, 7, np.int32(1)):
    validate.whole(1, field=value)
  for value in (0, -1, 1.0, 2.5, np.float32(3)):
    rule = "be a whole number of at least 1"
    with pytest.raises(UserError, match=f"^field={value}: must {rule}$"):
      validate.whole(1, other=2, field=value)
  for value in (None, True, "3", [3]):
    with pytest.raises(UserError, match=r"^field=.*: must be a number$"):
      validate.whole(1, field=value)


def test_names():
  validate.one_of(("a", "b"), field="a", other="b")
  validate.one_of({"a": 1}, field="a")
  with pytest.raises(UserError) as caught:
    validate.one_of((name for name in "ab"), other="b", field="c d")
  assert str(caught.value) == "field='c d': must be one of a, b"


def test_a_field_may_have_the_name_of_an_argument():
  with pytest.raises(UserError, match=r"^least=1: must be at least 2$"):
    validate.at_least(2, least=1)
  with pytest.raises(UserError, match=r"^low=9: must be in "):
    validate.within(0, 1, low=9)
