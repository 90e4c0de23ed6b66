"""Generators of images for Private Evolution, by name.

| name | what makes the images | needs |
|---|---|---|
| `glyphs` | fonts of matplotlib, bent and turned; class k is character k | |
| `glyphs_all` | the same, but any class may draw any character | |
| `garments` | ten kinds of clothes, as in Fashion-MNIST | |
| `pool` | public images and their neighbours | `pool`, `pool_dir` |
| `diffusion` | a model of `syndata-pretrain` | `base` |
| `stable_diffusion` | a pipeline of diffusers | `weights` |

Several, joined by "+", compete for the votes. One of the user's own is a module
or file with `make(image_shape, num_classes, options) -> Api`;
`syndata_jax.plugins` says how it is named. None of them is ever given a private
image.
"""

from typing import Any

import numpy as np

from syndata_jax import plugins
from syndata_jax.errors import UserError
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.apis.options import ApiOptions

NAMES = (
  "diffusion",
  "garments",
  "glyphs",
  "glyphs_all",
  "pool",
  "stable_diffusion",
)
EXTENSION_POINT = plugins.ExtensionPoint(
  field="api",
  function="make(image_shape, num_classes, options)",
  group="syndata_jax.evolution_apis",
  names=NAMES,
  package=__name__,
)


def create(
  name: str,
  image_shape: tuple[int, int, int],
  num_classes: int,
  options: ApiOptions,
) -> Api:
  """The API called `name`.

  Args:
    name: one of `NAMES`, or of another module: see `plugins.resolve`; or
      several, joined by "+".
    image_shape: (H, W, C) of the images that it is to make.
    num_classes: K.
    options: its own among them.

  Raises:
    UserError: no such API, one that cannot make these images, or a `make` that
      fails or returns something else.
  """
  names = name.split("+")
  if len(names) == 1:
    return _one(name, image_shape, num_classes, options)
  if len({*names}) < len(names):
    raise EXTENSION_POINT.refusal(name, "must name each API once")
  apis = tuple(_one(n, image_shape, num_classes, options) for n in names)
  from syndata_jax.evolution.sources import Several

  return Several(apis, options.source_floor)


def refuse_private(api: Any, images: np.ndarray) -> None:
  """Makes sure that what an API knew before holds no private image.

  A pool would release it as it is, a base might. Found are images that are
  equal to the bit.

  Args:
    api: that `create` has returned, or one of the user's own; asked are those
      with a method `refuse_private(images)`.
    images: u8[N,H,W,C], private.

  Raises:
    UserError: which API, and how many it holds.
  """
  for each in getattr(api, "apis", (api,)):
    each = getattr(each, "api", each)  # within `api.checked`
    if hasattr(each, "refuse_private"):
      each.refuse_private(images)


def _one(
  name: str,
  image_shape: tuple[int, int, int],
  num_classes: int,
  options: ApiOptions,
) -> Api:
  module = plugins.resolve(EXTENSION_POINT, name)
  try:
    api = module.make(image_shape, num_classes, options)
  except UserError:
    raise
  except Exception as error:
    if name in NAMES:
      raise
    # A person's own code can raise anything.
    reason = plugins.describe(error, module.__file__)
    raise EXTENSION_POINT.refusal(name, f"make failed: {reason}") from error
  missing = [
    method
    for method in ("random", "variation", "render", "inherit")
    if not callable(getattr(api, method, None))
  ]
  if missing:
    raise EXTENSION_POINT.refusal(
      name,
      f"make returned {type(api).__name__}, without {', '.join(missing)}: must"
      " be a syndata_jax.evolution.api.Api",
    )
  return api


__all__ = [
  "EXTENSION_POINT",
  "NAMES",
  "ApiOptions",
  "create",
  "refuse_private",
]
