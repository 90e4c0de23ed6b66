"""Settings of data-set distillation.

In a config all of them stand side by side. They are three parts: what every
method reads, and what only one of two kinds of methods does: those that match
batches in random networks, and those that follow experts.
"""

import dataclasses
from typing import Any

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.paradigms.distillation import methods, siamese

KINDS = ("noise", "outside", "private")


@dataclasses.dataclass(frozen=True)
class ImageOptions:
  """The images: how many, where they begin, how they move.

  Attributes:
    images_per_class: synthetic images of each class.
    initialisation: "private" images, "noise" (normal, in the space that the
      network reads), or "outside": public images of the same classes.
    initial_source: where outside images come from; see
      `syndata_jax.data.class_images`.
    initial_dir: that source's folder.
    force_canaries: whether a model's own canaries take the first places of
      their classes in a private initialisation: the worst case.
    whiten: ZCA whitening of the pixels, fitted by each model on its own data.
    augmentation: operations of the differentiable siamese augmentation, joined
      by "_"; "" for none. Plain dc uses none while matching.
    augment_final: whether the final training uses them too.
    iterations: updates of the synthetic images.
    image_learning_rate: of plain SGD with momentum 0.5.
    distill_model: the network that distils; not the one that is audited.
    distill_model_options: its options.
  """

  images_per_class: int = 10
  initialisation: str = "private"
  initial_source: str = "photographs"
  initial_dir: str = ""
  force_canaries: bool = False
  whiten: bool = False
  augmentation: str = "color_crop_cutout_flip_scale_rotate"
  augment_final: bool = True
  iterations: int = 1000
  image_learning_rate: float = 1.0
  distill_model: str = "convnet"
  distill_model_options: dict[str, Any] = dataclasses.field(
    default_factory=dict
  )


@dataclasses.dataclass(frozen=True)
class MatchingOptions:
  """Of the methods that match batches in random networks: dc, dm, dsa.

  Attributes:
    real_batch: private images of each class in an update, or all of a class
      that has fewer.
    outer_steps: updates of the images for each random network (dc, dsa).
    inner_epochs: of that network on the images between them (dc, dsa).
  """

  real_batch: int = 256
  outer_steps: int = 10
  inner_epochs: int = 50


@dataclasses.dataclass(frozen=True)
class ExpertOptions:
  """Of the methods that follow experts: datm, mtt, tesla.

  Attributes:
    num_experts: networks trained on each model's private data.
    expert_epochs: of each.
    expert_batch: examples a step.
    expert_learning_rate: constant.
    sharpness: rho of the experts' sharpness-aware training; 0 for plain SGD.
    experts: a folder of an earlier run's experts; "" to train them.
    inner_steps: N, of a network on the synthetic images.
    target_epochs: how many epochs after its start the expert is matched.
    min_start: the first epoch of an expert that may be a start.
    max_start: the first that may not.
    early_start: the same at the first iteration; it grows to `max_start`.
      0 for `max_start` from the beginning.
    expansion_end: the iteration at which it is reached.
    synthetic_batch: images of one inner step; 0 for all.
    learning_rate_start: inner learning rate, which is learned and released.
    learning_rate_rate: of its SGD with momentum 0.5.
    label_learning_rate: of the soft labels' SGD with momentum 0.9; 0 for hard
      labels.
    threshold: iterations with a larger loss change nothing; 0 for none.
  """

  num_experts: int = 100
  expert_epochs: int = 50
  expert_batch: int = 256
  expert_learning_rate: float = 0.01
  sharpness: float = 0.0
  experts: str = ""
  inner_steps: int = 30
  target_epochs: int = 2
  min_start: int = 0
  max_start: int = 20
  early_start: int = 0
  expansion_end: int = 0
  synthetic_batch: int = 0
  learning_rate_start: float = 0.01
  learning_rate_rate: float = 1e-5
  label_learning_rate: float = 0.0
  threshold: float = 0.0


@dataclasses.dataclass(frozen=True)
class Options(ExpertOptions, MatchingOptions, ImageOptions):
  """All settings. What differs from set to set has its values in the configs.

  Attributes:
    method: one of `methods.NAMES`.
  """

  method: str = "dm"

  def __post_init__(self) -> None:
    methods.find(self.method)
    _check_images(self)
    _check_matching(self)
    _check_experts(self)
    if self.follows_experts:
      _check_window(self)
    elif self.label_learning_rate:
      raise UserError(
        f"label_learning_rate={self.label_learning_rate:g}: must be 0 under"
        f" {self.method}, which has hard labels"
      )

  @property
  def follows_experts(self) -> bool:
    """Whether the method is one of those that follow experts."""
    return methods.find(self.method).follows_experts

  @property
  def unread(self) -> frozenset[str]:
    """Settings that the method does not read.

    A config file may hold them, for it can serve several methods. They decide
    nothing, so they are no part of a run's identity; who gives one on the
    command line is mistaken and is told so.
    """
    method = methods.find(self.method)
    part = MatchingOptions if method.follows_experts else ExpertOptions
    fields = {field.name for field in dataclasses.fields(part)}
    return frozenset(fields.union(method.unread))


def _check_images(options: ImageOptions) -> None:
  validate.one_of(KINDS, initialisation=options.initialisation)
  siamese.parse(options.augmentation)
  if options.force_canaries and options.initialisation != "private":
    raise UserError(
      "force_canaries=True: needs initialisation='private', not"
      f" {options.initialisation!r}"
    )
  validate.positive(
    images_per_class=options.images_per_class,
    iterations=options.iterations,
    image_learning_rate=options.image_learning_rate,
  )


def _check_matching(options: MatchingOptions) -> None:
  validate.positive(
    real_batch=options.real_batch, outer_steps=options.outer_steps
  )
  validate.not_negative(inner_epochs=options.inner_epochs)


def _check_experts(options: ExpertOptions) -> None:
  validate.positive(
    num_experts=options.num_experts,
    expert_epochs=options.expert_epochs,
    expert_batch=options.expert_batch,
    expert_learning_rate=options.expert_learning_rate,
    inner_steps=options.inner_steps,
    target_epochs=options.target_epochs,
    learning_rate_start=options.learning_rate_start,
  )
  validate.not_negative(
    sharpness=options.sharpness,
    min_start=options.min_start,
    expansion_end=options.expansion_end,
    synthetic_batch=options.synthetic_batch,
    learning_rate_rate=options.learning_rate_rate,
    label_learning_rate=options.label_learning_rate,
    threshold=options.threshold,
  )


def _check_window(options: ExpertOptions) -> None:
  """Refuses starts from which an expert cannot be followed to its target."""
  latest = options.expert_epochs - options.target_epochs + 1
  if not options.min_start < options.max_start <= latest:
    raise UserError(
      f"min_start={options.min_start}, max_start={options.max_start}: starts"
      f" must be at least one and lie in [0, {latest}), since experts of"
      f" {options.expert_epochs} epochs are followed for"
      f" {options.target_epochs}"
    )
  if options.early_start and not (
    options.min_start < options.early_start <= options.max_start
  ):
    raise UserError(
      f"early_start={options.early_start}: must be 0 or in"
      f" ({options.min_start}, {options.max_start}]"
    )
