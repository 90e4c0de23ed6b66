"""The settings of a pre-training: the model's own, and the public images."""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from syndata_jax import validate
from syndata_jax.data.class_images import SOURCES
from syndata_jax.diffusion.model import DiffusionOptions
from syndata_jax.errors import UserError
from syndata_jax.identity import circumstances
from syndata_jax.models import lowerings
from syndata_jax.programs.settings import PRECISIONS, checked, field_types

# They change the speed, and the result by rounding alone.
_SPEED = ("checkpoint_every", "lowering")


@dataclasses.dataclass(frozen=True)
class Pretraining(DiffusionOptions):
  """Settings of `syndata-pretrain`, beside those of the diffusion model.

  Attributes:
    source: of the public images; see `syndata_jax.data.class_images`. Whether
      they are public is for you to know.
    image_shape: (H, W, C) that they are resized to: that of the private ones.
    num_classes: K, of the source and of the private data.
    crops_per_class: of the photographs.
    seed: root of every draw.
    precision: "float32" or "bfloat16" for the computation.
    lowering: of the convolutions, one of `syndata_jax.models.lowerings.NAMES`.
    checkpoint_every: epochs between checkpoints.
  """

  source: str = "photographs"
  image_shape: tuple[int, int, int] = (8, 8, 1)
  num_classes: int = 10
  crops_per_class: int = 1000
  seed: int = 0
  precision: str = "float32"
  lowering: str = "auto"
  checkpoint_every: int = 10

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.one_of(SOURCES, source=self.source)
    validate.one_of(PRECISIONS, precision=self.precision)
    validate.one_of(lowerings.NAMES, lowering=self.lowering)
    validate.at_least(1, checkpoint_every=self.checkpoint_every)
    validate.positive(
      num_classes=self.num_classes, crops_per_class=self.crops_per_class
    )
    if not 0 <= self.seed < 2**32:
      raise UserError(f"seed={self.seed}: must be 0 to 2**32 - 1")


def defaults() -> ConfigDict:
  """All fields with their defaults, to be changed."""
  return ConfigDict(dataclasses.asdict(Pretraining()))


def from_config(config: ConfigDict) -> Pretraining:
  """Checks the fields of a config and freezes them.

  Raises:
    UserError: an unknown field, such as those of an audit, or a value of
      another type or out of range.
  """
  return Pretraining(**checked(config.to_dict(), field_types(Pretraining), ""))


def identity(settings: Pretraining) -> dict[str, Any]:
  """What decides the numbers of a run, but its data, as JSON-ready values."""
  fields = dataclasses.asdict(settings)
  decisive = {n: value for n, value in fields.items() if n not in _SPEED}
  return decisive | circumstances()
