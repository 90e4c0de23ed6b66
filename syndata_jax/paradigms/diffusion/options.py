"""Settings of the diffusion paradigm: training, then sampling."""

import dataclasses

from syndata_jax import validate
from syndata_jax.diffusion.model import DiffusionOptions
from syndata_jax.diffusion.sampler import first_step
from syndata_jax.errors import UserError

METHODS = ("full", "lora", "scratch")
ORIGINS = ("image", "noise")
SAMPLERS = ("heun", "stochastic")
# Those that a base has in the place of these.
_NETWORK = ("width", "multipliers", "blocks", "attention")


@dataclasses.dataclass(frozen=True)
class Options(DiffusionOptions):
  """All settings; those of network and training are `DiffusionOptions`'.

  Attributes:
    method: "scratch" trains on private images alone; "full" goes on from a
      pre-trained base in all weights, "lora" in adapters beside it.
    base: its folder, as `syndata-pretrain` leaves it.
    rank: of the adapters.
    sampling: "noise" draws images of each class; "image" begins at the model's
      own private images.
    strength: of "image", in [0, 1]: 0 returns them as they are, 1 forgets them.
    images_per_class: of a model's set; 0 for one image for each member.
    guidance: weight of the class in sampling; 1 for no guidance.
    sampler: "heun" (deterministic) or "stochastic" (EDM's algorithm 2).
    churn: S_churn of the stochastic one.
    sampling_steps: N, each but the last with two calls of the network.
    sampling_batch: images of one model sampled at once.
  """

  method: str = "scratch"
  base: str = ""
  rank: int = 4
  sampling: str = "noise"
  strength: float = 0.5
  images_per_class: int = 0
  guidance: float = 1.0
  sampler: str = "heun"
  churn: float = 5.0
  sampling_steps: int = 18
  sampling_batch: int = 250

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.one_of(METHODS, method=self.method)
    validate.one_of(ORIGINS, sampling=self.sampling)
    validate.one_of(SAMPLERS, sampler=self.sampler)
    validate.within(0, 1, strength=self.strength)
    validate.whole(1, rank=self.rank, sampling_batch=self.sampling_batch)
    validate.whole(2, sampling_steps=self.sampling_steps)
    validate.not_negative(
      images_per_class=self.images_per_class,
      guidance=self.guidance,
      churn=self.churn,
    )
    if self.method != "scratch" and not self.base:
      raise UserError(
        f"base='': must be the folder of a pre-trained model under"
        f" method={self.method!r}; syndata-pretrain makes one"
      )

  @property
  def unread(self) -> frozenset[str]:
    """Settings that decide nothing under the others."""
    ignored = {"base", "rank"} if self.method == "scratch" else {*_NETWORK}
    if self.method == "full":
      ignored.add("rank")
    if self.sampling == "noise":
      ignored.add("strength")
    if self.sampler == "heun":
      ignored.add("churn")
    return frozenset(ignored)

  @property
  def returns_input(self) -> bool:
    """Whether image-to-image adds no noise, and so gives private images."""
    steps = self.sampling_steps
    return self.sampling == "image" and (
      first_step(self.strength, steps) == steps
    )
