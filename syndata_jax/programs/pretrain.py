"""syndata-pretrain: a diffusion model of public images, to be fine-tuned later.

    syndata-pretrain --config=digits/pretrain --out=bases/digits
    syndata-pretrain --config=my_config.py --data_dir=DIR --out=bases/mine

--out becomes the folder of a pre-trained model: params.npz, the moving average
of its weights; base.json, what it is and where it comes from; seen.npy, digests
of the images that it has seen; samples.png, a few of its own. An audit refuses
a base that has seen one of its private images, as far as that is equal to the
bit: give it images that are public and others.

The batch is split over all devices. Started again on the same folder, a run
continues where it was stopped.
"""

import datetime
import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import config_flags
from rich.console import Console

from syndata_jax.data import ClassImages, class_images
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.diffusion import base, edm, model
from syndata_jax.diffusion.sampler import sample
from syndata_jax.ensemble import Round, Workspace, hosts
from syndata_jax.ensemble.data_axis import DataAxis, make_data_axis
from syndata_jax.errors import UserError
from syndata_jax.identity import digest, versions
from syndata_jax.keys import stream
from syndata_jax.models.unet import UNet
from syndata_jax.programs import pretraining
from syndata_jax.programs import workdir as workdirs
from syndata_jax.programs.pretraining import Pretraining
from syndata_jax.programs.start import start
from syndata_jax.reporting import image_sheet, stage_progress

# Other programs have flags of these names, and tests start them in one process.
_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The pre-training to run: a file with get_config(), or a shipped one's name.",
  lock_config=False,
  accept_new_attributes=True,
  allow_override=True,
)
_DATA_DIR = flags.DEFINE_string(
  "data_dir", None, "Where the images' own files are.", allow_override=True
)
_OUT = flags.DEFINE_string(
  "out", None, "The folder of the model.", allow_override=True
)

_STAGE = "pretraining"
# Of the picture: rows of samples, each of one class, and the sampler's steps.
_CLASSES, _SAMPLES, _STEPS = 20, 8, 18


def main() -> None:
  """Runs the pre-training that the flags describe."""
  if _CONFIG.value is None:
    raise UserError("--config: name a file, or a shipped one: digits/pretrain")
  if not _OUT.value:
    raise UserError("--out: name the folder of the model")
  settings = pretraining.from_config(_CONFIG.value)
  public = class_images(
    settings.source,
    settings.image_shape,
    settings.num_classes,
    _DATA_DIR.value,
    settings.crops_per_class,
  )
  pretrain(settings, public, _OUT.value, Console())


def pretrain(
  settings: Pretraining, public: ClassImages, out: str, console: Console
) -> None:
  """Trains the model and writes its folder, or finds it finished.

  Args:
    settings: of the training.
    public: images of every class.
    out: the folder.
    console: where to say how far it is.

  Raises:
    UserError: a folder with another run, settings that do not fit the images,
      or a loss that diverges.
  """
  module = model.make_network(
    settings,
    settings.image_shape,
    settings.num_classes,
    jnp.dtype(settings.precision),
    settings.lowering,
  )
  axis = make_data_axis(settings.diffusion_batch)
  rows = np.arange(len(public.labels), dtype=np.int32)[None]
  training_set = TrainingSet(public.images, public.labels, rows)
  make_learner = functools.partial(
    model.learner, module, settings, split=axis.split
  )
  make_learner(training_set)  # refuses before anything is written
  facts = pretraining.identity(settings) | {"data": digest(*public)}
  folder = workdirs.open_workdir(out, facts, "--out")
  if not (folder / "base.json").exists():
    key = jax.random.key(settings.seed)
    with stage_progress(console) as show:

      def on_round(done: Round) -> None:
        workdirs.add_metrics(folder, done)
        show(done)

      state = Workspace(folder, on_round, settings.checkpoint_every).train(
        _STAGE, axis, make_learner, stream(key, _STAGE), training_set
      )
    params = jax.tree.map(lambda leaf: leaf[0], state.average)
    if hosts.is_lead():
      images, labels = _samples(module, params, settings, stream(key, "look"))
      image_sheet(folder / "samples.png", images, labels)
      base.save(folder, _base(settings, public, params, axis, folder))
  # It is read back as an audit will read it.
  base.load(folder, settings.image_shape, settings.num_classes)
  console.print(
    f"{folder}: a pre-trained model; samples.png shows what it draws",
    highlight=False,
    markup=False,
    soft_wrap=True,
  )


def _samples(
  module: UNet, params: Any, settings: Pretraining, key: jax.Array
) -> tuple[np.ndarray, np.ndarray]:
  """Images of the first classes, f32[S,H,W,C] in [0, 1], and their labels.

  Args:
    module: the network.
    params: its own.
    settings: sizes.
    key: of the noise.
  """
  classes = min(settings.num_classes, _CLASSES)
  labels = np.repeat(np.arange(classes, dtype=np.int32), _SAMPLES)
  sigmas = edm.schedule(_STEPS)
  shape = len(labels), *settings.image_shape
  noise = sigmas[0] * jax.random.normal(key, shape)

  @jax.jit
  def draw(params: Any, noise: jax.Array) -> jax.Array:
    denoise = model.denoiser(module, params, jnp.asarray(labels))
    return model.unsigned(sample(denoise, noise, sigmas))

  return np.asarray(draw(params, noise), np.float32) / 255, labels


def _base(
  settings: Pretraining,
  public: ClassImages,
  params: Any,
  axis: DataAxis,
  folder: pathlib.Path,
) -> base.Base:
  """The model with what there is to say of it.

  Args:
    settings: of the training.
    public: images.
    params: that were trained.
    axis: on which devices.
    folder: of the run, which knows how long it took.
  """
  records = workdirs.read_metrics(folder)
  now = datetime.datetime.now(datetime.UTC)
  facts = {
    "source": settings.source,
    "images": len(public.images),
    "epochs": settings.diffusion_epochs,
    "seed": settings.seed,
    "precision": settings.precision,
    "loss": records[-1]["loss"] if records else None,
    "seconds": sum(record["seconds"] for record in records),
    "device": axis.devices[0].device_kind,
    "devices": len(axis.devices),
    "date": now.isoformat(timespec="seconds"),
    "versions": versions(),
  }
  return base.Base(
    settings,
    settings.image_shape,
    settings.num_classes,
    params,
    facts,
    base.digests(public.images),
  )


def run() -> None:
  """The console script."""
  start(main)


if __name__ == "__main__":
  run()
