"""Settings of the image APIs, shared by program and paradigm."""

import dataclasses

from syndata_jax import validate
from syndata_jax.diffusion.pipeline import SCHEDULERS
from syndata_jax.errors import UserError

CONDITIONS = ("label", "random")
PRECISIONS = ("float32", "bfloat16", "float16")


@dataclasses.dataclass(frozen=True)
class ApiOptions:
  """Which API makes the images, and what each of them needs to know.

  Attributes:
    api: one of `NAMES`, a module or file of one's own, or several of these
      joined by "+", which then compete for the votes.
    source_floor: of several, the least share of the samples that each gets.
    characters: of the glyphs, the k-th for class k; under `glyphs_all` all
      that any class may draw.
    character_size: height of the glyphs over that of the image, in the middle
      of its range: 1 where characters fill the image, 0.72 as in MNIST.
    pool: of the pool, a source of `data.class_images`.
    pool_dir: where the files of that source are.
    pool_crops: images for each class where the source is `photographs`.
    pool_labels: whether the pool's classes are the private ones: then a class
      gets images of its own alone. Otherwise all get any.
    pool_neighbours: how many images the largest variation chooses from.
    base: of the diffusion, the folder that `syndata-pretrain` has written.
    condition: of the diffusion, "label" asks the base for the class that is
      wanted, and the base must have the same classes; "random" asks for any
      class of the base, as of one that was trained on other things.
    weights: of Stable Diffusion, the local folder of a pipeline as `diffusers`
      saves it; nothing is downloaded.
    class_names: what prompts call the classes; () for their numbers.
    prompt: of a class, with {} for its name.
    scheduler: of Stable Diffusion, see `diffusion.pipeline.SCHEDULERS`.
    precision: of Stable Diffusion.
    guidance: of both; 0 for the API's own: 1, none, in the diffusion, and 7.5
      in Stable Diffusion.
    churn: of the diffusion, fresh noise over all steps; 0 for none.
    sampling_steps: of both, from noise to image; 0 for the API's own: 18, and
      50 in Stable Diffusion.
    sampling_batch: images sampled at once; 0 for the API's own: 250, and 8 in
      Stable Diffusion.

  Raises:
    UserError: a field that is not as above.
  """

  api: str = "glyphs"
  source_floor: float = 0.05
  characters: str = "0123456789"
  character_size: float = 1.0
  pool: str = "photographs"
  pool_dir: str = ""
  pool_crops: int = 1000
  pool_labels: bool = True
  pool_neighbours: int = 100
  base: str = ""
  condition: str = "label"
  weights: str = ""
  class_names: tuple[str, ...] = ()
  prompt: str = "a photo of a {}"
  scheduler: str = "ddim"
  precision: str = "float32"
  guidance: float = 0.0
  churn: float = 0.0
  sampling_steps: int = 0
  sampling_batch: int = 0

  def __post_init__(self) -> None:
    object.__setattr__(self, "class_names", tuple(self.class_names))
    validate.one_of(CONDITIONS, condition=self.condition)
    validate.one_of(SCHEDULERS, scheduler=self.scheduler)
    validate.one_of(PRECISIONS, precision=self.precision)
    validate.within(0, 1, "[)", source_floor=self.source_floor)
    validate.within(0, 2, "(]", character_size=self.character_size)
    validate.whole(
      1, pool_crops=self.pool_crops, pool_neighbours=self.pool_neighbours
    )
    validate.whole(
      0, sampling_steps=self.sampling_steps, sampling_batch=self.sampling_batch
    )
    validate.not_negative(guidance=self.guidance, churn=self.churn)
    if not self.characters or len({*self.characters}) < len(self.characters):
      raise UserError(
        f"characters={self.characters!r}: must be different characters, at"
        " least one"
      )
