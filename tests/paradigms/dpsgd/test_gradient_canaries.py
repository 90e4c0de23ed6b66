"""Gradient canaries: their scores against a loop, and who must not notice."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
import small

from syndata_jax.ensemble import Checkpoints, Own, Pool, Recipe
from syndata_jax.errors import UserError
from syndata_jax.keys import model_keys, stream
from syndata_jax.paradigms.dpsgd import Options, clipped_gradient, mechanism
from syndata_jax.paradigms.dpsgd.gradient_canaries import (
  draw_directions,
  toss,
)
from syndata_jax.paradigms.dpsgd.learner import private_sgd

KEY = jax.random.key(6)
K = 40
OPTIONS = Options(
  noise_multiplier=0.5,
  delta=0.01,
  clip_norm=0.8,
  augmentation_multiplicity=1,
  white_box_canaries=K,
)
SILENT = dataclasses.replace(OPTIONS, white_box_canaries=0)


def tools(epochs=2):
  engine = small.engine(2, devices=jax.devices()[:1])
  recipe = Recipe(
    num_epochs=epochs,
    batch_size=8,
    learning_rate=0.5,
    schedule="constant",
    warmup_epochs=0.0,
    momentum=0.0,
    weight_decay=0.0,
  )
  return engine._replace(recipe=recipe)


def learner(engine, data, options=OPTIONS):
  accounted = mechanism(options, engine.recipe, data.size)
  return private_sgd(engine, options, accounted, data)


def trained(engine, options=OPTIONS, checkpoints=None):
  data = small.training_set(2)
  make = functools.partial(learner, engine, options=options)
  return small.learn(engine.layout, make, data, KEY, checkpoints)


def flat(tree):
  leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]
  return np.concatenate([leaf.ravel() for leaf in leaves])


def unflat(vector, tree):
  leaves, structure = jax.tree.flatten(tree)
  ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
  parts = np.split(vector.astype(np.float32), ends)
  return structure.unflatten(
    [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
  )


@pytest.mark.slow
def test_scores_equal_those_of_a_loop():
  """Model 1: dense directions, one canary after another, in NumPy."""
  engine, data = tools(), small.training_set(2)
  state = trained(engine)
  accounted = mechanism(OPTIONS, engine.recipe, small.OWN)
  key = model_keys(KEY, 2)[1]
  fresh = learner(engine, data).init(Own(key), Pool(None, None))
  params, included = fresh.params, np.asarray(fresh.canaries.included)
  size = len(flat(params))
  coordinates, values = draw_directions(K, size)
  dense = np.zeros((K, size))
  for row, columns, numbers in zip(dense, coordinates, values, strict=True):
    row[columns] = numbers

  def loss(params, image, label):
    x = (image[None] / 255.0 - 0.5) / 0.25
    logits = engine.model.apply({"params": params}, x, True)[0]
    return jax.nn.logsumexp(logits) - logits[label]

  clipped = jax.jit(lambda *a: clipped_gradient(loss, *a, OPTIONS.clip_norm)[0])
  scores, taken = np.zeros(K), 0
  for t in range(6):
    at = jax.random.fold_in(stream(key, "dpsgd"), t)
    index, padding = accounted.sample(at)
    rows = data.members[1][np.asarray(index)[~np.asarray(padding)]]
    total = flat(clipped(params, data.images[rows], data.labels[rows]))
    for canary, joins in enumerate(np.asarray(accounted.participates(at, K))):
      if joins and included[canary]:
        total += OPTIONS.clip_norm * dense[canary]
        taken += 1
    noisy = total + flat(accounted.noise(at, params))
    scores += dense @ noisy / OPTIONS.clip_norm
    params = unflat(flat(params) - 0.5 * noisy / 8, params)
  assert taken > K / 2
  found_included, found = learner(engine, data).canaries(state)
  np.testing.assert_array_equal(found_included[1], included)
  np.testing.assert_allclose(found[1], scores, atol=1e-4)
  assert np.abs(flat(jax.tree.map(lambda a: a[1], state.params))
                - flat(params)).max() < 1e-4  # fmt: skip


@pytest.mark.slow
def test_without_canaries_nothing_is_planted():
  engine, data = tools(epochs=1), small.training_set(2)
  silent = learner(engine, data, SILENT)
  assert silent.canaries is None and silent.shared is None
  assert trained(engine, SILENT).canaries is None


@pytest.mark.slow
def test_canaries_that_all_stay_out_change_no_model(monkeypatch):
  """Scores are read from the training; nothing goes back into it."""
  engine = tools(epochs=1)
  plain = trained(engine, SILENT)
  monkeypatch.setattr(
    "syndata_jax.paradigms.dpsgd.gradient_canaries.toss",
    lambda key, count: toss(key, count)._replace(
      included=np.zeros(count, bool)
    ),
  )
  watched = trained(engine)
  np.testing.assert_allclose(
    flat(watched.params), flat(plain.params), atol=1e-6
  )
  assert np.abs(watched.canaries.scores).max() > 0


def test_directions_are_orthonormal_and_the_same_again():
  coordinates, values = draw_directions(30, 1000)
  assert coordinates.shape == values.shape == (30, 33)
  assert len(np.unique(coordinates)) == 30 * 33
  np.testing.assert_allclose((values.astype(float) ** 2).sum(1), 1, rtol=1e-6)
  again = draw_directions(30, 1000)
  np.testing.assert_array_equal(again.coordinates, coordinates)
  assert draw_directions(3, 10**5).coordinates.shape[1] == 64


def test_coins_are_fair_and_each_models_own():
  keys = model_keys(KEY, 20)
  coins = np.stack([toss(key, 500).included for key in keys])
  assert abs(coins.mean() - 0.5) < 4 * 0.5 / 100
  agreement = np.corrcoef(coins)[np.triu_indices(20, 1)]
  assert np.abs(agreement).max() < 5 / np.sqrt(500)


def test_canaries_take_part_at_the_rate_of_all():
  accounted = mechanism(OPTIONS, tools().recipe, small.OWN)
  drawn = jax.vmap(lambda key: accounted.participates(key, 100))(
    jax.random.split(KEY, 200)
  )
  rate, tosses = 8 / 24, 20_000
  deviation = np.sqrt(rate * (1 - rate) / tosses)
  assert abs(float(drawn.mean()) - rate) < 4 * deviation


@pytest.mark.slow
def test_a_resumed_run_gives_the_same_scores(tmp_path):
  checkpoints = Checkpoints(tmp_path, every=1)
  trained(tools(epochs=1), checkpoints=checkpoints)
  resumed = trained(tools(epochs=2), checkpoints=checkpoints)
  np.testing.assert_array_equal(
    resumed.canaries.scores, trained(tools(epochs=2)).canaries.scores
  )


def test_the_guarantee_is_that_without_them():
  recipe = tools().recipe
  assert mechanism(OPTIONS, recipe, 24) == mechanism(SILENT, recipe, 24)


def test_what_is_refused():
  with pytest.raises(UserError, match="white_box_canaries=-1: must not be"):
    dataclasses.replace(OPTIONS, white_box_canaries=-1)
  many = dataclasses.replace(OPTIONS, white_box_canaries=10**6)
  with pytest.raises(UserError, match="white_box_canaries=1000000: must be at"):
    learner(tools(), small.training_set(2), many)
