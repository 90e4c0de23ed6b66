"""The prefix that only the caller knows."""

import pytest

from syndata_jax.errors import UserError, prefixed


def test_a_message_gets_its_prefixes_from_inside_out():
  with (
    pytest.raises(UserError) as caught,
    prefixed("outer"),
    prefixed("source='a'"),
  ):
    raise UserError("count=-1: must not be negative")
  assert str(caught.value) == (
    "outer: source='a': count=-1: must not be negative"
  )
  assert isinstance(caught.value.__cause__, UserError)


def test_other_errors_pass_unchanged():
  error = ValueError("a fault of the code")
  with pytest.raises(ValueError) as caught, prefixed("source"):
    raise error
  assert caught.value is error


def test_nothing_happens_without_an_error():
  with prefixed("source"):
    value = 1
  assert value == 1
