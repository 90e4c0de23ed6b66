"""Where images are compared in an evolution of images: a public space.

The embedding must be public. Features are therefore not those of the audit,
which has test images of its own: they are learned from random samples of the
generator, which it draws without a private record.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from syndata_jax import images, validate
from syndata_jax.ensemble import Layout, Workspace
from syndata_jax.errors import UserError
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.embedding import PIXELS, Embedding, of_space
from syndata_jax.keys import stream

NAMES = ("features", "inception", "pixels")
STAGE = "embedding"
# What holds for any image whatever.
_MEAN, _STD = 0.5, 0.5


@dataclasses.dataclass(frozen=True)
class EmbeddingOptions:
  """Settings of the space in which images vote.

  Attributes:
    embedding: "features", of a small network that learns the classes of random
      samples of the generator; "pixels"; or "inception".
    embedding_images: random samples that the features are learned from.
    inception: the TorchScript file of Inception features; see
      `syndata_jax.images.inception`.
  """

  embedding: str = "features"
  embedding_images: int = 2000
  inception: str = ""

  def __post_init__(self) -> None:
    validate.one_of(NAMES, embedding=self.embedding)
    validate.whole(2, embedding_images=self.embedding_images)
    if self.embedding == "inception" and not self.inception:
      raise UserError(
        "inception='': must be a TorchScript file under embedding='inception'"
      )

  @property
  def unread(self) -> frozenset[str]:
    """Settings that decide nothing under the others."""
    ignored = {"embedding_images", "inception"}
    ignored -= {
      "features": {"embedding_images"},
      "inception": {"inception"},
    }.get(self.embedding, set())
    return frozenset(ignored)


def make_embedding(
  options: EmbeddingOptions,
  api: Api,
  num_classes: int,
  channels: int,
  workspace: Workspace,
  layout: Layout,
) -> Embedding:
  """The space that the options name; no private image is read.

  Args:
    options: which one.
    api: whose random samples the features are learned from.
    num_classes: K.
    channels: C.
    workspace: trains the network of the features, in the stage "embedding".
    layout: of which one model is trained.

  Raises:
    UserError: see `images.inception`; or the generator fails.
  """
  if options.embedding == "pixels":
    return PIXELS
  if options.embedding == "inception":
    return of_space(images.inception(options.inception), space_of(options))
  key = stream(jax.random.key(0), "evolution.embedding")
  labels = np.arange(options.embedding_images, dtype=np.int32) % num_classes
  drawn = np.asarray(api.render(api.random(key, jnp.asarray(labels))))
  public = images.Public(
    drawn, labels, num_classes, (_MEAN,) * channels, (_STD,) * channels
  )
  space = images.trained_on(public, workspace, layout, STAGE)
  return of_space(space, space_of(options))


def space_of(options: EmbeddingOptions) -> str:
  """Where images are compared, as the privacy statement says it."""
  if options.embedding == "pixels":
    return "images are compared as they are, pixel by pixel"
  if options.embedding == "inception":
    return f"images are compared by Inception features, {options.inception}"
  return (
    "images are compared by features learned from"
    f" {options.embedding_images:,} random samples of the generator"
  )
