"""Networks of the audit, for any image size and channel count."""

import importlib
import inspect

from flax import linen as nn

from syndata_jax.errors import UserError
from syndata_jax.models.outputs import outputs

__all__ = ["NAMES", "create", "outputs"]

NAMES = ("convnet", "resnet18", "wide_resnet")


def create(name: str, num_classes: int, **options) -> nn.Module:
  """The network called `name`, from the module of that name.

  Args:
    name: one of `NAMES`.
    num_classes: K, the width of the logits.
    **options: what the module's `make` accepts: `width`, `depth`, `norm`,
      `dtype` of the computation (parameters stay float32), `lowering` of the
      convolution.

  Returns:
    A module called as `module.apply(variables, images[B,H,W,C], train)`,
    which returns logits f32[B,K].

  Raises:
    UserError: no such network, or an option that it does not have.
  """
  if name not in NAMES:
    raise UserError(f"model={name!r}: must be one of {', '.join(NAMES)}")
  make = importlib.import_module(f"{__name__}.{name}").make
  allowed = [
    p for p in inspect.signature(make).parameters if p != "num_classes"
  ]
  for option in options:
    if option not in allowed:
      raise UserError(
        f"model option {option!r}: {name} accepts {', '.join(allowed)}"
      )
  return make(num_classes, **options)
