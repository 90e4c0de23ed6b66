"""Private training against its steps written out, and what must not differ."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from syndata_jax.ensemble import Checkpoints, Own, Pool, Recipe
from syndata_jax.errors import UserError
from syndata_jax.keys import model_keys, stream
from syndata_jax.paradigms import Private, dpsgd
from syndata_jax.paradigms.dpsgd import Options, clipped_gradient, mechanism
from syndata_jax.paradigms.dpsgd.learner import private_sgd
from syndata_jax.privacy import SubsampledGaussian

KEY = jax.random.key(5)
OPTIONS = Options(
  noise_multiplier=0.5, delta=0.01, clip_norm=0.8, augmentation_multiplicity=1
)


def tools(num_models=2, epochs=2, **layout):
  engine = small.engine(num_models, **layout)
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
  data = small.training_set(engine.layout.num_models)
  make = functools.partial(learner, engine, options=options)
  return small.learn(engine.layout, make, data, KEY, checkpoints)


def largest(a, b):
  gaps = jax.tree.map(lambda x, y: np.abs(x - y).max(), a, b)
  return max(jax.tree.leaves(gaps))


def test_training_equals_its_steps_written_out():
  """Model 1: sampler, clipping, noise, divisor and average one by one."""
  engine = tools(devices=jax.devices()[:1])
  data = small.training_set(2)
  state = trained(engine)
  accounted = mechanism(OPTIONS, engine.recipe, small.OWN)
  assert accounted.steps == 6 and accounted.expected_batch == 8
  key = model_keys(KEY, 2)[1]
  params = learner(engine, data).init(Own(key), Pool(None, None)).params
  average = params

  def loss(params, image, label):
    x = (image[None] / 255.0 - 0.5) / 0.25
    logits = engine.model.apply({"params": params}, x, True)[0]
    return jax.nn.logsumexp(logits) - logits[label]

  clipped = jax.jit(lambda *a: clipped_gradient(loss, *a, OPTIONS.clip_norm)[0])
  for t in range(6):
    here = jax.random.fold_in(stream(key, "dpsgd"), t)
    index, padding = accounted.sample(here)
    rows = data.members[1][np.asarray(index)[~np.asarray(padding)]]
    total = clipped(params, data.images[rows], data.labels[rows])
    noise = accounted.noise(here, params)
    params = jax.tree.map(
      lambda p, g, z: p - 0.5 * (g + z) / 8, params, total, noise
    )
    decay = min(0.9999, (1 + t) / (10 + t))
    average = jax.tree.map(
      lambda a, p, d=decay: d * a + (1 - d) * p, average, params
    )
  released = learner(engine, data).release(state)
  second = jax.tree.map(lambda a: a[1], released["params"])
  assert largest(second, average) < 1e-5
  assert state.step.tolist() == [6, 6] and released["batch_stats"] == {}


@pytest.mark.slow
@pytest.mark.parametrize(
  "change",
  [
    {"microbatch": 3},
    pytest.param({"layout": {"devices": 2}}, marks=pytest.mark.slow),
    pytest.param({"layout": {"chunk": 2}}, marks=pytest.mark.slow),
    pytest.param(
      {"layout": {"devices": 2, "device_axis": "pmap"}}, marks=pytest.mark.slow
    ),
    pytest.param({"microbatch": 100}, marks=pytest.mark.slow),
  ],
  ids=str,
)
def test_speed_settings_do_not_change_the_models(change):
  layout = change.get("layout", {}).copy()
  devices = jax.devices()[: layout.pop("devices", 1)]
  engine = tools(devices=devices, **layout)
  microbatch = change.get("microbatch", 0)
  options = dataclasses.replace(OPTIONS, microbatch=microbatch)
  plain = tools(devices=jax.devices()[:1], chunk=1)
  assert largest(trained(engine, options).params, trained(plain).params) < 1e-5


@pytest.mark.slow
def test_each_model_has_noise_of_its_own():
  """Noise far above the gradients: what moves a model is its own draw."""
  loud = dataclasses.replace(OPTIONS, noise_multiplier=1e3, ema_decay=0.0)
  engine = tools(num_models=3, epochs=1)
  init = learner(engine, small.training_set(3), loud).init
  start = lambda key: init(Own(key), Pool(None, None))
  moved = jax.tree.map(
    lambda after, before: np.asarray(after - before).reshape(3, -1),
    trained(engine, loud).params,
    jax.vmap(start)(model_keys(KEY, 3)).params,
  )
  flat = np.concatenate(jax.tree.leaves(moved), axis=1)
  correlation = np.corrcoef(flat)[np.triu_indices(3, 1)]
  assert np.abs(correlation).max() < 5 / np.sqrt(flat.shape[1])


@pytest.mark.slow
def test_the_same_noise_in_all_models_is_seen(monkeypatch):
  """The bug that the test above is there for."""
  real = SubsampledGaussian.noise
  monkeypatch.setattr(
    SubsampledGaussian,
    "noise",
    lambda self, key, tree: real(self, jax.random.key(0), tree),
  )
  with pytest.raises(AssertionError):
    test_each_model_has_noise_of_its_own()


@pytest.mark.slow
def test_a_resumed_run_continues_the_noise(tmp_path):
  checkpoints = Checkpoints(tmp_path, every=1)
  trained(tools(epochs=1), checkpoints=checkpoints)
  # The noise multiplier is given, so more steps change nothing but epsilon.
  resumed = trained(tools(epochs=2), checkpoints=checkpoints)
  assert largest(resumed.params, trained(tools(epochs=2)).params) == 0


def test_a_checkpoint_beyond_the_accounted_steps_is_refused(tmp_path):
  checkpoints = Checkpoints(tmp_path, every=1)
  trained(tools(epochs=2), checkpoints=checkpoints)
  with pytest.raises(UserError, match=r"num_epochs=1: .* epoch 2"):
    trained(tools(epochs=1), checkpoints=checkpoints)


def test_more_steps_than_accounted_are_refused():
  engine, data = tools(epochs=3), small.training_set(2)
  short = mechanism(OPTIONS, tools(epochs=2).recipe, small.OWN)
  with pytest.raises(UserError, match="steps=9: must be at most 6"):
    private_sgd(engine, OPTIONS, short, data)


@pytest.mark.slow
def test_the_compiled_epoch_has_no_collective():
  engine, data = tools(8, devices=jax.devices()), small.training_set(8)
  run, arguments = small.prepared(
    engine.layout, learner(engine, data), data, KEY
  )
  text = run.lower(*arguments).compile().as_text()
  for collective in ("all-reduce", "all-gather", "all-to-all", "permute"):
    assert collective not in text


@pytest.mark.slow
def test_views_are_averaged_before_clipping():
  """Without augmentation all views are equal: any number gives one result."""
  many = dataclasses.replace(OPTIONS, augmentation_multiplicity=3)
  engine = tools(devices=jax.devices()[:1])
  assert largest(trained(engine, many).params, trained(engine).params) < 1e-5


def private():
  data = small.training_set(2)
  return Private(data.images, data.labels, data.members, small.CLASSES)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"delta": 0.0}, "delta=0: must be set under dpsgd"),
    ({"delta": 0.2}, "delta=0.2: must be .*1/24|delta=0.2"),
    ({"clip_norm": 0.0}, "clip_norm=0"),
    ({"epsilon": 3.0}, "epsilon=3, noise_multiplier=0.5: set one"),
    ({"noise_multiplier": 0.0}, "epsilon=0, noise_multiplier=0: set one"),
    ({"augmentation_multiplicity": 0}, "augmentation_multiplicity=0: must"),
    ({"ema_decay": 1.0}, "ema_decay=1.0: must be in"),
  ],
)
def test_what_is_refused(change, message):
  with pytest.raises(UserError, match=message):
    options = dataclasses.replace(OPTIONS, **change)
    dpsgd.make(tools(), options, private())


def test_batch_norm_is_refused():
  engine = tools()._replace(model=small.engine(2, "resnet18").model)
  with pytest.raises(UserError, match="norm=batch: must be group or instance"):
    dpsgd.make(engine, OPTIONS, private())


def test_a_batch_larger_than_the_data_is_refused():
  engine = tools()
  recipe = dataclasses.replace(engine.recipe, batch_size=25)
  with pytest.raises(UserError, match="batch_size=25: must not exceed the 24"):
    dpsgd.make(engine._replace(recipe=recipe), OPTIONS, private())


def test_epsilon_is_solved_for_and_stated():
  options = dataclasses.replace(OPTIONS, epsilon=3.0, noise_multiplier=0.0)
  statement = dpsgd.make(tools(), options, private()).statement
  assert 2.9 < statement.epsilon <= 3.0
  event = statement.releases[0].event
  assert event.count == 6 and event.event.sampling_probability == 8 / 24
  given = dpsgd.make(tools(), OPTIONS, private()).statement
  step = given.releases[0].event.event
  assert step.event.noise_multiplier == 0.5 and given.epsilon > 3
  assert jnp.isfinite(given.epsilon)
