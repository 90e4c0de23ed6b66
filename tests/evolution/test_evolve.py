"""Whole runs on points in a square."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evolution_small import (
  HOST_POINTS,
  POINTS,
  Dots,
  HostDots,
  distance,
  records,
  run,
)

from syndata_jax.errors import UserError
from syndata_jax.evolution import iteration, opening
from syndata_jax.evolution.embedding import PIXELS
from syndata_jax.evolution.histogram import Records, group
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.privacy import Ledger

cached = functools.cache(run)


def test_ten_lines_of_ones_own():
  """The generator of the documentation, from end to end."""
  from syndata_jax.evolution.api import Api
  from syndata_jax.evolution.evolve import evolve

  class Grey(Api):
    traceable = True

    def random(self, key, labels):
      return jax.random.uniform(key, (len(labels), 4, 4, 1))

    def variation(self, key, samples, labels, degree):
      step = degree * jax.random.normal(key, (len(labels), 1, 1, 1))
      return jnp.clip(samples + step, 0, 1)

    def render(self, samples):
      return (255 * samples).astype(jnp.uint8)

  images = np.full((50, 4, 4, 1), 200, np.uint8)
  labels = np.arange(50, dtype=np.int32) % 2
  options = EvolutionOptions(num_iterations=2, num_samples=10, epsilon=2.0)
  ledger = Ledger(options.delta_of(50), budget=2.0)
  key = jax.random.key(0)
  evolved = evolve(
    images, labels, PIXELS, Grey(), ledger, key, options, num_classes=2
  )
  assert evolved.rendered.shape == (10, 4, 4, 1)
  assert evolved.rendered.dtype == np.uint8
  assert evolved.labels.tolist() == [0] * 5 + [1] * 5
  assert evolved.ledger.epsilon() == pytest.approx(2.0, rel=1e-6)
  assert [entry.number for entry in evolved.history] == [1, 2]


def test_without_noise_it_moves_to_the_private_data():
  populations = []
  evolved = run(
    epsilon=math.inf,
    on_iteration=lambda entry, population: populations.append(population),
  )
  begin = iteration.begin(Dots(), EvolutionOptions(epsilon=1.0), (15,) * 3)
  start = begin(jax.random.key(0))
  at_random = evolved._replace(rendered=np.asarray(start.samples))
  assert distance(evolved) < 0.4 * distance(at_random)
  assert len(populations) == 3
  assert math.isinf(evolved.ledger.epsilon())
  (line, *_) = evolved.ledger.statement().lines()
  assert line.startswith("no privacy guarantee")


def test_with_noise_it_costs_what_was_asked_for():
  evolved = cached()
  assert evolved.ledger.epsilon() == pytest.approx(4.0, rel=1e-9)
  assert [entry.epsilon for entry in evolved.history] == sorted(
    entry.epsilon for entry in evolved.history
  )
  assert evolved.history[-1].epsilon == evolved.ledger.epsilon()
  assert evolved.history[0].ancestors == 45
  noises = {entry.noise_multiplier for entry in evolved.history}
  releases = evolved.ledger.releases
  assert {r.event.noise_multiplier for r in releases} == noises
  # The noise that votes had is what is accounted.
  spread = [entry.signal.spread for entry in evolved.history]
  assert np.isfinite(spread).all()


def test_the_same_seed_gives_the_same_result():
  one, again = cached(), run()
  np.testing.assert_array_equal(one.rendered, again.rendered)
  assert one.history == again.history
  assert (one.rendered != run(seed=1).rendered).any()


def test_replacing_takes_more_noise():
  one, other = (
    EvolutionOptions(epsilon=4.0),
    EvolutionOptions(epsilon=4.0, neighbours="replace_one"),
  )
  noises = [
    opening.divided(options, 1e-5).plan.next([]) for options in (one, other)
  ]
  assert noises[1] / noises[0] == pytest.approx(math.sqrt(2), rel=1e-9)
  ledger = Ledger(1e-5, "replace_one", budget=4.0)
  for release in opening.planned(other, opening.divided(other, 1e-5), 3):
    ledger = ledger.add(release)
  assert ledger.epsilon() == pytest.approx(4.0, rel=1e-9)


def test_on_the_host_with_strings():
  evolved = run(HostDots(), HOST_POINTS, epsilon=math.inf, look_ahead=2)
  assert distance(evolved) < 0.2
  points, texts = (evolved.population.samples[n] for n in ("points", "texts"))
  assert isinstance(texts, np.ndarray)
  assert [f"{x:.3f}" for x in points[:, 0]] == texts.tolist()


@pytest.mark.slow
def test_a_traceable_generator_with_an_embedding_on_the_host():
  evolved = run(embed=HOST_POINTS, num_iterations=2)
  whole = run(num_iterations=2)
  np.testing.assert_allclose(evolved.rendered, whole.rendered, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
  "changes",
  [
    {
      "noise": "discrete",
      "nearest": 2,
      "class_shares": "private",
      "keep_selected": True,
      "selection": "rank",
      "initial_variations": 1,
    },
    pytest.param(
      {
        "start_check_share": 0.1,
        "class_shares": "private",
        "selection": "geometry",
        "look_ahead": 2,
        "variations": 2,
      },
      marks=pytest.mark.slow,
    ),
    pytest.param({"budget": "adaptive"}, marks=pytest.mark.slow),
    pytest.param(
      {"noise_multiplier": 3.0, "variations": 2}, marks=pytest.mark.slow
    ),
  ],
)
def test_everything_together(changes):
  evolved = run(num_iterations=2, **changes)
  assert len(evolved.rendered) == len(evolved.labels) == 45
  kinds = [release.kind for release in evolved.ledger.releases]
  assert kinds.count("votes") == 2
  assert ("class counts" in kinds) == ("class_shares" in changes)
  assert ("start check" in kinds) == ("start_check_share" in changes)
  assert (evolved.check is not None) == ("start_check_share" in changes)
  if "noise_multiplier" in changes:
    assert {e.noise_multiplier for e in evolved.history} == {3.0}
  else:
    assert 3.9 < evolved.ledger.epsilon() <= 4.0 * (1 + 1e-9)


@pytest.mark.slow
def test_what_is_kept_is_released():
  """With F = 2 and parents kept the first block of a class is its parents."""
  voted = []
  evolved = run(
    num_iterations=1,
    variations=2,
    keep_selected=True,
    epsilon=math.inf,
    on_iteration=lambda entry, population: voted.append(population),
  )
  assert len(evolved.population.labels) == 135
  begin = iteration.begin(Dots(), EvolutionOptions(epsilon=1.0), (15,) * 3)
  start = {tuple(p) for p in np.asarray(begin(jax.random.key(0)).samples)}
  assert {tuple(point) for point in evolved.rendered} <= start


def test_a_class_without_a_record_is_noise():
  points, labels = records()
  evolved = run(data=(points, np.where(labels == 2, 0, labels)))
  assert np.bincount(evolved.labels).tolist() == [15, 15, 15]


def test_a_budget_that_is_exceeded_releases_nothing(tmp_path):
  delta = EvolutionOptions(epsilon=1.0).delta_of(300)
  with pytest.raises(UserError, match=r"budget=3: epsilon .* is spent, votes"):
    run(ledger=Ledger(delta, budget=3.0), folder=tmp_path)
  assert not list(tmp_path.iterdir())


def test_the_ledger_goes_on_from_what_was_spent():
  delta = EvolutionOptions(epsilon=1.0).delta_of(300)
  runs = functools.partial(run, HostDots(), HOST_POINTS, num_iterations=1)
  first = runs(ledger=Ledger(delta, budget=6.5))
  second = runs(ledger=first.ledger)
  assert second.ledger.releases[0] == first.ledger.releases[0]
  assert 4.0 < second.ledger.epsilon() <= 6.5
  with pytest.raises(UserError, match=r"budget=6\.5"):
    runs(ledger=second.ledger)


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"nearest": 16}, r"nearest=16: must be in \[1, 15\]"),
    ({"class_fractions": (1.0,)}, "class_fractions=.*: must be 3 numbers"),
    (
      {"data": (records()[0], np.full(300, 3))},
      r"labels: must be in \[0, 2\]",
    ),
    (
      {"data": (np.full((300, 2), np.nan), np.zeros(300))},
      "embedding=points: must be finite",
    ),
    (
      {"ledger": Ledger(1e-5, "replace_one")},
      "neighbours='add_or_remove_one': must be 'replace_one'",
    ),
  ],
)
def test_bad_input_is_one_line(changes, message):
  with pytest.raises(UserError, match=message) as caught:
    run(**changes)
  assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_many_runs_at_once():
  """The parts of an iteration, vmapped over shadow models."""
  points, labels = records(60)
  options = EvolutionOptions(num_samples=12, noise_multiplier=1.0)
  api, sizes = Dots(), (4, 4, 4)
  members = [np.arange(40), np.arange(20, 60)]
  grouped = [group(points, labels, 3, 8, rows) for rows in members]
  rows, classes = (
    np.stack([getattr(g, name) for g in grouped])
    for name in ("rows", "classes")
  )

  def evolves(rows, classes, key):
    population = iteration.begin(api, options, sizes)(key)
    noisy = iteration.vote(api, POINTS, options, sizes)(
      population, Records(points, rows, classes), key, 0.5, 1.0
    )
    return iteration.advance(api, options, sizes)(population, noisy, key, 0.5)

  keys = jax.random.split(jax.random.key(0), 2)
  both = jax.jit(jax.vmap(evolves))(rows, classes, keys)
  one = jax.jit(evolves)(rows[1], classes[1], keys[1])
  np.testing.assert_allclose(both.samples[1], one.samples, atol=1e-6)
