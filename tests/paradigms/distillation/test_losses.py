"""Losses and gradients of all methods against float64 loops in NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variants import others_slow

from syndata_jax.paradigms.distillation import (
  distribution_loss,
  trajectory_loss,
)
from syndata_jax.paradigms.distillation.dc import gradient_distance
from syndata_jax.paradigms.distillation.mtt import exact_gradient, inner_batches
from syndata_jax.paradigms.distillation.synthetic import Synthetic
from syndata_jax.paradigms.distillation.tesla import tesla_gradient

PIXELS, HIDDEN, CLASSES, SIZE = 4, 3, 3, 5
BATCHES = np.array([[0, 3, 1], [4, 2, 2], [1, 0, 4], [3, 4, 0]])
RATE = 0.3


def apply_fn(params, images):
  """A network of two layers on images [b,2,2,1]."""
  hidden = jnp.tanh(images.reshape(images.shape[0], -1) @ params["a"])
  return hidden @ params["b"] + params["c"]


def draw(seed=0):
  random = np.random.default_rng(seed)

  def params():
    return {
      "a": random.normal(size=(PIXELS, HIDDEN)),
      "b": random.normal(size=(HIDDEN, CLASSES)),
      "c": random.normal(size=CLASSES),
    }

  start = params()
  target = {
    name: v + 0.3 * random.normal(size=v.shape) for name, v in start.items()
  }
  images = random.normal(size=(SIZE, 2, 2, 1))
  hard = np.array([0, 2, 1, 1, 0])
  soft = random.normal(size=(SIZE, CLASSES))
  return start, target, images, hard, soft


def softmax(logits):
  e = np.exp(logits - logits.max(-1, keepdims=True))
  return e / e.sum(-1, keepdims=True)


def probabilities(labels):
  return np.eye(CLASSES)[labels] if labels.ndim == 1 else softmax(labels)


def by_hand(params, images, labels):
  """Gradient of the mean cross-entropy, written out."""
  x = images.reshape(len(images), -1)
  hidden = np.tanh(x @ params["a"])
  wrong = softmax(hidden @ params["b"] + params["c"]) - probabilities(labels)
  wrong = wrong / len(x)
  back = (wrong @ params["b"].T) * (1 - hidden**2)
  return {"a": x.T @ back, "b": hidden.T @ wrong, "c": wrong.sum(0)}


def squares(a, b):
  return sum(((a[name] - b[name]) ** 2).sum() for name in a)


def unrolled(start, target, images, labels, rate):
  params = start
  for index in BATCHES:
    found = by_hand(params, images[index], labels[index])
    params = {name: params[name] - rate * found[name] for name in params}
  return squares(params, target) / squares(start, target)


def differences(function, at, step=1e-6):
  """The gradient of a scalar function by central differences."""
  at = np.asarray(at, float)
  found = np.zeros(at.shape)
  for place in np.ndindex(at.shape):
    sides = []
    for sign in (1, -1):
      moved = at.copy()
      moved[place] += sign * step
      sides.append(function(moved))
    found[place] = (sides[0] - sides[1]) / (2 * step)
  return found


@pytest.fixture(autouse=True)
def in_float64():
  with jax.enable_x64(True):
    yield


@pytest.mark.parametrize("kind", others_slow(["soft", "hard"]))
def test_trajectory_loss_and_its_exact_gradient(kind):
  start, target, images, hard, soft = draw()
  labels = hard if kind == "hard" else soft
  batches = jnp.asarray(BATCHES)
  want = unrolled(start, target, images, labels, RATE)
  got = trajectory_loss(
    apply_fn, start, target, images, jnp.asarray(labels), RATE, batches
  )
  assert got == pytest.approx(want, rel=1e-12)
  synthetic = Synthetic(*map(jnp.asarray, (images, labels, RATE)))
  value, gradient = jax.jit(exact_gradient, static_argnums=0)(
    apply_fn, start, target, synthetic, batches
  )
  assert value == pytest.approx(want, rel=1e-12)
  by_images = differences(
    lambda x: unrolled(start, target, x, labels, RATE), images
  )
  np.testing.assert_allclose(gradient.images, by_images, rtol=1e-6, atol=1e-9)
  by_rate = differences(
    lambda r: unrolled(start, target, images, labels, r), RATE
  )
  np.testing.assert_allclose(gradient.learning_rate, by_rate, rtol=1e-6)
  if kind == "soft":
    by_labels = differences(
      lambda y: unrolled(start, target, images, y, RATE), labels
    )
    np.testing.assert_allclose(gradient.labels, by_labels, rtol=1e-6, atol=1e-9)
  else:
    assert gradient.labels.dtype == synthetic.labels.dtype
    assert not np.any(gradient.labels)


@pytest.mark.slow
@pytest.mark.parametrize("kind", others_slow(["soft", "hard"]))
def test_tesla_follows_its_own_formula(kind):
  """Every step's gradient differentiated by itself, in a double loop."""
  start, target, images, hard, soft = draw(1)
  labels = hard if kind == "hard" else soft
  visited, params = [], start
  total = {name: np.zeros(v.shape) for name, v in start.items()}
  for index in BATCHES:
    found = by_hand(params, images[index], labels[index])
    visited.append(params)
    total = {name: total[name] + found[name] for name in total}
    params = {name: params[name] - RATE * found[name] for name in params}
  scale = squares(start, target)
  weight = {
    name: 2
    / scale
    * (RATE * (target[name] - start[name]) + RATE**2 * total[name])
    for name in start
  }
  image_gradient, label_gradient = (
    np.zeros(images.shape),
    np.zeros((SIZE, CLASSES)),
  )
  for at, index in zip(visited, BATCHES, strict=True):

    def product(batch, own_labels, at=at):
      found = by_hand(at, batch, own_labels)
      return sum((weight[name] * found[name]).sum() for name in found)

    of_batch = differences(
      lambda x, y=labels[index], of=product: of(x, y), images[index]
    )
    for place, row in enumerate(index):
      image_gradient[row] += of_batch[place]
    if kind == "soft":
      of_labels = differences(
        lambda y, x=images[index], of=product: of(x, y), labels[index]
      )
      for place, row in enumerate(index):
        label_gradient[row] += of_labels[place]
  by_rate = sum(
    -2 * (total[name] * (start[name] - RATE * total[name] - target[name])).sum()
    for name in start
  )
  synthetic = Synthetic(*map(jnp.asarray, (images, labels, RATE)))
  value, gradient = jax.jit(tesla_gradient, static_argnums=0)(
    apply_fn, start, target, synthetic, jnp.asarray(BATCHES)
  )
  assert value == pytest.approx(
    unrolled(start, target, images, labels, RATE), rel=1e-12
  )
  np.testing.assert_allclose(
    gradient.images, image_gradient, rtol=1e-6, atol=1e-9
  )
  np.testing.assert_allclose(gradient.learning_rate, by_rate / scale, rtol=1e-9)
  if kind == "soft":
    np.testing.assert_allclose(
      gradient.labels, label_gradient, rtol=1e-6, atol=1e-9
    )
  else:
    assert not np.any(gradient.labels)
  # And it is not the exact one: later steps see the images through them.
  _, exact = exact_gradient(
    apply_fn, start, target, synthetic, jnp.asarray(BATCHES)
  )
  assert (
    abs(exact.images - gradient.images).max() > 1e-3 * abs(exact.images).max()
  )


@pytest.mark.slow
def test_tesla_is_exact_for_a_single_step():
  start, target, images, hard, _ = draw(2)
  synthetic = Synthetic(*map(jnp.asarray, (images, hard, RATE)))
  given = apply_fn, start, target, synthetic, jnp.asarray(BATCHES[:1])
  (one, first), (two, second) = tesla_gradient(*given), exact_gradient(*given)
  assert float(one) == pytest.approx(float(two), rel=1e-12)
  np.testing.assert_allclose(first.images, second.images, rtol=1e-10)
  np.testing.assert_allclose(
    first.learning_rate, second.learning_rate, rtol=1e-10
  )


def test_both_gradients_go_through_the_augmentation():
  """An augmentation that scales by the step's number, twice the same draw."""
  start, target, images, hard, _ = draw(3)
  synthetic = Synthetic(*map(jnp.asarray, (images, hard, RATE)))
  vary = lambda number, x: x * (1 + 0.1 * number)
  given = apply_fn, start, target, synthetic, jnp.asarray(BATCHES), vary

  def want(x):
    params = start
    for number, index in enumerate(BATCHES):
      found = by_hand(params, x[index] * (1 + 0.1 * number), hard[index])
      params = {name: params[name] - RATE * found[name] for name in params}
    return squares(params, target) / squares(start, target)

  for gradient in (exact_gradient, tesla_gradient):
    value, found = gradient(*given)
    assert value == pytest.approx(want(images), rel=1e-12)
    assert np.isfinite(found.images).all()
  _, exact = exact_gradient(*given)
  np.testing.assert_allclose(
    exact.images, differences(want, images), rtol=1e-6, atol=1e-9
  )


def test_distribution_loss_sums_squares_over_classes_and_features():
  random = np.random.default_rng(4)
  weights = random.normal(size=(PIXELS, 6))
  real = random.normal(size=(CLASSES, 7, 2, 2, 1))
  synthetic = random.normal(size=(CLASSES, 2, 2, 2, 1))

  def reference(images):
    total = 0.0
    for k in range(CLASSES):
      means = [
        np.mean([np.tanh(x.reshape(-1) @ weights) for x in part], axis=0)
        for part in (real[k], images[k])
      ]
      total += ((means[0] - means[1]) ** 2).sum()
    return total

  embed = lambda params, x: jnp.tanh(x.reshape(x.shape[0], -1) @ params)
  loss = lambda x: distribution_loss(embed, weights, jnp.asarray(real), x)
  value, gradient = jax.value_and_grad(loss)(jnp.asarray(synthetic))
  assert value == pytest.approx(reference(synthetic), rel=1e-12)
  np.testing.assert_allclose(
    gradient, differences(reference, synthetic), rtol=1e-6, atol=1e-9
  )


def test_distribution_loss_of_classes_of_different_size():
  """What fills a smaller class up counts nothing, whatever it is."""
  random = np.random.default_rng(8)
  real = random.normal(size=(CLASSES, 4, 2, 2, 1))
  synthetic = jnp.asarray(random.normal(size=(CLASSES, 2, 2, 2, 1)))
  sizes = (4, 1, 3)
  want = sum(
    ((part[:size].mean(0) - images.mean(0)) ** 2).sum()
    for part, size, images in zip(real, sizes, synthetic, strict=True)
  )
  counted = np.arange(4) < np.array(sizes)[:, None]
  embed = lambda params, x: x.reshape(x.shape[0], -1)
  got = distribution_loss(embed, None, real, synthetic, counted)
  assert got == pytest.approx(float(want), rel=1e-12)


def distance_by_hand(a, b):
  """Zhao et al.: one cosine for each output, nothing for vectors."""
  total = 0.0
  for name in a:
    if a[name].ndim < 2:
      continue
    for output in range(a[name].shape[-1]):
      one, two = a[name][..., output].ravel(), b[name][..., output].ravel()
      lengths = np.sqrt((one**2).sum()) * np.sqrt((two**2).sum())
      total += 1 - (one * two).sum() / (lengths + 1e-6)
  return total


def test_gradient_distance_and_its_gradient():
  params, _, images, hard, _ = draw(5)
  wanted = by_hand(params, *draw(6)[2:4])

  def reference(x):
    return distance_by_hand(wanted, by_hand(params, x, hard))

  def loss(x):
    def cross_entropy(p):
      log = jax.nn.log_softmax(apply_fn(p, x))
      return -jnp.take_along_axis(log, hard[:, None], 1).mean()

    return gradient_distance(wanted, jax.grad(cross_entropy)(params))

  value, gradient = jax.value_and_grad(loss)(jnp.asarray(images))
  assert value == pytest.approx(reference(images), rel=1e-9)
  np.testing.assert_allclose(
    gradient, differences(reference, images), rtol=1e-5, atol=1e-8
  )


def test_gradient_distance_of_kernels_and_of_vanishing_gradients():
  random = np.random.default_rng(7)
  a, b = ({"k": random.normal(size=(3, 3, 2, 4))} for _ in range(2))
  assert gradient_distance(a, b) == pytest.approx(
    distance_by_hand(a, b), rel=1e-9
  )
  nothing = {"k": jnp.zeros((3, 3, 2, 4))}
  value, gradient = jax.value_and_grad(lambda g: gradient_distance(a, g))(
    nothing
  )
  assert value == pytest.approx(4)
  assert np.isfinite(gradient["k"]).all()


@pytest.mark.parametrize(
  "size, batch, steps", [(6, 6, 4), (6, 2, 8), (5, 2, 7)]
)
def test_inner_batches_pass_over_all_images(size, batch, steps):
  found = np.asarray(inner_batches(jax.random.key(0), size, batch, steps))
  assert found.shape == (steps, batch)
  each = -(-size // batch)
  for first in range(0, steps - each + 1, each):
    assert set(found[first : first + each].ravel()) == set(range(size))
  passes = [tuple(found[i]) for i in range(0, steps, each)]
  assert any(a != b for a, b in itertools.pairwise(passes))
