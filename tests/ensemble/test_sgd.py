"""The compiled ensemble against models trained one by one, and on devices."""

import dataclasses
import functools
import logging

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small

from syndata_jax import models
from syndata_jax.data import augmentation
from syndata_jax.ensemble import (
  make_layout,
  predict,
  sgd,
  shuffled_batches,
  steps_per_epoch,
  variables,
)
from syndata_jax.ensemble.recipe import optimizer
from syndata_jax.ensemble.sgd import init
from syndata_jax.errors import UserError
from syndata_jax.keys import stream

M = 4
KEY = jax.random.key(3)


def trained(num_models=M, model="convnet", **layout):
  return learn(
    small.engine(num_models, model, **layout),
    small.training_set(num_models),
  )


def learn(engine, data, told=None, **options):
  told = [] if told is None else told
  make = functools.partial(sgd, engine, **options)
  return small.learn(engine.layout, make, data, KEY, on_round=told.append)


def of_model(tree, m):
  return jax.tree.map(lambda a: a[m], tree)


def close(got, want, tolerance=2e-4):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=tolerance),
    got,
    want,
  )


@pytest.fixture(scope="module")
def reference():
  """All models on one device, in one chunk."""
  return trained(devices=jax.devices()[:1], chunk=M)


def targets(labels):
  """Probabilities f32[N,K] of labels i32[N], or of logits f32[N,K]."""
  if labels.ndim == 1:
    return np.eye(small.CLASSES, dtype=np.float32)[labels]
  p = np.exp(labels.astype(np.float64) - labels.max(-1, keepdims=True))
  return (p / p.sum(-1, keepdims=True)).astype(np.float32)


def one_by_one(engine, data, model_index):
  """One model, an explicit Python loop of steps and plain optax SGD."""
  recipe, module = engine.recipe, engine.model
  steps = steps_per_epoch(recipe, data.size)
  rule = optimizer(recipe, steps)
  key = jax.random.fold_in(stream(KEY, "model"), model_index)
  state = init(key, module, rule, small.SHAPE)
  params, stats, opt = state.params, state.batch_stats, state.optimizer

  @jax.jit
  def step(params, stats, opt, images, labels):
    def loss(params):
      logits, new = module.apply(
        {"params": params, "batch_stats": stats},
        (images / 255.0 - 0.5) / 0.25,
        True,
        mutable=["batch_stats"],
      )
      chosen = (labels * logits).sum(-1)
      return jnp.mean(jax.nn.logsumexp(logits, -1) - chosen), new

    gradient, new = jax.grad(loss, has_aux=True)(params)
    update, opt = rule.update(gradient, opt, params)
    params = optax.apply_updates(params, update)
    return params, new.get("batch_stats", {}), opt

  for number in range(recipe.num_epochs * steps):
    order = shuffled_batches(
      jax.random.fold_in(stream(key, "order"), number // steps),
      jnp.asarray(data.members[model_index]),
      recipe.batch_size,
      steps,
    )
    index = order[number % steps]
    images = augmentation.gather_augmented(
      jax.random.fold_in(stream(key, "augmentation"), number),
      jnp.asarray(data.images),
      index,
      recipe.shift,
      recipe.flip,
    )
    labels = targets(data.labels)[index]
    params, stats, opt = step(params, stats, opt, images, labels)
  return params, stats


@pytest.mark.parametrize(
  "model",
  ["convnet", pytest.param("resnet18", marks=pytest.mark.slow)],
)
def test_all_at_once_equals_one_by_one(model):
  engine = small.engine(2, model, devices=jax.devices()[:1])
  data = small.training_set(2)
  together = learn(engine, data)
  params, stats = one_by_one(engine, data, 1)
  # Batch norm divides by the spread of seven pixels: rounding grows there.
  tolerance = 2e-4 if model == "convnet" else 1e-2
  close(of_model(together.params, 1), params, tolerance)
  close(of_model(together.batch_stats, 1), stats, tolerance)


def tiny(**recipe):
  """Two models of a network that compiles fast, on one device."""
  engine = small.engine(2, devices=jax.devices()[:1])
  network = models.create("convnet", small.CLASSES, width=2, depth=1)
  changed = dataclasses.replace(engine.recipe, **recipe)
  return engine._replace(model=network, recipe=changed)


@pytest.mark.slow
def test_soft_labels_equal_one_by_one():
  """Mild ones: no class has more than four fifths of most images."""
  rng = np.random.default_rng(1)
  data, shape = small.training_set(2), (small.POOL, small.CLASSES)
  data = data._replace(labels=rng.normal(size=shape).astype(np.float32))
  assert np.median(targets(data.labels).max(-1)) < 0.8
  engine = tiny()
  together = learn(engine, data)
  for m in range(2):
    params, _ = one_by_one(engine, data, m)
    close(of_model(together.params, m), params)


@pytest.fixture(scope="module")
def plain():
  """Bytes and hard labels, mirrored but not shifted: (state, reports)."""
  told = []
  return learn(tiny(shift=0), small.training_set(2), told), told


@pytest.mark.slow
def test_certain_soft_labels_train_as_hard_ones(plain):
  data, told = small.training_set(2), []
  certain = 1e4 * np.eye(small.CLASSES, dtype=np.float32)[data.labels]
  state = learn(tiny(shift=0), data._replace(labels=certain), told)
  close(state, plain[0], 1e-6)
  for got, want in zip(told, plain[1], strict=True):
    assert got.images == want.images == 2 * 28
    got, want = got.metrics, want.metrics
    np.testing.assert_allclose(got["loss"], want["loss"], rtol=1e-5)
    np.testing.assert_array_equal(got["accuracy"], want["accuracy"])


@pytest.mark.slow
def test_floating_images_equal_bytes_normalised_beforehand(plain):
  """Without shifts: what they bring in is black there, and zero here."""
  data, engine = small.training_set(2), tiny(shift=0)
  pixels = ((data.images / 255.0 - 0.5) / 0.25).astype(np.float32)
  state = learn(engine, data._replace(images=pixels))
  close(state, plain[0], 1e-5)
  asked = functools.partial(predict, engine, variables(state))
  queried = (asked(x[:5]) for x in (pixels, data.images))
  np.testing.assert_allclose(*queried, atol=1e-5)


@pytest.mark.slow
def test_an_update_follows_what_the_model_was_given():
  """Peak learning rates of their own, as in recipes of these peaks."""
  rates, data = (0.07, 0.004), small.training_set(2)
  recipe = {"weight_decay": 0.3, "num_epochs": 3}
  alone = [learn(tiny(learning_rate=rate, **recipe), data) for rate in rates]

  def rescale(update, own):
    factor = own.released["rate"]["peak"] / 0.5
    return jax.tree.map(lambda u: factor * u, update)

  together = learn(
    tiny(learning_rate=0.5, **recipe),
    data._replace(released={"rate": {"peak": np.array(rates, np.float32)}}),
    rescale=rescale,
  )
  for m, state in enumerate(alone):
    close(of_model(together.params, m), of_model(state.params, m), 1e-5)
    other = of_model(alone[1 - m].params, m)["Conv_0"]["kernel"]
    kernel = of_model(together.params, m)["Conv_0"]["kernel"]
    assert abs(other - kernel).max() > 0.02


@pytest.mark.slow
def test_sets_of_their_own_train_as_rows_of_a_pool():
  """The same images either way, on two devices: the same bits."""
  data = small.training_set(2)
  sets = data._replace(
    images=data.images[data.members],
    labels=data.labels[data.members],
    members=None,
  )
  engine = tiny()._replace(layout=make_layout(2, devices=jax.devices()[:2]))
  pooled, own = learn(engine, data), learn(engine, sets)
  jax.tree.map(np.testing.assert_array_equal, own, pooled)


def test_a_device_holds_the_sets_of_its_own_models_alone():
  data = small.training_set(4)
  sets = data._replace(
    images=data.images[data.members],
    labels=data.labels[data.members],
    members=None,
  )
  engine = small.engine(4, devices=jax.devices()[:2])
  learner = sgd(engine, sets)
  _, (_, (own, _), pool) = small.prepared(engine.layout, learner, sets, KEY)
  assert pool.images is None and own.rows is None
  for shard in own.images.addressable_shards:
    assert shard.data.shape == (2, *sets.images.shape[1:])
    first = shard.index[0].start or 0
    np.testing.assert_array_equal(shard.data, sets.images[first : first + 2])


@pytest.mark.slow
@pytest.mark.parametrize(
  "layout",
  [
    {"chunk": 2},
    pytest.param({"devices": 3}, marks=pytest.mark.slow),
    pytest.param({"devices": 3, "device_axis": "pmap"}, marks=pytest.mark.slow),
  ],
  ids=str,
)
def test_layout_does_not_change_the_models(reference, layout):
  """Chunks, devices (uneven ones too) and pmap: the same models."""
  devices = jax.devices()[: layout.pop("devices", 1)]
  close(trained(devices=devices, **layout), reference)


@pytest.mark.slow
def test_any_number_of_devices_gives_the_same_bits():
  """Eight models, one at a time, on 1, 2 and 8 devices."""
  one = trained(8, devices=jax.devices()[:1], chunk=1)
  for count in (2, 8):
    more = trained(8, devices=jax.devices()[:count], chunk=1)
    jax.tree.map(np.testing.assert_array_equal, more, one)
  assert np.ptp(one.params["Classifier_0"]["Dense_0"]["bias"], axis=0).all()


@pytest.mark.slow
def test_another_model_does_not_change_the_others(reference):
  more = trained(M + 2, devices=jax.devices()[:1], chunk=M + 2)
  close(jax.tree.map(lambda a: a[:M], more), reference)


def test_models_differ_in_every_draw():
  """Two models with the same members still start and shuffle differently."""
  data = small.training_set(2)
  data = data._replace(members=np.stack([data.members[0]] * 2))
  engine = small.engine(2)
  engine = engine._replace(
    recipe=dataclasses.replace(engine.recipe, num_epochs=1)
  )
  state = learn(engine, data)
  for leaf in jax.tree.leaves(state.params):
    assert not np.array_equal(leaf[0], leaf[1])


def compiled_epoch(layout_options):
  engine, data = small.engine(8, **layout_options), small.training_set(8)
  return small.prepared(engine.layout, sgd(engine, data), data, KEY)


@pytest.mark.parametrize(
  "model", ["convnet", pytest.param("resnet18", marks=pytest.mark.slow)]
)
def test_compiled_epoch_has_no_collective(model):
  run, arguments = compiled_epoch({"devices": jax.devices(), "model": model})
  text = run.lower(*arguments).compile().as_text()
  assert "while" in text
  for collective in (
    "all-reduce",
    "all-gather",
    "all-to-all",
    "reduce-scatter",
    "collective-permute",
  ):
    assert collective not in text


def test_state_is_donated():
  run, arguments = compiled_epoch({"devices": jax.devices()[:1]})
  run(*arguments)
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves(arguments[0]))


@pytest.mark.slow
def test_the_epoch_is_compiled_once(caplog):
  engine = small.engine(M, devices=jax.devices()[:1])
  engine = engine._replace(
    recipe=dataclasses.replace(engine.recipe, num_epochs=5)
  )
  jax.clear_caches()
  with jax.log_compiles(True), caplog.at_level(logging.WARNING):
    learn(engine, small.training_set(M))
  compiled = [
    record.getMessage()
    for record in caplog.records
    if "Finished XLA compilation of jit(on_device)" in record.getMessage()
  ]
  assert len(compiled) == 2  # fresh models, and the epoch


def test_every_member_is_met_in_every_epoch():
  members = np.random.default_rng(0).permutation(100)[:23]
  batches = shuffled_batches(KEY, jnp.asarray(members), 5, 5)
  assert batches.shape == (5, 5)
  flat = np.asarray(batches).ravel()
  assert set(flat[:23]) == set(members)
  np.testing.assert_array_equal(flat[23:], flat[:2])
  other = shuffled_batches(jax.random.key(4), jnp.asarray(members), 5, 5)
  assert not np.array_equal(batches, other)


def test_predictions_equal_the_module_applied_alone(reference):
  engine = small.engine(M, devices=jax.devices()[:3])
  images = small.training_set(M).images[:5]
  logits = predict(engine, variables(reference), images)
  assert logits.shape == (M, 5, small.CLASSES)
  assert logits.dtype == np.float32
  for m in range(M):
    alone = engine.model.apply(
      {"params": of_model(reference.params, m)},
      (images / 255.0 - 0.5) / 0.25,
    )
    np.testing.assert_allclose(logits[m], alone, atol=1e-4)


def test_a_diverging_model_is_named():
  engine = small.engine(2)
  engine = engine._replace(
    recipe=dataclasses.replace(
      engine.recipe, learning_rate=1e30, warmup_epochs=0
    )
  )
  with pytest.raises(UserError, match=r"learning_rate: .* model \d .* round"):
    learn(engine, small.training_set(2))


@pytest.mark.slow
def test_bfloat16_stays_near_float32(reference):
  low = trained(dtype="bfloat16", devices=jax.devices()[:1])
  for leaf in jax.tree.leaves(low.params):
    assert leaf.dtype == np.float32
  close(low.params, reference.params, 0.05)
