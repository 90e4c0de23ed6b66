"""The settings of an audit: what enters the result, and what only its speed.

Config files fill in the `ConfigDict` of `defaults()`; the program turns it
into the frozen `Settings` below, and only these travel further.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Collection
from typing import Any

from ml_collections import ConfigDict

from syndata_jax import models, paradigms, plugins, validate
from syndata_jax.attack.checks import MIN_PER_SIDE
from syndata_jax.data import sources
from syndata_jax.ensemble import Recipe
from syndata_jax.errors import UserError
from syndata_jax.identity import circumstances
from syndata_jax.paradigms import undefended

AUDITS = ("one_run", "shadow_models")
PRECISIONS = ("bfloat16", "float32")


@dataclasses.dataclass(frozen=True)
class Performance:
  """Settings that change speed and memory, and results by rounding only.

  A run keeps its precision, for bfloat16 rounds coarsely; the others may
  change whenever it is started again.

  Attributes:
    precision: "float32" or "bfloat16" for the computation; parameters, norm
      statistics and logits stay float32.
    chunk: models vmapped at once on a device; 0 for the backend's default.
    lowering: how the convolution of many models is computed, one of
      `syndata_jax.models.lowerings.NAMES`.
    checkpoint_every: rounds between checkpoints of a stage.

  Raises:
    UserError: another precision, or a number out of range.
  """

  precision: str = "float32"
  chunk: int = 0
  lowering: str = "auto"
  checkpoint_every: int = 10

  def __post_init__(self) -> None:
    validate.one_of(PRECISIONS, **{"performance.precision": self.precision})
    validate.at_least(
      1, **{"performance.checkpoint_every": self.checkpoint_every}
    )


@dataclasses.dataclass(frozen=True)
class Settings:
  """Settings that decide the result.

  Attributes:
    dataset: a name that `syndata_jax.data.load` knows.
    num_train: training images to use, drawn by the seed; 0 for all.
    paradigm: a name that `syndata_jax.paradigms.create` knows.
    audit: "shadow_models", or "one_run" for one model in which each audited
      example is included by a fair coin of its own.
    num_models: shadow models M; even. Under one_run it is not read, and 1.
    num_canaries: canaries Q, each in exactly half of the models; even, but
      under one_run any number.
    num_average: ordinary, correctly labelled examples audited beside the
      canaries, in the same way.
    canary_kind: "mislabelled", "clean", "blank" or "out_of_distribution".
    canary_source: where out-of-distribution images come from: "photographs"
      (scikit-learn's two) or a data set.
    seed: root of every draw.
    model: a name that `syndata_jax.models.create` knows.
    model_options: its options, such as width or norm.
    num_epochs, batch_size, learning_rate, schedule, warmup_epochs, momentum,
      weight_decay: see `syndata_jax.ensemble.Recipe`.
    augment: random shifts of up to H // 8 pixels, and flips where the data
      set allows them.
    options: the paradigm's own settings, of the type that
      `syndata_jax.paradigms.options_type` gives; in a config they stand
      beside the others.
    performance: see `Performance`.

  Raises:
    UserError: a value out of range.
  """

  dataset: str = "digits"
  num_train: int = 0
  paradigm: str = "undefended"
  audit: str = "shadow_models"
  num_models: int = 32
  num_canaries: int = 500
  num_average: int = 0
  canary_kind: str = "mislabelled"
  canary_source: str = "photographs"
  seed: int = 0
  model: str = "resnet18"
  model_options: dict[str, Any] = dataclasses.field(default_factory=dict)
  num_epochs: int = Recipe.num_epochs
  batch_size: int = Recipe.batch_size
  learning_rate: float = Recipe.learning_rate
  schedule: str = Recipe.schedule
  warmup_epochs: float = Recipe.warmup_epochs
  momentum: float = Recipe.momentum
  weight_decay: float = Recipe.weight_decay
  augment: bool = True
  options: Any = dataclasses.field(default_factory=undefended.Options)
  performance: Performance = Performance()

  def __post_init__(self) -> None:
    if not 0 <= self.seed < 2**32:
      raise UserError(f"seed={self.seed}: must be 0 to 2**32 - 1")
    validate.one_of(AUDITS, audit=self.audit)
    if self.audit == "one_run":
      object.__setattr__(self, "num_models", 1)
      return
    fewest = 2 * MIN_PER_SIDE
    if self.num_models % 2 or self.num_models < fewest:
      raise UserError(
        f"num_models={self.num_models}: must be even and at least {fewest}"
      )


def defaults(paradigm: str = "undefended") -> ConfigDict:
  """All fields with their defaults (the paper's recipe), to be changed.

  Args:
    paradigm: whose own settings are among them.
  """
  fields = dataclasses.asdict(Settings(paradigm=paradigm))
  del fields["options"]
  own = paradigms.options_type(paradigm)
  return ConfigDict(fields | _unchecked(own))


def _unchecked(kind: type) -> dict[str, Any]:
  """The defaults of a dataclass, which together need not be allowed."""
  return {
    field.name: field.default
    if field.default_factory is dataclasses.MISSING
    else field.default_factory()
    for field in dataclasses.fields(kind)
  }


def from_config(
  config: ConfigDict, given: Collection[str] = frozenset()
) -> Settings:
  """Checks the fields of a config and freezes them.

  Args:
    config: from a config file, with what the command line changed.
    given: fields that the command line set. Of two settings of a paradigm
      that exclude each other, the given one replaces the file's.

  Raises:
    UserError: an unknown field, a value of another type or out of range, or a
      given one that decides nothing.
  """
  fields = config.to_dict()
  speed = fields.pop("performance", {})
  if type(speed) is not dict:
    raise UserError(f"config field performance={speed!r}: must be a ConfigDict")
  own = paradigms.options_type(fields.get("paradigm", Settings.paradigm))
  shared, special = field_types(Settings), field_types(own)
  clashes = shared.keys() & special.keys()
  if clashes:
    raise UserError(
      f"paradigm={fields['paradigm']!r}: its option {sorted(clashes)[0]} must"
      " have another name, for every audit has a setting of this one"
    )
  infinite = paradigms.infinite(own)
  values = checked(fields, shared | special, "", infinite)
  for one, other in paradigms.alternatives(own):
    if (one in given) != (other in given):
      replaced = other if one in given else one
      values[replaced] = special[replaced]()  # zero: not set
  performance = Performance(
    **checked(speed, field_types(Performance), "performance.")
  )
  options = own(**{n: value for n, value in values.items() if n in special})
  ignored = sorted(paradigms.unread(options) & set(given))
  if ignored:
    raise UserError(
      f"--config.{ignored[0]}: decides nothing under the other settings of this"
      " paradigm, which do not read it"
    )
  return Settings(
    **{name: value for name, value in values.items() if name in shared},
    options=options,
    performance=performance,
  )


def field_types(kind: type) -> dict[str, type]:
  """The types of the fields that a config may set."""
  nested = ("options", "performance")
  hints = typing.get_type_hints(kind)
  return {
    field.name: _plain_type(hints[field.name])
    for field in dataclasses.fields(kind)
    if field.name not in nested
  }


def _plain_type(hint: Any) -> Any:
  """`tuple` of `tuple[int, ...]`, `str` of names; `float | None` as it is."""
  origin = typing.get_origin(hint)
  if origin is typing.Literal:
    return type(typing.get_args(hint)[0])
  return hint if origin in (None, types.UnionType) else origin


def checked(
  fields: dict[str, Any],
  wanted: dict[str, type],
  prefix: str,
  infinite: Collection[str] = (),
) -> dict[str, Any]:
  """The fields of a config, integers made floats where those are wanted.

  Args:
    fields: by name.
    wanted: their types; see `field_types`.
    prefix: before the names in messages.
    infinite: names of those that may be infinite.

  Raises:
    UserError: an unknown field, another type, or a number that is not finite.
  """
  checked = {}
  for name, value in fields.items():
    if name not in wanted:
      known = ", ".join(sorted(wanted))
      raise UserError(f"config field {prefix}{name}: must be one of {known}")
    want = wanted[name]
    if float in (want, *typing.get_args(want)) and type(value) is int:
      value = float(value)
    allowed = typing.get_args(want) or (want,)
    if type(value) not in allowed:
      raise UserError(
        f"config field {prefix}{name}={value!r}: must be of type"
        f" {' or '.join(kind.__name__ for kind in allowed)}"
      )
    endless = name in infinite and value == math.inf
    if isinstance(value, float) and not (math.isfinite(value) or endless):
      raise UserError(f"config field {prefix}{name}={value}: must be finite")
    checked[name] = value
  return checked


def identity(settings: Settings) -> dict[str, Any]:
  """What decides the numbers of a run, but its data, as JSON-ready values."""
  fields = dataclasses.asdict(settings)
  precision = fields.pop("performance")["precision"]
  own, unread = fields.pop("options"), paradigms.unread(settings.options)
  own = {name: _plain(value) for name, value in own.items()}
  return {
    **fields,
    **{name: value for name, value in own.items() if name not in unread},
    "precision": precision,
    **_sources(settings),
    **circumstances(),
  }


def _plain(value: Any) -> Any:
  """What JSON can hold: it knows no infinity."""
  return "infinite" if value == math.inf else value


def _sources(settings: Settings) -> dict[str, str]:
  """Digests of the files behind modules that are not of this package."""
  named = (
    (paradigms.EXTENSION_POINT, settings.paradigm),
    (models.EXTENSION_POINT, settings.model),
    (sources.EXTENSION_POINT, settings.dataset),
  )
  digests = {
    f"source of {point.field}": plugins.digest(point, name)
    for point, name in named
  }
  return {field: digest for field, digest in digests.items() if digest}
