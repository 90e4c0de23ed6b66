"""Spaces in which images are compared: pixels, features, Inception.

Whatever a space is made from is public: it has seen no model's private data.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from syndata_jax import models
from syndata_jax.data import Dataset
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import Engine, Layout, Recipe, Workspace, sgd
from syndata_jax.ensemble.predict import images_at_once
from syndata_jax.ensemble.sgd import ModelState, variables
from syndata_jax.errors import UserError
from syndata_jax.images.halves import halves
from syndata_jax.keys import stream

FEATURES = "features"  # the name of the trained space, and of its stage

# 64 features of images of 8x8, 576 of 28x28, 1,024 of 32x32. With batch norm an
# image is embedded the same in any company, and a flat one unlike a crisp one.
_NETWORK = {"width": 64, "norm": "batch"}
_RECIPE = Recipe(
  num_epochs=20, batch_size=64, learning_rate=0.02, schedule="cosine"
)
_INCEPTION_SIDE = 299
_INCEPTION_BATCH = 64
_MOST = 512  # images that are embedded at once


class Space(NamedTuple):
  """A space that images are taken to.

  Attributes:
    name: "pixels", "features" or "inception", as tables call it.
    embed: `(pixels f32[P,H,W,C] in [0, 1]) -> f32[P,D]`.
    traced: the same as a pure function of JAX, for programs that are compiled;
      None where there is none.
  """

  name: str
  embed: Callable[[np.ndarray], np.ndarray]
  traced: Callable[[jax.Array], jax.Array] | None = None


def _flat(pixels: np.ndarray) -> np.ndarray:
  return np.asarray(pixels, np.float32).reshape(len(pixels), -1)


def _flat_traced(pixels: jax.Array) -> jax.Array:
  return jnp.asarray(pixels, jnp.float32).reshape(len(pixels), -1)


PIXELS = Space("pixels", _flat, _flat_traced)


class Public(NamedTuple):
  """Labelled images that no private example is among.

  Attributes:
    images: u8[P,H,W,C].
    labels: i32[P].
    num_classes: K.
    mean: C means of channels, of pixels in [0, 1].
    std: C deviations of channels, in the same scale.
  """

  images: np.ndarray
  labels: np.ndarray
  num_classes: int
  mean: tuple[float, ...]
  std: tuple[float, ...]


def trained(
  dataset: Dataset,
  workspace: Workspace,
  layout: Layout,
  dtype: jax.typing.DTypeLike = jnp.float32,
) -> Space:
  """The space "features" of a data set, from half of its test images.

  It is `trained_on` the first half of the test images (`halves`), the same for
  every run of a data set. They are taken as public: no model's data are among
  them.

  Args:
    dataset: whose test images are read.
    workspace: trains the network, in the stage "features", which resumes.
    layout: of which one model is trained.
    dtype: of the computation; whatever a run's precision is, its audit takes
      the default, so that figures of runs can be compared.
  """
  public = Public(
    *halves(dataset).space, dataset.num_classes, dataset.mean, dataset.std
  )
  return trained_on(public, workspace, layout, dtype=dtype)


def trained_on(
  public: Public,
  workspace: Workspace,
  layout: Layout,
  stage: str = FEATURES,
  dtype: jax.typing.DTypeLike = jnp.float32,
) -> Space:
  """The last layer but one of a small network that learned public images.

  A ConvNet of width 64 with batch norm, trained for 20 epochs. The coordinates
  are centred and divided by one number, so that the mean squared distance of
  the images to their mean is 1: a Frechet distance of 1 is about that of real
  images to copies of a single average one.

  Args:
    public: what it learns from.
    workspace: trains the network.
    layout: of which one model is trained.
    stage: its name; the stage resumes.
    dtype: of the computation.
  """
  images, labels, num_classes, public_mean, public_std = public
  engine = Engine(
    model=models.create(
      "convnet", num_classes, dtype=jnp.dtype(dtype), **_NETWORK
    ),
    recipe=dataclasses.replace(
      _RECIPE, batch_size=min(_RECIPE.batch_size, len(images))
    ),
    layout=layout.spread(1),
    mean=public_mean,
    std=public_std,
    dtype=jnp.dtype(dtype),
    name="convnet",
    options=tuple(sorted(_NETWORK.items())),
  )
  rows = np.arange(len(images), dtype=np.int32)[None]
  state = workspace.train(
    stage,
    engine.layout,
    functools.partial(sgd, engine),
    stream(jax.random.key(0), stage),
    TrainingSet(images, labels, rows),
  )
  network = _embedding(engine, jax.tree.map(lambda leaf: leaf[0], state))
  raw = functools.partial(_in_batches, jax.jit(network))
  points = raw(images.astype(np.float32) / 255)
  mean = points.mean(0)
  spread = np.sqrt(np.square(points - mean).sum(1).mean())
  scale = max(spread, np.finfo(np.float32).tiny)

  def embed(pixels: np.ndarray) -> np.ndarray:
    return (raw(pixels) - mean) / scale

  def traced(pixels: jax.Array) -> jax.Array:
    return (_by_batches(network, pixels) - mean) / scale

  return Space(FEATURES, embed, traced)


def _embedding(
  engine: Engine, state: ModelState
) -> Callable[[jax.Array], jax.Array]:
  """What the last layer of one trained network reads; pixels in [0, 1]."""
  mean = np.asarray(engine.mean, np.float32)
  std = np.asarray(engine.std, np.float32)

  def run(pixels: jax.Array) -> jax.Array:
    read = engine.normalise((pixels - mean) / std)
    return models.outputs(engine.model, variables(state), read)[0]

  return run


def _in_batches(
  run: Callable[[np.ndarray], Any],
  pixels: np.ndarray,
  most: int = _MOST,
) -> np.ndarray:
  """Applies a function to batches of one size: [P,H,W,C] -> f32[P,D].

  Args:
    run: of a batch.
    pixels: [P,H,W,C].
    most: images of a batch.
  """
  size = min(images_at_once(len(pixels)), most)
  batches = -(-len(pixels) // size)
  parts = []
  for number in range(batches):
    batch = np.asarray(pixels[number * size : (number + 1) * size], np.float32)
    # The last one is filled up, so that no other size is compiled.
    parts.append(np.asarray(run(np.resize(batch, (size, *batch.shape[1:])))))
  return np.concatenate(parts).astype(np.float32)[: len(pixels)]


def _by_batches(
  run: Callable[[jax.Array], jax.Array], pixels: jax.Array
) -> jax.Array:
  """The same inside a compiled program, batch after batch: f32[P,D].

  Args:
    run: of a batch.
    pixels: [P,H,W,C].
  """
  count, *shape = pixels.shape
  if count <= _MOST:
    return run(pixels)
  batches = -(-count // _MOST)
  size = -(-count // batches)
  filling = [(0, batches * size - count), *[(0, 0)] * len(shape)]
  filled = jnp.pad(pixels, filling).reshape(batches, size, *shape)
  return lax.map(run, filled).reshape(batches * size, -1)[:count]


def inception(path: str | pathlib.Path) -> Space:
  """The space "inception": features of a TorchScript file.

  Such as NVIDIA's `inception-2015-12-05.pt`, of which the published Frechet
  inception distances are: it is called with `return_features=True`, reads
  pixels of 0 to 255 and resizes them itself. A module without this argument is
  given RGB images of 299x299 in [0, 1] instead. Gray images become RGB. The
  features keep their scale, and are computed on the CPU.

  Args:
    path: of the file.

  Raises:
    UserError: no PyTorch, no such file, one that is no TorchScript module, or
      one that does not give a vector for each image.
  """
  try:
    import torch
  except ImportError as error:
    raise UserError(
      f"inception={path}: PyTorch needed to read it; pip install"
      " 'syndata_jax[benchmark]'"
    ) from error
  file = pathlib.Path(path).expanduser()
  if not file.is_file():
    raise UserError(
      f"inception={path}: no such file; a TorchScript file of Inception"
      " features needed, such as inception-2015-12-05.pt"
    )
  try:
    network = torch.jit.load(str(file), map_location="cpu").eval()
  except Exception as error:  # Damaged bytes raise nearly anything.
    raise UserError(
      f"inception={path}: not a TorchScript file"
      f" ({str(error).strip().splitlines()[0]})"
    ) from error
  resizes = "return_features" in {
    argument.name for argument in network.forward.schema.arguments
  }

  def run(batch: np.ndarray) -> np.ndarray:
    rgb = np.broadcast_to(batch, (*batch.shape[:3], 3)).transpose(0, 3, 1, 2)
    images = torch.from_numpy(np.ascontiguousarray(rgb))
    with torch.inference_mode():
      if resizes:
        pixels = (255 * images).round().clamp(0, 255).to(torch.uint8)
        features = network(pixels, return_features=True)
      else:
        features = network(
          torch.nn.functional.interpolate(
            images,
            (_INCEPTION_SIDE, _INCEPTION_SIDE),
            mode="bilinear",
            antialias=True,
          )
        )
    if not isinstance(features, torch.Tensor) or len(features) != len(batch):
      raise UserError(
        f"inception={path}: gives no vector for each image; a module whose"
        " forward returns features needed"
      )
    return features.float().flatten(1).numpy()

  return Space(
    "inception", functools.partial(_in_batches, run, most=_INCEPTION_BATCH)
  )
