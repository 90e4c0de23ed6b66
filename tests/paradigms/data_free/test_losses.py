"""The losses against their formulas in NumPy, and against PyTorch's hooks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from scipy.special import log_softmax

from syndata_jax import models
from syndata_jax.paradigms.data_free import (
  distillation_loss,
  losses,
  statistics_loss,
  teacher,
)

RNG = np.random.default_rng(0)


def pairs(*sizes):
  return [(RNG.normal(size=c), RNG.uniform(0.5, 2, c)) for c in sizes]


def test_statistics_are_compared_by_norms():
  batch, running = pairs(3, 5), pairs(3, 5)
  want = 0.0
  for (mean, variance), (other_mean, other_variance) in zip(
    batch, running, strict=True
  ):
    want += np.sqrt(((mean - other_mean) ** 2).sum())
    want += np.sqrt(((variance - other_variance) ** 2).sum())
  np.testing.assert_allclose(statistics_loss(batch, running), want, rtol=1e-6)
  with pytest.raises(ValueError):
    statistics_loss(batch, running[:1])


def test_equal_statistics_pull_nowhere():
  statistics = jax.tree.map(jnp.asarray, pairs(4))
  value, slope = jax.value_and_grad(statistics_loss)(statistics, statistics)
  assert value == 0
  for leaf in jax.tree.leaves(slope):
    np.testing.assert_array_equal(leaf, 0)


@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_distillation_is_a_scaled_divergence(temperature):
  student, wanted = RNG.normal(size=(2, 6, 4)) * 5
  there = log_softmax(wanted / temperature, -1)
  here = log_softmax(student / temperature, -1)
  each = (np.exp(there) * (there - here)).sum(-1)
  got = distillation_loss(
    jnp.asarray(student), jnp.asarray(wanted), temperature
  )
  np.testing.assert_allclose(got, temperature**2 * each.mean(), rtol=1e-4)


def test_disagreement_counts_images_of_one_class_alone():
  wanted = np.array([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
  student = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
  there, here = log_softmax(wanted, -1), log_softmax(student, -1)
  each = (np.exp(there) * (there - here)).sum(-1)
  np.testing.assert_allclose(
    losses.disagreement(jnp.asarray(student), jnp.asarray(wanted)),
    (each[0] + each[2]) / 3,
    rtol=1e-5,
  )


def test_jensen_shannon():
  student, wanted = RNG.normal(size=(2, 5, 3)) * 4
  p, q = (np.exp(log_softmax(x / 3, -1)) for x in (student, wanted))
  middle = (p + q) / 2
  each = (p * np.log(p / middle) + q * np.log(q / middle)).sum(-1) / 2
  got = losses.jensen_shannon(jnp.asarray(student), jnp.asarray(wanted))
  np.testing.assert_allclose(got, each.mean(), rtol=1e-5)


def test_total_variation_looks_in_four_directions():
  images = np.zeros((1, 3, 3, 1))
  images[0, 1, 1] = 2.0
  # The pixel in the middle has two neighbours in each of them.
  got = losses.total_variation(jnp.asarray(images))
  np.testing.assert_allclose(got, 4 * np.sqrt(2 * 2.0**2), rtol=1e-6)


def network():
  """Two layers of batch norm, and variables of a teacher that has learnt."""
  engine = small.engine(2)._replace(
    model=models.create(
      "convnet", small.CLASSES, width=4, depth=2, norm="batch"
    )
  )
  fresh = engine.model.init(
    jax.random.key(0), jnp.zeros((1, *small.SHAPE)), False
  )
  leaves, tree = jax.tree.flatten(fresh)
  moved = [abs(leaf + 0.3 * RNG.normal(size=leaf.shape)) for leaf in leaves]
  variables = jax.tree.unflatten(tree, [m.astype(np.float32) for m in moved])
  return engine, variables


def convolved(x, kernel, bias):
  """3x3, padded by one, in NumPy."""
  batch, height, width, _ = x.shape
  padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  y = np.zeros((batch, height, width, kernel.shape[-1])) + bias
  for i in range(3):
    for j in range(3):
      y += padded[:, i : i + height, j : j + width] @ kernel[i, j]
  return y


def test_statistics_are_those_of_what_batch_norm_reads():
  """In evaluation mode: the layer itself goes on with the running ones."""
  engine, variables = network()
  images = RNG.normal(size=(5, *small.SHAPE)).astype(np.float32)
  seen = teacher.look(engine, variables, jnp.asarray(images))
  x, params = images, variables["params"]
  for number, (got, running) in enumerate(
    zip(seen.batch, seen.running, strict=True)
  ):
    conv = params[f"Conv_{number}"]
    read = convolved(x, conv["kernel"], conv["bias"])
    want = read.mean((0, 1, 2)), read.var((0, 1, 2))
    for have, expected in zip(got, want, strict=True):
      np.testing.assert_allclose(have, expected, rtol=1e-4, atol=1e-5)
    stored = variables["batch_stats"][f"BatchNorm_{number}"]
    np.testing.assert_array_equal(running[0], stored["mean"])
    np.testing.assert_array_equal(running[1], stored["var"])
    norm = params[f"BatchNorm_{number}"]
    x = (read - stored["mean"]) / np.sqrt(stored["var"] + 1e-5)
    x = np.maximum(x * norm["scale"] + norm["bias"], 0)
    side = x.shape[1] // 2
    x = x.reshape(len(x), side, 2, side, 2, -1).mean((2, 4))
  assert number == 1


def test_statistics_loss_is_that_of_pytorch_hooks():
  """Its value, and the gradient that moves the images."""
  torch = pytest.importorskip("torch")
  engine, variables = network()
  images = RNG.normal(size=(5, *small.SHAPE)).astype(np.float32)

  def loss(images):
    seen = teacher.look(engine, variables, images)
    return statistics_loss(seen.batch, seen.running)

  value, slope = jax.value_and_grad(loss)(jnp.asarray(images))

  layers, terms = [], []
  for number in range(2):
    conv = variables["params"][f"Conv_{number}"]
    norm = variables["params"][f"BatchNorm_{number}"]
    stored = variables["batch_stats"][f"BatchNorm_{number}"]
    kernel = torch.tensor(np.transpose(conv["kernel"], (3, 2, 0, 1)))
    layer = torch.nn.Conv2d(*kernel.shape[1::-1], 3, padding=1)
    layer.load_state_dict(
      {"weight": kernel, "bias": torch.tensor(conv["bias"])}
    )
    batch_norm = torch.nn.BatchNorm2d(len(norm["scale"]))
    batch_norm.load_state_dict(
      {
        "weight": torch.tensor(norm["scale"]),
        "bias": torch.tensor(norm["bias"]),
        "running_mean": torch.tensor(stored["mean"]),
        "running_var": torch.tensor(stored["var"]),
        "num_batches_tracked": torch.tensor(0),
      }
    )

    def hook(module, inputs, output):
      (x,) = inputs
      mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
      terms.append(torch.norm(module.running_mean - mean))
      terms.append(torch.norm(module.running_var - variance))

    batch_norm.register_forward_hook(hook)
    layers += [layer, batch_norm, torch.nn.ReLU(), torch.nn.AvgPool2d(2)]
  x = torch.tensor(np.transpose(images, (0, 3, 1, 2)), requires_grad=True)
  torch.nn.Sequential(*layers).eval()(x)
  total = sum(terms)
  total.backward()
  np.testing.assert_allclose(value, total.item(), rtol=1e-5)
  want = np.transpose(x.grad.numpy(), (0, 2, 3, 1))
  np.testing.assert_allclose(slope, want, rtol=1e-3, atol=1e-6)
