"""Settings of coreset selection."""

import dataclasses
from typing import ClassVar, NamedTuple

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.paradigms.coreset.forgetting import CONVENTIONS


class Published(NamedTuple):
  """How long, and how many, selection networks were trained in a publication.

  Their number of epochs; `judging` says how each is trained.
  """

  epochs: int
  networks: int = 1


# Forty epochs are the default of DeepCore's code (Guo et al., arXiv
# 2204.08499) for every method, and ten networks its default for GraNd, which
# is in its form here. The authors themselves:
# - EL2N, epoch 20, ten networks: Paul et al., arXiv 2107.07075, figure 1. Their
#   GraNd at initialisation could not be reproduced (Kirsch, arXiv 2303.14753);
#   later in training it does tell examples apart.
# - Least confidence, of probabilities: Coleman et al., arXiv 1906.11829, where
#   DeepCore's code compares logits; see `scores.least_confidence`.
# - Forgetting, all 200 epochs: Toneva et al., arXiv 1812.05159.
METHODS = {
  "el2n": Published(20, 10),
  "entropy": Published(40),
  "forgetting": Published(40),
  "grand": Published(40, 10),
  "herding": Published(40),
  "k_center": Published(40),
  "least_confidence": Published(40),
  "margin": Published(40),
  "random": Published(0, 0),
}
# They follow the embedding of one network; two embeddings have no mean.
_GREEDY = ("herding", "k_center")
# They read what the last layer of the network reads.
EMBEDDED = ("grand", *_GREEDY)


@dataclasses.dataclass(frozen=True)
class Options:
  """Which examples are kept, and how many.

  Attributes:
    method: one of `METHODS`. "least_confidence" keeps the smallest largest
      probability (DeepCore: the smallest largest logit, another order).
    fraction: share of a model's data that is kept, in (0, 1]; 0 to give
      `images_per_class` instead.
    images_per_class: kept of each class; 0 to give `fraction` instead.
    balanced: whether each class keeps its share; otherwise the whole data
      compete.
    never_learned: where forgetting puts an example that was never classified
      right: "max" (above all, Toneva et al.) or "zero" (DeepCore).
    selection_epochs: of the networks that judge the examples; 0 for the
      method's published number, see `METHODS`.
    selection_networks: whose scores are averaged; 0 for the published number.
  """

  ALTERNATIVES: ClassVar = (("fraction", "images_per_class"),)

  method: str = "random"
  fraction: float = 0.0
  images_per_class: int = 0
  balanced: bool = True
  never_learned: str = "max"
  selection_epochs: int = 0
  selection_networks: int = 0

  def __post_init__(self) -> None:
    validate.one_of(METHODS, method=self.method)
    validate.one_of(CONVENTIONS, never_learned=self.never_learned)
    validate.not_negative(
      images_per_class=self.images_per_class,
      selection_epochs=self.selection_epochs,
      selection_networks=self.selection_networks,
    )
    if self.fraction:
      validate.within(0, 1, "(]", fraction=self.fraction)
    if (self.fraction > 0) == (self.images_per_class > 0):
      raise UserError(
        f"fraction={self.fraction:g}, images_per_class={self.images_per_class}:"
        " set one of them above 0 and the other to 0"
      )
    if self.images_per_class and not self.balanced:
      raise UserError(
        f"images_per_class={self.images_per_class}: needs balanced=True"
      )
    if self.method in _GREEDY and self.selection_networks > 1:
      raise UserError(
        f"selection_networks={self.selection_networks}: must be 1 under"
        f" {self.method}, which follows the embedding of one network"
      )

  @property
  def epochs(self) -> int:
    """Of each selection network."""
    return self.selection_epochs or METHODS[self.method].epochs

  @property
  def networks(self) -> int:
    """Selection networks of one model."""
    return self.selection_networks or METHODS[self.method].networks
