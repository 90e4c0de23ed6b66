"""Private Evolution of a table beside the baseline of noisy marginals."""

import json
import math

import adult_like
import jax
import numpy as np
import packets
import pytest

from syndata_jax.evolution import tables
from syndata_jax.evolution.evolve import evolve
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.evolution.tables import TableOptions
from syndata_jax.images.neighbours import nearest
from syndata_jax.privacy import Ledger, gaussian_noise_multiplier

# Tab-PE's: far moves first, ranks among parents and three variations of each.
TAB_PE = {
  "selection": "rank",
  "variations": 3,
  "initial_variations": 3,
  "keep_selected": True,
  "degree_first": 0.5,
  "degree_last": 0.01,
  "degree_decay": 0.2,
}


def _evolved(task, epsilon, seed=0, **options):
  count = len(task.labels)
  ledger = Ledger(1 / (count * math.log(count)))
  return evolve(
    task.records,
    task.labels,
    task.embedding,
    task.api,
    ledger,
    jax.random.key(seed),
    EvolutionOptions(epsilon=epsilon, **{**TAB_PE, **options}),
    task.num_classes,
  )


@pytest.fixture(scope="module")
def people(tmp_path_factory):
  """A private task, a public table to judge by, and the schema."""
  folder = tmp_path_factory.mktemp("people")
  (folder / "schema.json").write_text(json.dumps(adult_like.SCHEMA))
  path = adult_like.people(folder / "private.csv", 6000, 0)
  task = tables.load(path, TableOptions(str(folder / "schema.json")))
  schema = tables.load_schema(folder / "schema.json")
  real = tables.read(adult_like.people(folder / "real.csv", 2000, 1), schema)
  return task, real, schema


@pytest.mark.slow
def test_it_learns_what_marginals_cannot(people, tmp_path):
  task, real, schema = people
  evolved = _evolved(task, 1.0, num_iterations=6, num_samples=200)
  assert evolved.ledger.epsilon() == pytest.approx(1.0, rel=1e-4)
  # As it is released: through its file.
  file = task.write(tmp_path, evolved.rendered, evolved.labels)
  quality = tables.judge(tables.read(file, schema), real, schema)
  delta = evolved.ledger.delta
  sigma = gaussian_noise_multiplier(1.0, 7, delta)
  baseline = tables.marginals(
    tables.Table(task.records, task.labels),
    schema,
    Ledger(delta, budget=1.0),
    jax.random.key(0),
    sigma,
    200,
    by_label=True,
  ).table
  assert tables.accuracy(baseline, real, schema) < 0.62
  assert quality.accuracy > 0.75
  # And it left its random start.
  start = task.api.render(task.api.random(jax.random.key(9), evolved.labels))
  begun = tables.judge(tables.Table(start, evolved.labels), real, schema)
  assert quality.one_way < 0.6 * begun.one_way
  assert begun.accuracy < 0.62


@pytest.mark.slow
def test_packets_stay_valid_and_get_nearer(tmp_path):
  path = packets.packets(tmp_path / "packets.csv", 1500, 0)
  task = tables.load(path, TableOptions(str(packets.SCHEMA)))
  schema = tables.load_schema(packets.SCHEMA)
  evolved = _evolved(task, math.inf, num_samples=80, degree_decay=1.0)
  rows, labels = evolved.rendered, evolved.labels
  for rule in schema.rules:
    assert np.asarray(rule.obeyed(rows)).all()
  real = tables.read(packets.packets(tmp_path / "r.csv", 500, 1), schema)
  quality = tables.judge(tables.Table(rows, labels), real, schema)
  start = task.api.render(task.api.random(jax.random.key(9), labels))
  begun = tables.judge(tables.Table(start, labels), real, schema)
  assert begun.accuracy < 0.7 < 0.9 < quality.accuracy
  assert quality.two_way < begun.two_way
  embed = task.embedding.embed
  near, far = (
    [
      np.mean(
        nearest(
          np.asarray(embed(real.rows))[real.labels == label],
          np.asarray(embed(each))[labels == label],
        )[0]
      )
      for label in range(4)
    ]
    for each in (rows, start)
  )
  assert np.mean(near) < 0.4 * np.mean(far)


@pytest.mark.slow
def test_three_seeds_at_two_budgets(people, tmp_path):
  """Prints the figures of the measurement."""
  _, _, schema = people
  path = adult_like.people(tmp_path / "private.csv", 20000, 0)
  (tmp_path / "schema.json").write_text(json.dumps(adult_like.SCHEMA))
  task = tables.load(path, TableOptions(str(tmp_path / "schema.json")))
  real = tables.read(adult_like.people(tmp_path / "r.csv", 5000, 1), schema)
  private = tables.Table(task.records, task.labels)
  print("\nreal rows", tables.judge(private, real, schema))
  for epsilon in (1.0, math.inf):
    for seed in range(3):
      evolved = _evolved(task, epsilon, seed, num_samples=1000)
      quality = tables.judge(
        tables.Table(evolved.rendered, evolved.labels), real, schema
      )
      print("evolved", epsilon, seed, quality)
      assert quality.accuracy > 0.85
      sigma, delta = 0.0, evolved.ledger.delta
      if math.isfinite(epsilon):
        sigma = gaussian_noise_multiplier(epsilon, 7, delta)
      for by_label in (False, True):
        baseline = tables.marginals(
          private,
          schema,
          Ledger(delta),
          jax.random.key(seed),
          sigma,
          1000,
          by_label=by_label,
        ).table
        quality = tables.judge(baseline, real, schema)
        print("marginals", epsilon, seed, by_label, quality)
        assert quality.accuracy < 0.6
