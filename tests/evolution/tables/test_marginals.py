"""The baseline of noisy marginals, and the measures of a table's quality."""

import math

import adult_like
import jax
import numpy as np
import pytest
from scipy import stats

from syndata_jax.errors import UserError
from syndata_jax.evolution import tables
from syndata_jax.evolution.tables import schema as schemas
from syndata_jax.evolution.tables.marginals import draw, noisy_histograms
from syndata_jax.evolution.tables.rows import Rows, Table
from syndata_jax.privacy import Ledger, gaussian_noise_multiplier

ADULT = schemas.from_dict(adult_like.SCHEMA)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
  folder = tmp_path_factory.mktemp("people")
  return tables.read(adult_like.people(folder / "p.csv", 4000, 0), ADULT)


def test_the_budget_is_split_over_the_columns(people):
  releases = tables.num_releases(ADULT)
  assert releases == 7
  sigma = gaussian_noise_multiplier(1.0, releases, 1e-5)
  ledger = Ledger(1e-5, budget=1.0)
  ledger = tables.marginals(people, ADULT, ledger, KEY, sigma, 10).ledger
  assert ledger.epsilon() == pytest.approx(1.0, rel=1e-6)
  # sqrt(7) / mu(1), section 1.4 of the reference.
  assert sigma == pytest.approx(math.sqrt(7) / 0.268051, rel=1e-5)
  # One record replaced moves two bins of a column by one.
  replaced = Ledger(1e-5, releases=ledger.releases).epsilon("replace_one")
  twice = gaussian_noise_multiplier(replaced, 14, 1e-5)
  assert twice == pytest.approx(sigma, rel=1e-6)
  with pytest.raises(UserError, match="budget=1: "):
    tables.marginals(people, ADULT, ledger, KEY, sigma, 10)


@pytest.mark.parametrize("by_label", [False, True])
def test_without_noise_they_are_the_marginals(people, by_label):
  synthetic = tables.marginals(
    people, ADULT, Ledger(1e-5), KEY, 0.0, 20000, by_label=by_label
  ).table
  assert tables.total_variation(synthetic, people, ADULT) < 0.02
  # The label with each column: known, or as if they were independent.
  share = np.mean(np.asarray(people.labels))
  assert np.mean(np.asarray(synthetic.labels)) == pytest.approx(share, abs=0.02)
  hours = [
    [
      np.asarray(table.rows.floats)[np.asarray(table.labels) == k, 1].mean()
      for k in (0, 1)
    ]
    for table in (synthetic, people)
  ]
  gap = np.diff(hours).ravel()
  assert gap[0] == pytest.approx(gap[1] if by_label else 0, abs=0.005)
  assert gap[1] > 0.01


def test_every_bin_has_noise(people):
  """Empty ones too: a Kolmogorov-Smirnov test of what is added."""
  noisy, clean = (
    noisy_histograms(people, ADULT, KEY, stddev, 20, True)
    for stddev in (3.0, 0.0)
  )
  added = np.concatenate(
    [(a - b).ravel() for a, b in zip(noisy, clean, strict=True)]
  )
  assert added.shape == (2 * (3 * 20 + 4 + 5 + 3) + 2,)
  assert stats.kstest(added / 3, "norm").pvalue > 0.01
  assert any((np.asarray(each) == 0).any() for each in clean)
  # Each record has one vote in each histogram.
  for each in clean:
    assert float(each.sum()) == len(people.labels)


def test_draws_of_nothing_but_noise_below_zero_are_uniform():
  generator = np.random.default_rng(0)
  codes = draw(generator, -np.ones((1, 4)), np.zeros(4000, np.int32))
  counts = np.bincount(codes, minlength=4)
  assert np.abs(counts - 1000).max() < 150


def test_total_variation_by_hand():
  schema = schemas.from_dict(
    {
      "columns": [
        {"name": "x", "type": "number", "minimum": 0, "maximum": 1},
        {"name": "c", "type": "category", "values": ["a", "b"]},
      ]
    }
  )
  labels = np.zeros(4, np.int32)

  def table(floats, codes):
    rows = Rows(np.array(floats)[:, None], np.array(codes)[:, None])
    return Table(rows, labels)

  one = table([0.1, 0.1, 0.9, 0.9], [0, 0, 1, 1])
  two = table([0.1, 0.1, 0.9, 0.9], [0, 1, 0, 1])
  assert tables.total_variation(one, two, schema, 1, bins=2) == 0
  assert tables.total_variation(one, two, schema, 2, bins=2) == 0.5
  three = table([0.1, 0.9, 0.9, 0.9], [1, 1, 1, 1])
  assert tables.total_variation(one, three, schema, 1, bins=2) == 0.375
  assert np.isnan(tables.judge(one, two, schema).accuracy)


def test_one_class_is_the_answer_to_everything(people):
  labels = np.ones_like(people.labels)
  share = np.mean(np.asarray(people.labels))
  assert tables.accuracy(
    people._replace(labels=labels), people, ADULT
  ) == pytest.approx(share)
