"""How images are made: generator, pixels, rounds."""

from functools import partial

import data_free_small as tiny
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from flax import linen as nn

from syndata_jax.keys import stream
from syndata_jax.paradigms.data_free import deep_inversion, fast, generator
from syndata_jax.paradigms.data_free.inversion import to_bytes
from syndata_jax.paradigms.data_free.setup import Task, jitter

KEY = jax.random.key(11)


def test_the_generator_has_the_published_size():
  network = generator.Generator((32, 32, 3), 64)
  shapes = jax.eval_shape(lambda key: generator.init(network, key, 256), KEY)
  sizes = [leaf.size for leaf in jax.tree.leaves(shapes)]
  assert sum(sizes) == 2_328_899


@pytest.mark.parametrize(
  "shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (5, 7, 3)]
)
def test_images_of_every_size_are_made(shape):
  network = generator.Generator(shape, 2)

  def make(key):
    params = generator.init(network, key, 4)
    return generator.generate(network, params, jax.random.normal(key, (3, 4)))

  assert jax.eval_shape(make, KEY).shape == (3, *shape)


def test_pixels_are_those_of_a_plain_generator():
  """In NumPy: linear, norm, twice [double, convolve, norm, leaky], sigmoid."""
  network = generator.Generator((8, 8, 1), 2)
  params = jax.jit(lambda: generator.init(network, KEY, 4))()
  params = jax.tree.map(np.asarray, params)
  codes = np.asarray(jax.random.normal(KEY, (3, 4)))

  def normed(x, layer):
    axes = (0, 1, 2)
    x = (x - x.mean(axes)) / np.sqrt(x.var(axes) + 1e-5)
    return x * layer["scale"] + layer["bias"]

  def convolved(x, layer):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = x.shape[1:3]
    return sum(
      padded[:, i : i + rows, j : j + columns] @ layer["kernel"][i, j]
      for i in range(3)
      for j in range(3)
    )

  x = codes @ params["linear"]["kernel"] + params["linear"]["bias"]
  x = normed(x.reshape(3, 2, 2, 4), params["first_norm"])
  for n in range(2):
    x = convolved(x.repeat(2, 1).repeat(2, 2), params[f"Conv_{n}"])
    x = normed(x, params[f"norm_{n}"])
    x = np.where(x > 0, x, 0.2 * x)
  x = convolved(x, params["Conv_2"]) + params["Conv_2"]["bias"]
  got = jax.jit(lambda: generator.generate(network, params, codes))()
  np.testing.assert_allclose(got, 1 / (1 + np.exp(-x)), atol=1e-4)


@pytest.mark.slow
def test_first_layers_begin_anew():
  network = generator.Generator((8, 8, 1), 16)
  params = jax.jit(lambda: generator.init(network, KEY, 16))()
  fresh = generator.reset_first_layers(stream(KEY, "reset"), params)
  assert fresh.keys() == params.keys()
  for name in params.keys() - {"linear", "first_norm"}:
    jax.tree.map(np.testing.assert_array_equal, fresh[name], params[name])
  for name, weight in (("linear", "kernel"), ("first_norm", "scale")):
    assert not np.any(fresh[name]["bias"])
    weights = np.asarray(fresh[name][weight])
    assert 0.01 < weights.std() < 0.03 and abs(weights.mean()) < 0.02


def test_a_batch_moves_as_one():
  images = jnp.arange(1, 3 * 25 + 1).reshape(3, 5, 5, 1)
  seen = set()
  for n in range(40):
    for roll in (True, False):
      moved = np.asarray(jitter(jax.random.key(n), images, 1, True, roll))
      steps = moved[1] - moved[0]
      # Every image is moved alike: 25 lies between two of them, or zeros.
      assert set(np.unique(steps)) <= ({25} if roll else {0, 25})
      assert roll == (moved > 0).all() or not roll
    seen.add(moved.tobytes())
  assert len(seen) > 10  # of 18
  still = jitter(KEY, images, 0, False, roll=True)
  np.testing.assert_array_equal(still, images)


def test_bytes_are_cut_off():
  pixels = jnp.asarray([-0.2, 0.0, 0.999, 1.0, 1.7, 100.9 / 255])
  assert to_bytes(pixels).tolist() == [0, 0, 254, 255, 255, 100]


def read_by_batch_norm(model, variables, images):
  """The outputs of the convolution, which the norm behind it reads."""
  _, state = model.apply(
    variables,
    images,
    False,
    capture_intermediates=lambda module, _: type(module).__name__ == "Conv",
    mutable=["intermediates"],
  )
  return state["intermediates"]["Conv_0"]["__call__"][0]


@jax.jit
def adam(slope, state, beta):
  """One update, betas 0.5 and `beta`, by Kingma and Ba's algorithm 1."""
  step, first, second = state
  step += 1
  first = jax.tree.map(lambda m, g: 0.5 * m + 0.5 * g, first, slope)
  second = jax.tree.map(
    lambda v, g: beta * v + (1 - beta) * g**2, second, slope
  )
  update = jax.tree.map(
    lambda m, v: (
      (m / (1 - 0.5**step)) / (jnp.sqrt(v / (1 - beta**step)) + 1e-8)
    ),
    first,
    second,
  )
  return update, (step, first, second)


def blank_adam(params):
  zeros = jax.tree.map(jnp.zeros_like, params)
  return 0, zeros, zeros


def task(setup, teacher, number, student=None, adversarial=0.0):
  return Task(
    jax.random.fold_in(KEY, number),
    jnp.asarray(number),
    teacher,
    student,
    jnp.asarray(adversarial),
  )


def plain_fast(setup, teacher, params, rounds):
  """Rounds of fast, one update after the other: images and losses."""
  options, model = setup.options, setup.teacher.model
  network = generator.Generator(small.SHAPE, options.generator_width)
  stored = teacher["batch_stats"]["BatchNorm_0"]

  def loss(learnt, average, targets):
    pixels = generator.generate(network, *learnt)
    shown = (pixels - 0.5) / 0.25
    x = read_by_batch_norm(model, teacher, shown)
    batch = [x.mean((0, 1, 2)), x.var((0, 1, 2))]
    compared = batch
    if average is not None:
      compared = [
        0.1 * b + 0.9 * a for b, a in zip(batch, average, strict=True)
      ]
    total = jnp.sqrt(((compared[0] - stored["mean"]) ** 2).sum())
    total += jnp.sqrt(((compared[1] - stored["var"]) ** 2).sum())
    total *= options.statistics_weight
    said = jax.nn.log_softmax(model.apply(teacher, shown, False))
    picked = said[jnp.arange(len(targets)), targets]
    return total - options.one_hot_weight * picked.mean(), (pixels, batch)

  slope_of = jax.jit(jax.value_and_grad(loss, has_aux=True))
  average, meta = None, blank_adam(params)
  images, losses = [], []
  for number in range(rounds):
    key = jax.random.fold_in(KEY, number)
    shape = options.synthetic_batch, options.code_size
    codes = jax.random.normal(stream(key, "codes"), shape)
    targets = jax.random.randint(
      stream(key, "targets"), shape[:1], 0, small.CLASSES
    )
    learnt, state, best = (params, codes), blank_adam((params, codes)), None
    met = jax.tree.map(jnp.zeros_like, params)
    for _ in range(options.iterations):
      (value, (pixels, batch)), slope = slope_of(learnt, average, targets)
      if best is None or value < best[0]:
        best = value, pixels
      met = jax.tree.map(jnp.add, met, slope[0])
      update, state = adam(slope, state, 0.999)
      learnt = (
        jax.tree.map(lambda x, u: x - 5e-3 * u, learnt[0], update[0]),
        learnt[1] - 0.015 * update[1],
      )
    if options.meta_learnt:
      update, meta = adam(met, meta, 0.999)
      rate = 5e-3 * options.iterations
      params = jax.tree.map(lambda x, u, r=rate: x - r * u, params, update)
    else:
      params = learnt[0]
    average = (
      batch
      if average is None
      else [0.9 * a + 0.1 * b for a, b in zip(average, batch, strict=True)]
    )
    images.append(best[1])
    losses.append(best[0])
  return params, images, losses


@pytest.mark.parametrize(
  "terms",
  [
    {},
    pytest.param(
      {"meta_learnt": True, "one_hot_weight": 0.7, "statistics_weight": 2.0},
      marks=pytest.mark.slow,
    ),
  ],
)
def test_fast_is_a_plain_loop(terms):
  """Three rounds: codes and Adam anew, statistics with their momentum."""
  setup = tiny.setup(tiny.options(iterations=3, **terms))
  teacher = tiny.taught(setup)
  state = fast.init(setup, KEY)
  run = jax.jit(
    lambda state, number: fast.invert(
      setup, state, task(setup, teacher, number)
    )
  )
  wanted = plain_fast(setup, teacher, state.params, 3)
  close = partial(np.testing.assert_allclose, rtol=1e-3, atol=2e-4)
  for number in range(3):
    state, pixels, loss = run(state, number)
    close(pixels, wanted[1][number])
    close(loss, wanted[2][number])
  jax.tree.map(close, state.params, wanted[0])


@pytest.mark.slow
@pytest.mark.parametrize("method", [fast, deep_inversion])
def test_an_adversary_leaves_the_student_further_behind(method):
  """After equal rounds, images are where the two networks differ more."""
  name = method.__name__.rpartition(".")[2]
  setup = tiny.setup(tiny.options(name, iterations=30, synthetic_batch=12))
  teacher, student = (
    tiny.taught(setup),
    setup.teacher.model.init(
      jax.random.key(9), jnp.zeros((1, *small.SHAPE)), False
    ),
  )
  ask = lambda images: setup.teacher.model.apply(student, images, False)

  @jax.jit
  def gap(weight):
    _, pixels, _ = method.invert(
      setup, method.init(setup, KEY), task(setup, teacher, 0, ask, weight)
    )
    images = setup.read(pixels)
    said = jax.nn.softmax(ask(images))
    wanted = jax.nn.softmax(setup.look(teacher, images).logits)
    return (wanted * jnp.log(wanted / said)).sum(-1).mean()

  assert gap(100.0) > gap(0.0)


@pytest.mark.slow
def test_deep_inversion_is_a_plain_loop():
  """Adam on pixels, clipped to what a picture can show."""
  setup = tiny.setup(
    tiny.options(
      "deep_inversion",
      iterations=4,
      one_hot_weight=0.5,
      variation_weight=0.1,
      norm_weight=0.2,
      statistics_weight=3.0,
    )
  )
  teacher, model = tiny.taught(setup), setup.teacher.model
  stored = teacher["batch_stats"]["BatchNorm_0"]
  key = jax.random.fold_in(KEY, 2)
  targets = jax.random.randint(stream(key, "targets"), (6,), 0, small.CLASSES)
  images = jax.random.normal(stream(key, "noise"), (6, *small.SHAPE))

  def loss(images):
    x = read_by_batch_norm(model, teacher, images)
    total = jnp.linalg.norm(x.mean((0, 1, 2)) - stored["mean"])
    total += jnp.linalg.norm(x.var((0, 1, 2)) - stored["var"])
    said = nn.log_softmax(model.apply(teacher, images, False))
    total = 3 * total - 0.5 * said[jnp.arange(6), targets].mean()
    variation = 0.0
    for i, j in ((1, 0), (0, 1), (1, 1), (1, -1)):
      there = jnp.roll(images, (i, j), (1, 2))[:, i:, max(j, 0) :]
      here = images[:, i:, max(j, 0) :]
      if j < 0:
        there, here = there[:, :, :-1], here[:, :, :-1]
      variation += jnp.sqrt(((here - there) ** 2).sum())
    total += 0.1 * variation
    return total + 0.2 * jnp.sqrt((images**2).sum((1, 2, 3))).mean()

  slope_of = jax.jit(jax.value_and_grad(loss))
  state, best = blank_adam(images), (np.inf, None)
  for _ in range(4):
    value, slope = slope_of(images)
    if value < best[0]:
      best = value, images
    update, state = adam(slope, state, 0.99)
    images = jnp.clip(images - 0.1 * update, -2.0, 2.0)
  run = jax.jit(
    lambda: deep_inversion.invert(setup, (), task(setup, teacher, 2))
  )
  _, pixels, value = run()
  np.testing.assert_allclose(value, best[0], rtol=1e-4)
  want = best[1] * 0.25 + 0.5
  np.testing.assert_allclose(pixels, want, rtol=1e-3, atol=1e-4)
