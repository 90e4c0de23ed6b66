"""Settings of data-free distillation.

In a config all of them stand side by side. They are three parts: what both
methods read, and what only one of them does. The defaults are those of Aerni
et al. (arXiv 2404.17399, their code), which their configs state in full.
"""

import dataclasses
from typing import Any

from syndata_jax import validate
from syndata_jax.errors import UserError

METHODS = ("deep_inversion", "fast")


@dataclasses.dataclass(frozen=True)
class SharedOptions:
  """The teacher, the images of a round, and how the student learns.

  `num_epochs`, `batch_size`, `learning_rate`, `momentum`, `weight_decay` and
  `augment` of the audit are the student's; `schedule` and `warmup_epochs` are
  the teacher's alone.

  Attributes:
    teacher: a finished run without a defence whose networks are the teachers,
      its workdir or the folder `ensemble` in it; "" to train them.
    teacher_model: the teacher's network; "" for the audited one.
    teacher_model_options: its options; {} for those of the audited network,
      where that is the teacher's.
    teacher_epochs: of the teacher; 0 for `num_epochs`.
    teacher_batch: examples of its step; 0 for `batch_size`.
    teacher_learning_rate: its peak; 0 for `learning_rate`.
    synthetic_batch: images that one round adds to the pool.
    warmup_rounds: rounds before the student's first epoch.
    iterations: updates of the images of a round; the best are kept.
    statistics_weight: of the distance of batch-norm statistics.
    one_hot_weight: of the teacher's cross-entropy on labels drawn beforehand.
    adversarial_weight: of the term that seeks disagreement with the student,
      from the student's first epoch on.
    passes: over the whole pool in one epoch of the student.
    temperature: of the distillation.
    cosine_epochs: of the student, from its learning rate down to the floor; it
      climbs again in later ones.
    learning_rate_floor: see `cosine_epochs`.
  """

  teacher: str = ""
  teacher_model: str = ""
  teacher_model_options: dict[str, Any] = dataclasses.field(
    default_factory=dict
  )
  teacher_epochs: int = 0
  teacher_batch: int = 0
  teacher_learning_rate: float = 0.0
  synthetic_batch: int = 256
  warmup_rounds: int = 20
  iterations: int = 2
  statistics_weight: float = 1.0
  one_hot_weight: float = 0.0
  adversarial_weight: float = 0.0
  passes: int = 5
  temperature: float = 20.0
  cosine_epochs: int = 200
  learning_rate_floor: float = 2e-4


@dataclasses.dataclass(frozen=True)
class GeneratorOptions:
  """Of fast alone.

  Attributes:
    code_size: numbers that the generator makes an image of.
    generator_width: channels of its last layer but one; twice as many before.
    generator_learning_rate: of Adam on the generator.
    code_learning_rate: of Adam on the codes.
    statistics_momentum: weight of earlier rounds in the statistics that are
      compared with the teacher's.
    meta_learnt: whether a round adapts a copy of the generator, which itself
      follows the sum of the copy's gradients.
    reset_round: of a meta-learnt generator, the round after the warm-up before
      which its first layers begin anew; 0 for none.
  """

  code_size: int = 256
  generator_width: int = 64
  generator_learning_rate: float = 5e-3
  code_learning_rate: float = 0.015
  statistics_momentum: float = 0.9
  meta_learnt: bool = False
  reset_round: int = 120


@dataclasses.dataclass(frozen=True)
class PixelOptions:
  """Of deep_inversion alone.

  Attributes:
    pixel_learning_rate: of Adam on the pixels, as the network reads them.
    variation_weight: of the total variation.
    norm_weight: of the images' L2 norm.
  """

  pixel_learning_rate: float = 0.1
  variation_weight: float = 0.0
  norm_weight: float = 0.0


@dataclasses.dataclass(frozen=True)
class Options(PixelOptions, GeneratorOptions, SharedOptions):
  """All settings.

  Attributes:
    method: one of `METHODS`.
  """

  method: str = "fast"

  def __post_init__(self) -> None:
    validate.one_of(METHODS, method=self.method)
    _check_shared(self)
    if self.method == "fast":
      _check_generator(self)
    else:
      _check_pixels(self)

  @property
  def unread(self) -> frozenset[str]:
    """Settings that the method does not read; they decide nothing."""
    other = PixelOptions if self.method == "fast" else GeneratorOptions
    fields = {field.name for field in dataclasses.fields(other)}
    if self.method == "fast" and not self.meta_learnt:
      fields.add("reset_round")
    return frozenset(fields)


def _check_shared(options: SharedOptions) -> None:
  validate.not_negative(
    teacher_epochs=options.teacher_epochs,
    teacher_batch=options.teacher_batch,
    teacher_learning_rate=options.teacher_learning_rate,
    warmup_rounds=options.warmup_rounds,
    statistics_weight=options.statistics_weight,
    one_hot_weight=options.one_hot_weight,
    adversarial_weight=options.adversarial_weight,
    learning_rate_floor=options.learning_rate_floor,
  )
  validate.positive(
    iterations=options.iterations,
    passes=options.passes,
    temperature=options.temperature,
    cosine_epochs=options.cosine_epochs,
  )
  # The variance of a single image is none.
  validate.at_least(2, synthetic_batch=options.synthetic_batch)
  if not options.statistics_weight and not options.one_hot_weight:
    raise UserError(
      "statistics_weight=0, one_hot_weight=0: set one of them above 0, or the"
      " images of the warm-up follow nothing"
    )


def _check_generator(options: GeneratorOptions) -> None:
  validate.positive(
    code_size=options.code_size,
    generator_width=options.generator_width,
    generator_learning_rate=options.generator_learning_rate,
    code_learning_rate=options.code_learning_rate,
  )
  validate.within(0, 1, "[)", statistics_momentum=options.statistics_momentum)
  validate.not_negative(reset_round=options.reset_round)


def _check_pixels(options: PixelOptions) -> None:
  validate.positive(pixel_learning_rate=options.pixel_learning_rate)
  validate.not_negative(
    variation_weight=options.variation_weight,
    norm_weight=options.norm_weight,
  )
