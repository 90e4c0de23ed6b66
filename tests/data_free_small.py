"""A small data-free distillation for tests."""

import dataclasses

import jax
import numpy as np
import small

from syndata_jax import models, paradigms
from syndata_jax.ensemble import Engine
from syndata_jax.paradigms.data_free import Options, teacher
from syndata_jax.paradigms.data_free.setup import Setup

KEY = jax.random.key(3)


def options(method: str = "fast", **fields) -> Options:
  """Rounds of six images, one of them before the student begins."""
  chosen = {
    "teacher_epochs": 2,
    "synthetic_batch": 6,
    "warmup_rounds": 1,
    "iterations": 2,
    "code_size": 5,
    "generator_width": 3,
    "passes": 2,
    "temperature": 4.0,
    "cosine_epochs": 2,
    "learning_rate_floor": 0.01,
  }
  return Options(method=method, **chosen | fields)


def private() -> paradigms.Private:
  """Of two models."""
  return paradigms.Private(*small.training_set(2)[:3], small.CLASSES)


def engine(**recipe) -> Engine:
  """A network of one layer with batch norm; three epochs, no augmentation."""
  tools = small.engine(2, devices=jax.devices()[:1])
  fields = {"num_epochs": 3, "batch_size": 5, "shift": 0, "flip": False}
  return tools._replace(
    model=models.create(
      "convnet", small.CLASSES, width=2, depth=1, norm="batch"
    ),
    recipe=dataclasses.replace(tools.recipe, **fields | recipe),
    name="convnet",
    options=(("depth", 1), ("norm", "batch"), ("width", 2)),
  )


def setup(chosen: Options, **recipe) -> Setup:
  """Settings and tools."""
  tools = engine(**recipe)
  return Setup(
    chosen,
    tools,
    teacher.make_engine(tools, chosen, private()),
    small.SHAPE,
    small.CLASSES,
  )


def taught(chosen: Setup) -> dict:
  """Variables of a teacher whose running statistics are no fresh ones."""
  rng = np.random.default_rng(5)
  images = np.zeros((1, *small.SHAPE), np.float32)
  fresh = chosen.teacher.model.init(jax.random.key(7), images, False)
  return jax.tree.map(
    lambda leaf: leaf + 0.2 * rng.random(leaf.shape).astype(np.float32), fresh
  )
