"""A tiny task of Private Evolution: points in a square, three classes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax.evolution.api import Api
from syndata_jax.evolution.embedding import Embedding
from syndata_jax.evolution.evolve import evolve
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.privacy import Ledger

CENTRES = np.array([[0.2, 0.2], [0.8, 0.3], [0.5, 0.9]])
POINTS = Embedding("points", lambda points: jnp.asarray(points), True)
HOST_POINTS = Embedding("points", lambda points: np.asarray(points), False)
OPTIONS = EvolutionOptions(num_iterations=3, num_samples=45, epsilon=4.0)


class Dots(Api):
  traceable = True

  def random(self, key, labels):
    return jax.random.uniform(key, (len(labels), 2))

  def variation(self, key, samples, labels, degree):
    step = 0.3 * degree * jax.random.normal(key, samples.shape)
    return jnp.clip(samples + step, 0, 1)


class HostDots(Api):
  """The same on the host, with strings beside the numbers."""

  def random(self, key, labels):
    points = np.asarray(jax.random.uniform(key, (len(labels), 2)))
    return {"points": points, "texts": self._texts(points)}

  def variation(self, key, samples, labels, degree):
    shape = samples["points"].shape
    step = 0.3 * degree * np.asarray(jax.random.normal(key, shape))
    points = np.clip(samples["points"] + step, 0, 1)
    return {"points": points, "texts": self._texts(points)}

  def render(self, samples):
    return samples["points"]

  def _texts(self, points):
    return np.array([f"{x:.3f}" for x in points[:, 0]], object)


def records(count=300, seed=0):
  draw = np.random.default_rng(seed)
  labels = draw.integers(0, 3, count).astype(np.int32)
  points = CENTRES[labels] + draw.normal(0, 0.03, (count, 2))
  return points.astype(np.float32), labels


def run(api=None, embed=POINTS, seed=0, data=None, ledger=None, **changes):
  """A run of the task: `folder`, `on_iteration`, and changed options."""
  points, labels = data or records()
  rest = {
    name: changes.pop(name)
    for name in ("folder", "on_iteration")
    if name in changes
  }
  if "noise_multiplier" in changes:
    changes.setdefault("epsilon", 0.0)
  options = dataclasses.replace(OPTIONS, **changes)
  ledger = ledger or Ledger(options.delta_of(len(labels)), options.neighbours)
  return evolve(
    points,
    labels,
    embed,
    api or Dots(),
    ledger,
    jax.random.key(seed),
    options,
    3,
    **rest,
  )


def distance(evolved):
  """Of what is released to the centre of its class, the mean."""
  away = np.asarray(evolved.rendered) - CENTRES[evolved.labels]
  return np.linalg.norm(away, axis=1).mean()
