"""Learning from images of Stable Diffusion, fine-tuned for each shadow model.

The pipeline of `diffusers` is fine-tuned on each model's members alone (LoRA),
and draws them anew: from noise under the prompt of a class, or from the private
images themselves. What is learned from are the images; the base weights were
trained on the web, which may hold images like the private ones.
"""

from functools import partial

import jax
import numpy as np

from syndata_jax import files
from syndata_jax.data.training_set import Private, TrainingSet
from syndata_jax.diffusion import origins, pipeline, size
from syndata_jax.ensemble import Engine, Shards, Workspace, sgd, steps_per_epoch
from syndata_jax.errors import UserError
from syndata_jax.paradigms.interface import Paradigm
from syndata_jax.paradigms.stable_diffusion import fine_tuning, sampling
from syndata_jax.paradigms.stable_diffusion.options import Options

__all__ = ["Options", "make", "synthesize"]

_IDENTITY = "weights.json"


def make(engine: Engine, options: Options, private: Private) -> Paradigm:
  """Fine-tunes and samples first, then learns by the engine's recipe.

  Raises:
    UserError: a folder without the pipeline's files, diffusers not installed,
      names that do not fit the classes, a class without members, a batch larger
      than one model's images, more images than memory holds, or several
      processes.
  """
  options.prompts(private.num_classes)
  origins.check(private, options.images_per_class)
  size.check(engine.layout, private, options.images_per_class)
  count = origins.count(private, options.images_per_class)
  steps_per_epoch(engine.recipe, count)
  pipeline.check(options.weights)
  if jax.process_count() > 1:
    raise UserError(
      "paradigm='stable_diffusion': must run in one process, for torch"
      " fine-tunes one model after another"
    )
  return Paradigm(
    queried=engine,
    synthesize=partial(synthesize, engine, options),
    learner=partial(sgd, engine),
    chosen_as="redrawn",
  )


def synthesize(
  engine: Engine,
  options: Options,
  key: jax.Array,
  private: Private,
  workspace: Workspace,
) -> TrainingSet:
  """The images of all models.

  Args:
    engine: its precision is the pipeline's.
    options: of the paradigm.
    key: root of every draw.
    private: of all models.
    workspace: runs fine-tuning and sampling.

  Returns:
    `images` u8[M,S,H,W,C] and `labels` i32[M,S], a canary's being the wrong
    one that it has. `chosen` are the rows that image-to-image began at.

  Raises:
    UserError: weights that are damaged, or others than those that a stored
      fine-tuning began at; a loss that is no longer finite.
  """
  _same_weights(options, workspace)
  rows = origins.draw(key, private, options.images_per_class)
  if options.returns_input:
    images = private.images[rows]  # no noise was added, so none is removed
  else:
    parts = pipeline.load(options.weights, options.scheduler, engine.dtype)
    tools = fine_tuning.make_tools(options, parts, private.num_classes)
    state = workspace.repeat_on_host(
      fine_tuning.STAGE, fine_tuning.rounds(tools, key, private)
    )
    shards = workspace.produce_on_host(
      sampling.STAGE,
      sampling.rounds(tools, key, private, rows, state.adapters),
    )
    images = _collect(shards, rows.shape)
  return TrainingSet(
    images=images,
    labels=private.labels[rows],
    members=None,
    chosen=rows if options.sampling == "image" else None,
  )


def _collect(shards: Shards, shape: tuple[int, ...]) -> np.ndarray:
  """The shards of all models, u8[M,S,H,W,C]."""
  models, count = shape
  each = shards.number // models
  images: np.ndarray | None = None
  for number, shard in enumerate(shards):
    model, batch = divmod(number, each)
    part = shard["images"]
    if images is None:
      size = len(part)  # of all batches but a model's last
      images = np.empty((models, count, *part.shape[1:]), part.dtype)
    begin = batch * size
    # A dry run repeats a full batch, so the last one may be too long.
    images[model, begin : begin + size] = part[: count - begin]
  assert images is not None
  return images


def _same_weights(options: Options, workspace: Workspace) -> None:
  """Refuses to continue with other weights under the same name."""
  digest = pipeline.digest(pipeline.check(options.weights))
  workspace.folder.mkdir(parents=True, exist_ok=True)
  path = workspace.folder / _IDENTITY
  if not path.exists():
    files.write_json(path, {"sha256": digest})
  elif files.read_json(path) != {"sha256": digest}:
    raise UserError(
      f"weights={options.weights!r}: other weights than those that"
      f" {workspace.folder} began with; name another workdir"
    )
