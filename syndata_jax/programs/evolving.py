"""The settings of an evolution: of its releases, and of the kind of records.

What belongs to one kind of records alone stands beside the others in a config,
and apart from them in `Evolving`.
"""

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from ml_collections import ConfigDict

from syndata_jax import plugins, validate
from syndata_jax.data import sources
from syndata_jax.errors import UserError
from syndata_jax.evolution import apis
from syndata_jax.evolution.apis import ApiOptions
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.evolution.tables import TableOptions
from syndata_jax.evolution.texts.options import TextOptions
from syndata_jax.identity import circumstances
from syndata_jax.paradigms.private_evolution import EmbeddingOptions
from syndata_jax.privacy.statement import TUNING
from syndata_jax.programs.settings import checked, field_types

# Of `seed`: a secret one is drawn.
SECRET = -1

# They change how long it takes, what it may cost, or what is remembered.
_CIRCUMSTANCES = (
  "api_seconds",
  "backoff",
  "cache",
  "concurrency",
  "key_variable",
  "money",
  "retries",
  "timeout",
)


@dataclasses.dataclass(frozen=True)
class ImageOptions(EmbeddingOptions, ApiOptions):
  """Settings of images, beside those of their generator and their space.

  Attributes:
    dataset: a name that `syndata_jax.data.load` knows; its training part is
      private, and nothing else of it is read.
    num_train: training images to use, drawn by a fixed permutation; 0 for all.
    num_classes: as you declare them; 0 for those of the data set, which for
      files of your own is the largest label and one.
  """

  dataset: str = "digits"
  num_train: int = 0
  num_classes: int = 0

  def __post_init__(self) -> None:
    EmbeddingOptions.__post_init__(self)
    ApiOptions.__post_init__(self)
    validate.whole(0, num_train=self.num_train, num_classes=self.num_classes)


KINDS: Mapping[str, type] = {
  "images": ImageOptions,
  "table": TableOptions,
  "texts": TextOptions,
}


@dataclasses.dataclass(frozen=True)
class Evolving(EvolutionOptions):
  """Settings of `syndata-evolve`, beside those of the releases.

  Attributes:
    records: "images", "table" or "texts".
    tuning: what you know of a search for these settings on private data, for
      the privacy statement: "unaccounted" (or nobody knows), "accounted" or
      "none".
    seed: root of every draw. -1 draws a secret one: who knows it and the noisy
      votes knows the votes. Give one for tests alone.
    options: those of the kind of records, of the type in `KINDS`.
  """

  ALTERNATIVES: ClassVar = (("epsilon", "noise_multiplier"),)

  records: str = "images"
  tuning: str = "unaccounted"
  seed: int = SECRET
  options: Any = dataclasses.field(default_factory=ImageOptions)

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.one_of(KINDS, records=self.records)
    validate.one_of(TUNING, tuning=self.tuning)
    if not -1 <= self.seed < 2**32:
      raise UserError(
        f"seed={self.seed}: must be -1, for a secret one, or 0 to 2**32 - 1"
      )


def defaults(records: str = "images") -> ConfigDict:
  """All fields with their defaults, to be changed.

  Args:
    records: the kind, whose own settings are among them.
  """
  fields = [*dataclasses.fields(Evolving), *dataclasses.fields(KINDS[records])]
  values = {field.name: field.default for field in fields}
  del values["options"]
  return ConfigDict(values | {"records": records})


def from_config(
  config: ConfigDict, given: Collection[str] = frozenset()
) -> Evolving:
  """Checks the fields of a config and freezes them.

  Args:
    config: from a config file, with what the command line changed.
    given: fields that the command line set. Of two that exclude each other,
      the given one replaces the file's.

  Raises:
    UserError: an unknown field, such as those of an audit, or a value of
      another type or out of range.
  """
  fields = config.to_dict()
  records = fields.get("records", Evolving.records)
  validate.one_of(KINDS, records=records)
  kind = KINDS[records]
  common, special = field_types(Evolving), field_types(kind)
  values = checked(fields, common | special, "", ("epsilon", "money"))
  for one, other in Evolving.ALTERNATIVES:
    if (one in given) != (other in given):
      values[other if one in given else one] = 0.0
  options = kind(**{n: value for n, value in values.items() if n in special})
  return Evolving(
    **{name: value for name, value in values.items() if name in common},
    options=options,
  )


def identity(settings: Evolving) -> dict[str, Any]:
  """What decides the numbers of a run, but its data, as JSON-ready values."""
  fields = dataclasses.asdict(settings)
  fields |= fields.pop("options")
  if math.isinf(settings.epsilon):
    fields["epsilon"] = "infinite"  # JSON knows none
  decisive = {n: v for n, v in fields.items() if n not in _CIRCUMSTANCES}
  return decisive | _sources(settings.options) | circumstances()


def _sources(options: Any) -> dict[str, str]:
  """Digests of the files behind modules that are not of this package."""
  if not isinstance(options, ImageOptions):
    return {}
  named = [
    (sources.EXTENSION_POINT, options.dataset),
    *((apis.EXTENSION_POINT, name) for name in options.api.split("+")),
  ]
  digests = {
    f"source of {point.field} {name}": plugins.digest(point, name)
    for point, name in named
  }
  return {field: digest for field, digest in digests.items() if digest}
