"""Settings of data-set distillation."""

import dataclasses
from typing import Any

from syndata_jax.errors import UserError
from syndata_jax.paradigms.distillation.augmentation import parse
from syndata_jax.paradigms.distillation.initialisation import KINDS

METHODS = ("datm", "dc", "dm", "dsa", "mtt", "tesla")
TRAJECTORY_METHODS = ("datm", "mtt", "tesla")

_AUGMENTATION = "color_crop_cutout_flip_scale_rotate"


@dataclasses.dataclass(frozen=True)
class Options:
  """How the images are made, and how many.

  Of the trajectory methods (datm, mtt, tesla): the fields from `num_experts`
  on. Values that differ from set to set have no default that fits: see the
  configs.

  Attributes:
    method: one of `METHODS`.
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
    real_batch: private images of each class in an update (dc, dm, dsa).
    outer_steps: updates of the images for each random network (dc, dsa).
    inner_epochs: of that network on the images between them (dc, dsa).
    distill_model: the network that distils; not the one that is audited.
    distill_model_options: its options.
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

  method: str = "dm"
  images_per_class: int = 10
  initialisation: str = "private"
  initial_source: str = "photographs"
  initial_dir: str = ""
  force_canaries: bool = False
  whiten: bool = False
  augmentation: str = _AUGMENTATION
  augment_final: bool = True
  iterations: int = 1000
  image_learning_rate: float = 1.0
  real_batch: int = 256
  outer_steps: int = 10
  inner_epochs: int = 50
  distill_model: str = "convnet"
  distill_model_options: dict[str, Any] = dataclasses.field(
    default_factory=dict
  )
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

  def __post_init__(self):
    _one_of("method", self.method, METHODS)
    _one_of("initialisation", self.initialisation, KINDS)
    parse(self.augmentation)
    if self.force_canaries and self.initialisation != "private":
      raise UserError(
        f"force_canaries=True: needs initialisation='private', not"
        f" {self.initialisation!r}"
      )
    for field in _POSITIVE:
      if getattr(self, field) <= 0:
        raise UserError(
          f"{field}={getattr(self, field)}: must be greater than 0"
        )
    for field in _NOT_NEGATIVE:
      if getattr(self, field) < 0:
        raise UserError(f"{field}={getattr(self, field)}: must not be negative")
    if self.method in TRAJECTORY_METHODS:
      self._check_window()
    elif self.label_learning_rate:
      raise UserError(
        f"label_learning_rate={self.label_learning_rate:g}: must be 0 under"
        f" {self.method}, which has hard labels"
      )

  def _check_window(self) -> None:
    """Refuses starts from which an expert cannot be followed to its target."""
    latest = self.expert_epochs - self.target_epochs + 1
    if not self.min_start < self.max_start <= latest:
      raise UserError(
        f"min_start={self.min_start}, max_start={self.max_start}: starts must"
        f" be at least one and lie in [0, {latest}), since experts of"
        f" {self.expert_epochs} epochs are followed for {self.target_epochs}"
      )
    if self.early_start and not (
      self.min_start < self.early_start <= self.max_start
    ):
      raise UserError(
        f"early_start={self.early_start}: must be 0 or in"
        f" ({self.min_start}, {self.max_start}]"
      )


_POSITIVE = (
  "images_per_class",
  "iterations",
  "image_learning_rate",
  "real_batch",
  "outer_steps",
  "num_experts",
  "expert_epochs",
  "expert_batch",
  "expert_learning_rate",
  "inner_steps",
  "target_epochs",
  "learning_rate_start",
)
_NOT_NEGATIVE = (
  "inner_epochs",
  "sharpness",
  "min_start",
  "expansion_end",
  "synthetic_batch",
  "learning_rate_rate",
  "label_learning_rate",
  "threshold",
)


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
  if value not in allowed:
    raise UserError(f"{field}={value!r}: must be one of {', '.join(allowed)}")
