"""Roundings, above all at the ends of a range."""

import pytest

from syndata_jax.reporting import formats


@pytest.mark.parametrize(
  ("fraction", "text"),
  [
    (0, "0.00%"),
    (1e-9, "<0.01%"),
    (0.000125, "0.01%"),
    (0.0999, "9.99%"),
    (0.09996, "10.0%"),
    (0.99949, "99.9%"),
    (0.9996, ">99.9%"),
    (1, "100.0%"),
  ],
)
def test_percent_never_rounds_to_certainty(fraction, text):
  assert formats.percent(fraction) == text


@pytest.mark.parametrize(
  ("seconds", "text"),
  [
    (0.04, "0.0 s"),
    (9.94, "9.9 s"),
    (9.96, "10 s"),
    (59.4, "59 s"),
    (59.6, "1 min 00 s"),
    (3599.4, "59 min 59 s"),
    (3599.6, "1 h 00 min"),
    (4500, "1 h 15 min"),
    (90000, "25 h 00 min"),
  ],
)
def test_duration_carries_into_the_next_unit(seconds, text):
  assert formats.duration(seconds) == text


@pytest.mark.parametrize(
  ("fraction", "text"), [(0.001, "0.1%"), (0.05, "5%"), (1 / 800, "0.125%")]
)
def test_level_is_short(fraction, text):
  assert formats.level(fraction) == text


def test_rates_and_counts():
  assert formats.throughput(1234567.8) == "1,234,568 images/s"
  assert formats.throughput(3.14) == "3.1 images/s"
  assert formats.counted(1, "view") == "1 view"
  assert formats.counted(8000, "member") == "8,000 members"
  assert formats.accelerator_time(12 / 3600) == "12 s of accelerator time"


@pytest.mark.parametrize(
  ("value", "text"),
  [
    (0.1234, "0.123"),
    (12, "12.0"),
    (99.97, "100"),
    (123.4, "123"),
    (12345, "12,300"),
  ],
)
def test_three_significant_digits(value, text):
  assert formats.significant(value) == text


@pytest.mark.parametrize(
  ("size", "text"),
  [
    (0, "0 B"),
    (512, "512 B"),
    (1000, "0.977 KiB"),
    (1024, "1 KiB"),
    (600 * 2**20, "600 MiB"),
    (5 * 10**9, "4.66 GiB"),
    (2**49, "512 TiB"),
  ],
)
def test_memory_has_three_digits(size, text):
  assert formats.memory(size) == text
