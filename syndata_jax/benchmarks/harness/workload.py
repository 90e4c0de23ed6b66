"""What is computed, stated once for all who are timed on it."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from syndata_jax import keys, models
from syndata_jax.data.augmentation import shift_size
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import Recipe
from syndata_jax.ensemble.flops import training_flops

NUM_CLASSES = 10
MEAN, STD = 0.45, 0.25  # of every channel; any will do

_POOL = 4096


class Workload(NamedTuple):
  """Training: a network, its images and its recipe; the data are random.

  Speed does not depend on what the pixels show, and so the benchmark needs
  no data set.
  """

  model: str
  options: dict[str, int]
  image_shape: tuple[int, int, int]
  batch_size: int
  augment: bool = True
  precision: str = "float32"
  learning_rate: float = 0.05

  @property
  def name(self) -> str:
    """Such as `resnet18 width 16, 32x32x3, batch 64, float32`."""
    options = "".join(f" {k} {v}" for k, v in self.options.items())
    pixels = "x".join(map(str, self.image_shape))
    return (
      f"{self.model}{options}, {pixels}, batch {self.batch_size},"
      f" {self.precision}"
    )

  @property
  def recipe(self) -> Recipe:
    """The SGD recipe of the audit."""
    return Recipe(
      batch_size=self.batch_size,
      learning_rate=self.learning_rate,
      shift=shift_size(self.image_shape[0]) if self.augment else 0,
      flip=self.augment,
    )

  @property
  def flops(self) -> float:
    """Floating-point operations to train on one image."""
    counted = models.create(
      self.model, NUM_CLASSES, lowering="im2col", **self.options
    )
    return training_flops(counted, self.image_shape)

  def network(self, lowering: str = "auto") -> nn.Module:
    """The Flax network, computing in the workload's precision."""
    return models.create(
      self.model,
      NUM_CLASSES,
      dtype=jnp.dtype(self.precision),
      lowering=lowering,
      **self.options,
    )

  def data(self, num_models: int, steps: int) -> TrainingSet:
    """A random pool, and for each model the rows of one epoch of `steps`."""
    draw = keys.generator(0, "benchmarks/ensemble")
    size = steps * self.batch_size
    pool = min(size, _POOL)
    images = draw.integers(0, 256, (pool, *self.image_shape), np.uint8)
    labels = draw.integers(0, NUM_CLASSES, pool, np.int32)
    members = draw.integers(0, pool, (num_models, size), np.int32)
    return TrainingSet(images, labels, members)

  def settings(self) -> dict[str, Any]:
    """What the JSON file says about the task."""
    return self._asdict() | {"flops_per_image": self.flops}


class Layer(NamedTuple):
  """3x3 convolutions of M models, one for each of a few steps."""

  models: int
  batch: int
  side: int  # pixels along a side of the images
  inputs: int  # channels
  outputs: int
  stride: int
  steps: int = 4
  precision: str = "float32"

  @property
  def name(self) -> str:
    """Such as `8 models, 32x32x16 to 16, batch 32, float32`."""
    stride = ", stride 2" if self.stride == 2 else ""
    return (
      f"{self.models} models, {self.side}x{self.side}x{self.inputs} to"
      f" {self.outputs}{stride}, batch {self.batch}, {self.precision}"
    )

  @property
  def out_side(self) -> int:
    """Pixels along a side of the result."""
    return (self.side - 1) // self.stride + 1

  def gigaflops(self, operation: str) -> float:
    """Of one round: 2 for every tap, pixel, and pair of channels."""
    products = self.batch * self.out_side**2 * 9 * self.inputs * self.outputs
    forward = 2e-9 * products * self.models * self.steps
    return 3 * forward if operation == "training" else forward
