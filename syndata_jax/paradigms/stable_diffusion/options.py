"""Settings of the Stable Diffusion paradigm.

None is the paper's, which does not state them: the nearest public recipe is
that of Yuan et al., "Real-Fake" (arXiv 2310.10402), whose values the defaults
are where it has them.
"""

import dataclasses

from syndata_jax import validate
from syndata_jax.diffusion import pipeline

ORIGINS = ("image", "noise")


@dataclasses.dataclass(frozen=True)
class Options:
  """Fine-tuning, then sampling.

  Attributes:
    weights: the local folder of a Stable Diffusion pipeline, as diffusers
      saves it; nothing is ever downloaded.
    class_names: what prompts call the classes, in the order of the labels; ()
      for their numbers.
    prompt: of a class, with {} for its name.
    diffusion_epochs: passes of the fine-tuning over a model's members.
    diffusion_batch: images of a fine-tuning step.
    diffusion_learning_rate: of AdamW, constant.
    rank: r of the adapters of the UNet's attention projections.
    alpha: they are scaled by alpha / r.
    flip: whether images are mirrored at random while fine-tuning.
    min_snr_gamma: of the min-SNR weighting (arXiv 2303.09556); 0 for none.
    sampling: "noise" draws images of the prompts; "image" begins at the
      model's own private images.
    strength: of "image", in [0, 1]: 0 returns them as they are, 1 forgets them.
    images_per_class: of a model's set; 0 for one image for each member.
    scheduler: of the sampling, one of `pipeline.SCHEDULERS`.
    sampling_steps: of the whole way from noise to image.
    guidance: weight of classifier-free guidance; 1 for none.
    sampling_batch: images sampled at once.
  """

  weights: str = ""
  class_names: tuple[str, ...] = ()
  prompt: str = "a photo of a {}"
  diffusion_epochs: int = 100
  diffusion_batch: int = 8
  diffusion_learning_rate: float = 1e-4
  rank: int = 4
  alpha: float = 4.0
  flip: bool = True
  min_snr_gamma: float = 5.0
  sampling: str = "noise"
  strength: float = 0.75
  images_per_class: int = 0
  scheduler: str = "ddim"
  sampling_steps: int = 50
  guidance: float = 7.5
  sampling_batch: int = 8

  def __post_init__(self) -> None:
    validate.one_of(ORIGINS, sampling=self.sampling)
    validate.one_of(pipeline.SCHEDULERS, scheduler=self.scheduler)
    validate.positive(
      diffusion_epochs=self.diffusion_epochs,
      diffusion_batch=self.diffusion_batch,
      diffusion_learning_rate=self.diffusion_learning_rate,
      rank=self.rank,
      alpha=self.alpha,
      sampling_steps=self.sampling_steps,
      sampling_batch=self.sampling_batch,
    )
    validate.not_negative(
      min_snr_gamma=self.min_snr_gamma, images_per_class=self.images_per_class
    )
    validate.within(0, 1, strength=self.strength)
    validate.at_least(1, guidance=self.guidance)
    pipeline.check_prompt(self.prompt)

  @property
  def unread(self) -> frozenset[str]:
    """Strength is read by image-to-image alone."""
    return frozenset({"strength"} if self.sampling == "noise" else ())

  @property
  def returns_input(self) -> bool:
    """Whether image-to-image adds no noise, and so gives private images."""
    steps = int(self.sampling_steps * self.strength)  # as diffusers has it
    return self.sampling == "image" and not steps

  def prompts(self, num_classes: int) -> list[str]:
    """The prompt of every class.

    Raises:
      UserError: another number of names than of classes.
    """
    return pipeline.prompts(self.class_names, self.prompt, num_classes)
