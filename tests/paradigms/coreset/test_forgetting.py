"""Forgetting events: by hand, and as training records them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small

from syndata_jax import models
from syndata_jax.ensemble import shuffled_batches
from syndata_jax.errors import UserError
from syndata_jax.keys import stream
from syndata_jax.paradigms.coreset import forgetting, forgetting_counts

# One example a line, its answers over six meetings, and its events.
BY_HAND = (
  ("111111", 0),
  ("000001", 0),
  ("100000", 1),
  ("101010", 3),
  ("010101", 2),
  ("011011", 1),
  ("000000", None),  # never learnt
)


def answers():
  lines = [[int(mark) for mark in marks] for marks, _ in BY_HAND]
  return np.array(lines, bool).T


@pytest.mark.parametrize("never_learned, unlearned", [("max", 6), ("zero", 0)])
def test_events_by_hand(never_learned, unlearned):
  want = [unlearned if n is None else n for _, n in BY_HAND]
  got = forgetting_counts(answers(), never_learned)
  assert got.dtype == jnp.float32
  np.testing.assert_array_equal(got, want)


def test_never_learnt_is_above_the_most_forgotten_by_default():
  alternating = np.arange(9) % 2 == 0
  correct = np.stack([alternating, np.zeros(9, bool)], axis=1)
  most, never = forgetting_counts(correct)
  assert most == 4 and never > most


def test_an_unknown_convention_is_refused():
  with pytest.raises(UserError, match="never_learned='min': must be one of ma"):
    forgetting_counts(answers(), "min")


def one_by_one(engine, data, key, index):
  """bool[T,n] of one model, a Python loop over steps and plain optax."""
  recipe, module = engine.recipe, engine.model
  own, batch = data.members[index], recipe.batch_size
  steps = -(-len(own) // batch)
  key = jax.random.fold_in(stream(key, "model"), index)
  rule = optax.chain(
    optax.add_decayed_weights(recipe.weight_decay),
    optax.sgd(recipe.learning_rate, recipe.momentum),
  )
  images = jnp.zeros((1, *data.images.shape[1:]))
  params = module.init(stream(key, "init"), images, False)["params"]
  opt = rule.init(params)

  def loss(params, images, labels):
    logits = module.apply({"params": params}, (images / 255.0 - 0.5) / 0.25)
    log = logits - jax.nn.logsumexp(logits, -1, keepdims=True)
    return -jnp.take_along_axis(log, labels[:, None], 1).mean(), logits

  @jax.jit
  def step(params, opt, images, labels):
    grads, logits = jax.grad(loss, has_aux=True)(params, images, labels)
    update, opt = rule.update(grads, opt, params)
    return optax.apply_updates(params, update), opt, logits

  correct = np.zeros((recipe.num_epochs, len(own)), bool)
  for epoch in range(recipe.num_epochs):
    order = jax.random.fold_in(stream(key, "order"), epoch)
    batches = shuffled_batches(order, jnp.arange(len(own)), batch, steps)
    met = set()
    for places in np.asarray(batches):
      rows = own[places]
      images, labels = data.images[rows], data.labels[rows]
      params, opt, logits = step(params, opt, images, labels)
      right = np.asarray(logits).argmax(-1) == labels
      for place, answer in zip(places.tolist(), right, strict=True):
        if place not in met:
          correct[epoch, place] = answer
        met.add(place)
    assert met == set(range(len(own)))
  return correct


def test_training_records_the_first_answer_of_every_member():
  """24 members in batches of seven: four are met twice an epoch."""
  data = small.training_set(2)
  engine = small.engine(2, devices=jax.devices()[:1])
  recipe = dataclasses.replace(
    engine.recipe,
    num_epochs=10,
    learning_rate=0.2,
    schedule="constant",
    warmup_epochs=0.0,
  )
  network = models.create("convnet", small.CLASSES, width=2, depth=1)
  engine = engine._replace(model=network, recipe=recipe)
  key = jax.random.key(5)
  make = functools.partial(forgetting.recording_sgd, engine)
  history = small.learn(engine.layout, make, data, key).history
  for m in range(2):
    correct = one_by_one(engine, data, key, m)
    forgotten = (correct[:-1] & ~correct[1:]).sum(axis=0)
    assert forgotten.sum() > 5
    np.testing.assert_array_equal(history.events[m], forgotten)
    np.testing.assert_array_equal(history.learned[m], correct.any(axis=0))
    np.testing.assert_array_equal(history.right[m], correct[-1])
