"""Settings: schedules, class sizes, and one line for each mistake."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from syndata_jax.errors import UserError
from syndata_jax.evolution import counts
from syndata_jax.evolution.options import EvolutionOptions, largest_remainders
from syndata_jax.privacy.discrete_gaussian import noise_table


def test_degrees_go_from_the_first_to_the_last():
  options = EvolutionOptions(
    epsilon=1.0, num_iterations=5, degree_first=0.9, degree_last=0.1
  )
  straight = [options.degree(i) for i in range(5)]
  np.testing.assert_allclose(straight, [0.9, 0.7, 0.5, 0.3, 0.1])
  curved = dataclasses.replace(options, degree_decay=2.0)
  assert curved.degree(2) == pytest.approx(0.7)
  listed = EvolutionOptions(epsilon=1.0, num_iterations=2, degrees=[0.3, 0.2])
  assert [listed.degree(i) for i in range(2)] == [0.3, 0.2]
  assert EvolutionOptions(epsilon=1.0, num_iterations=1).degree(0) == 1.0


def test_delta_follows_from_the_records():
  options = EvolutionOptions(epsilon=1.0)
  assert options.delta_of(1_939_290) == pytest.approx(3.5617e-8, rel=1e-4)
  fixed = EvolutionOptions(epsilon=1.0, delta=1e-5)
  assert fixed.delta_of(1000) == 1e-5
  with pytest.raises(UserError, match="delta=1e-05: must be at most"):
    fixed.delta_of(200_000)
  with pytest.raises(UserError, match="records=2"):
    options.delta_of(2)


@pytest.mark.parametrize(
  "weights, total, expected",
  [
    ((1, 1, 1), 10, (4, 3, 3)),
    ((0.5, 0.0, 0.25), 8, (5, 0, 3)),
    ((1e-9, 1.0), 3, (0, 3)),
  ],
)
def test_largest_remainders(weights, total, expected):
  assert largest_remainders(weights, total) == expected


def test_class_sizes_are_declared_or_noisy():
  options = EvolutionOptions(epsilon=1.0, num_samples=7)
  assert options.class_sizes(3) == (3, 2, 2)
  shares = dataclasses.replace(options, class_fractions=(0.6, 0.0, 0.4))
  assert shares.class_sizes(3) == (4, 0, 3)
  assert counts.sizes_of(np.array([30.0, -5.0, 10.0]), 8) == (6, 0, 2)
  assert counts.sizes_of(np.array([-3.0, -5.0]), 8) == (4, 4)


def test_noisy_counts():
  labels = np.repeat([0, 2], [30, 12])
  clean = counts.noisy_counts(jax.random.key(0), labels, 3, np.float32(0))
  assert clean.tolist() == [30, 0, 12]
  keys = [jax.random.fold_in(jax.random.key(1), i) for i in range(200)]
  for noise in (np.float32(4.0), noise_table(4.0)):
    drawn = [counts.noisy_counts(key, labels, 3, noise) for key in keys]
    errors = np.stack(drawn) - clean
    assert (errors.std(axis=0) > 3).all()
    assert errors.std() == pytest.approx(4.0, rel=0.12)
    assert abs(errors.mean()) < 0.6


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"epsilon": 0.0}, "exactly one must be above 0"),
    ({"noise_multiplier": 1.0}, "exactly one must be above 0"),
    ({"epsilon": math.nan}, "epsilon=nan"),
    ({"epsilon": -1.0}, "epsilon=-1.0"),
    ({"neighbours": "one"}, "neighbours=one: must be one of"),
    ({"nearest": 0}, "nearest=0: must be a whole number"),
    ({"num_iterations": 0}, "num_iterations=0"),
    ({"num_samples": 0}, "num_samples=0"),
    ({"metric": "l1"}, "metric='l1'"),
    ({"selection": "best"}, "selection='best'"),
    ({"noise": "laplace"}, "noise='laplace'"),
    ({"budget": "all"}, "budget='all'"),
    ({"class_shares": "secret"}, "class_shares='secret'"),
    ({"threshold": -1.0}, "threshold=-1.0"),
    ({"variations": 0}, "variations=0: must be at least 1 unless"),
    ({"selection": "rank"}, "selection='rank': must have more candidates"),
    ({"degree_first": 1.5}, "degree_first=1.5"),
    ({"degrees": (0.5,)}, "degrees=.*: must be 10 numbers"),
    ({"degrees": (2.0,) * 10}, "degrees=2.0"),
    ({"class_fractions": (0.0, 0.0)}, "class_fractions=.*: must not all be 0"),
    (
      {"class_shares": "private", "class_fractions": (1.0,)},
      "class_fractions=.*: must be empty",
    ),
    (
      {
        "class_shares": "private",
        "counts_share": 0.6,
        "start_check_share": 0.5,
      },
      "shares=1.1",
    ),
    (
      {"noise": "discrete", "budget": "adaptive"},
      "noise='discrete': must be 'gaussian' under",
    ),
  ],
)
def test_mistakes_are_one_line(changes, message):
  with pytest.raises(UserError, match=message) as caught:
    EvolutionOptions(**({"epsilon": 1.0} | changes))
  assert "\n" not in str(caught.value)


def test_what_is_assumed_is_said():
  said = EvolutionOptions(epsilon=1.0).assumptions
  assert len(said) == 2 and "float32" in said[1]
  discrete = EvolutionOptions(epsilon=1.0, noise="discrete")
  assert discrete.assumptions == said[:1]
