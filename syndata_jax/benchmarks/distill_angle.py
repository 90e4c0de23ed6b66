"""How far TESLA's gradient is off the exact one, on an expert of digits."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax import data
from syndata_jax.benchmarks.distill_task import TARGET_EPOCHS, Plan, make_setup
from syndata_jax.benchmarks.record import Case, Contender, Job, measure
from syndata_jax.benchmarks.workload import NUM_CLASSES
from syndata_jax.ensemble.epoch import Own, Pool
from syndata_jax.paradigms.distillation import experts
from syndata_jax.paradigms.distillation.mtt import exact_gradient
from syndata_jax.paradigms.distillation.setup import Setup
from syndata_jax.paradigms.distillation.synthetic import Synthetic
from syndata_jax.paradigms.distillation.tesla import tesla_gradient
from syndata_jax.paradigms.distillation.trajectory import Augment
from syndata_jax.paradigms.interface import Private
from syndata_jax.reporting.formats import counted

_EPOCHS = 3  # of the expert before the segment


def against_exact(plan: Plan, rounds: int) -> Case:
  """The angle between TESLA's and the exact gradient on real experts."""
  setup = make_setup(plan, 1, jax.local_devices()[:1])
  given = expert_segment(setup, plan)
  unravel = setup.unravel()
  apply_fn = lambda flat, x: setup.network.logits(unravel(flat), x)
  ways = {
    name: jax.jit(partial(gradient, apply_fn, augment=_views(setup)))
    for name, gradient in (("exact", exact_gradient), ("TESLA", tesla_gradient))
  }
  found = [way(*given)[1].images.ravel() for way in ways.values()]
  degrees = angle(*map(np.asarray, found))

  def job(way) -> Job:
    return Job(lambda: jax.block_until_ready(way(*given)), 1)

  contenders = [
    Contender(f"{name} gradient", False, partial(job, way))
    for name, way in ways.items()
  ]
  name = (
    f"digits, {counted(plan.inner_steps, 'inner step')}: TESLA's gradient by"
    f" the images is {degrees:.1f} degrees off the exact one"
  )
  settings = plan.settings() | {"degrees": degrees}
  return measure(name, settings, contenders, rounds)


def angle(a: np.ndarray, b: np.ndarray) -> float:
  """Between two vectors, in degrees."""
  a, b = a.astype(np.float64), b.astype(np.float64)
  a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
  # Exact for small angles, where the arc cosine is not.
  return float(
    np.degrees(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b)))
  )


def expert_segment(setup: Setup, plan: Plan) -> tuple[Any, ...]:
  """Arguments of both gradients, from one expert of the digits.

  Returns:
    (start f32[P], target f32[P], synthetic, batches i32[T,S]): the expert
    after `_EPOCHS` epochs and `TARGET_EPOCHS` later; the images are digits.
  """
  digits = data.load("digits")
  images, labels = digits.train_images, digits.train_labels
  everyone = Private(images, labels, np.arange(len(labels))[None], NUM_CLASSES)
  learner = experts.sgd(setup, everyone, None)
  key = jax.random.key(0)
  own = Own(key, jnp.arange(len(labels)), number=jnp.zeros((), jnp.int32))
  pool = Pool(jnp.asarray(images), jnp.asarray(labels))
  epoch, state, flat = jax.jit(learner.epoch), learner.init(key), []
  for _ in range(_EPOCHS + TARGET_EPOCHS):
    state, _ = epoch(state, own, pool)
    flat.append(state.params)
  classes = np.repeat(np.arange(NUM_CLASSES), plan.images_per_class)
  rows = np.concatenate(
    [
      np.flatnonzero(labels == k)[: plan.images_per_class]
      for k in range(NUM_CLASSES)
    ]
  )
  synthetic = Synthetic(
    setup.read(jnp.asarray(images[rows]), None),
    jnp.asarray(classes, jnp.int32),
    jnp.asarray(setup.options.learning_rate_start),
  )
  batches = jnp.broadcast_to(
    jnp.arange(len(rows)), (plan.inner_steps, len(rows))
  )
  return flat[_EPOCHS - 1], flat[-1], synthetic, batches


def _views(setup: Setup) -> Augment:
  """The augmentation of every inner step."""
  key = jax.random.key(1)
  return lambda number, images: setup.vary(
    jax.random.fold_in(key, number), images
  )
