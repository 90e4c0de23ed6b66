"""A generator of one's own for tests, and a config of it."""

import os
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax import keys
from syndata_jax.evolution.api import Api

SIDE = 8
# Of the environment: a file whose content is what goes wrong.
FAULT = "DOTS_FAULT"
FILE = str(pathlib.Path(__file__))

# An evolution of moments.
RECORDS, SAMPLES, ITERATIONS, EPSILON, CLASSES = 150, 40, 2, 5.0, 10
CONFIG = f"""
from syndata_jax.programs.evolving import defaults


def get_config():
  config = defaults("images")
  config.dataset = "digits"
  config.num_train = {RECORDS}
  config.api = {FILE!r}
  config.embedding = "pixels"
  config.num_samples = {SAMPLES}
  config.num_iterations = {ITERATIONS}
  config.epsilon = {EPSILON}
  config.look_ahead = 1
  config.seed = 3
  return config
"""


class Dots(Api):
  """A bright bar for each class; samples are numbers of 64 pixels."""

  traceable = True
  public = ("a test card",)

  def random(self, key, labels):
    card = jnp.repeat(jnp.eye(16)[labels], 4, axis=1)
    noise = jax.random.uniform(key, (len(labels), SIDE**2))
    return 0.5 * card + 0.5 * noise

  def variation(self, key, samples, labels, degree):
    step = degree * jax.random.normal(key, samples.shape)
    return jnp.clip(samples + step, 0, 1)

  def render(self, samples):
    images = jnp.round(255 * samples).astype(jnp.uint8)
    return images.reshape(-1, SIDE, SIDE, 1)


class HostDots(Api):
  """The same in NumPy; the file of `FAULT` says what goes wrong."""

  public = ("a test card",)

  def random(self, key, labels):
    noise = keys.host(key).random((len(labels), SIDE**2))
    card = np.repeat(np.eye(16)[np.asarray(labels)], 4, axis=1)
    return np.float32(0.5 * card + 0.5 * noise)

  def variation(self, key, samples, labels, degree):
    path = pathlib.Path(os.environ.get(FAULT, "none"))
    fault = path.read_text() if path.exists() else ""
    if fault == "fails":
      raise RuntimeError("out of ink")
    if fault == "hangs":
      time.sleep(10)
    step = degree * keys.host(key).normal(size=samples.shape)
    return np.float32(np.clip(samples + step, 0, 1))

  def render(self, samples):
    images = np.round(255 * np.asarray(samples)).astype(np.uint8)
    return images.reshape(-1, SIDE, SIDE, 1)


def make(image_shape, num_classes, options):
  assert image_shape == (SIDE, SIDE, 1)
  return HostDots() if FAULT in os.environ else Dots()
