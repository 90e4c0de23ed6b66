"""Settings of the paradigm: those of an evolution, its generator, its space."""

import dataclasses
from typing import ClassVar

from syndata_jax.errors import UserError
from syndata_jax.evolution.apis import ApiOptions
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.paradigms.private_evolution.embedding import EmbeddingOptions


@dataclasses.dataclass(frozen=True)
class Options(EmbeddingOptions, ApiOptions, EvolutionOptions):
  """All settings; none of its own.

  What is released of a model, and learned from, are its last `num_samples`
  samples. Every model has the same schedule and the same sizes of classes, so
  that neither may depend on what a model's records have shown.
  """

  ALTERNATIVES: ClassVar = (("epsilon", "noise_multiplier"),)
  INFINITE: ClassVar = ("epsilon",)

  def __post_init__(self) -> None:
    for options in (EmbeddingOptions, ApiOptions, EvolutionOptions):
      options.__post_init__(self)
    if self.class_shares == "private":
      raise UserError(
        "class_shares='private': must be declared under the paradigm, where"
        " the sets of all models have the same sizes"
      )
    if self.budget == "adaptive":
      raise UserError(
        "budget='adaptive': must be one that is fixed before under the"
        " paradigm, where all models share one schedule"
      )
    if 1 + self.initial_variations != self.fold:
      raise UserError(
        f"initial_variations={self.initial_variations}: must be"
        f" {self.fold - 1} under the paradigm, where every population is as"
        " large as the first"
      )
    if self.start_check_share:
      raise UserError(
        f"start_check_share={self.start_check_share:g}: must be 0 under the"
        " paradigm; syndata-evolve has the check"
      )
