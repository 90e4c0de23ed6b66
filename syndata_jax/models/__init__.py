"""Networks of the audit, for any image size and channel count.

Each is a module with `make(num_classes, **options) -> flax.linen.Module`.
Modules of this package go by their name; `syndata_jax.plugins` says how others
are named. A class is a `make` too, if `num_classes` is one of its fields:

    class Network(nn.Module):
      num_classes: int
      width: int = 32

      @nn.compact
      def __call__(self, images, train=False):
        x = nn.relu(nn.Conv(self.width, (3, 3))(images))
        return nn.Dense(self.num_classes)(x.mean((1, 2)))

    make = Network

`check` says what is asked of a network. One that accepts the option
`dtype` computes in the precision of the run, one that accepts `lowering` has
its convolutions computed in that way; others do as they like.
"""

import inspect
from collections.abc import Callable
from typing import Any

from flax import linen as nn

from syndata_jax import plugins
from syndata_jax.errors import UserError
from syndata_jax.models.contract import check
from syndata_jax.models.outputs import check_embedding, logits, outputs

NAMES = ("convnet", "resnet18", "wide_resnet")
EXTENSION_POINT = plugins.ExtensionPoint(
  field="model",
  function="make(num_classes)",
  group="syndata_jax.models",
  names=NAMES,
  package=__name__,
)


def create(name: str, num_classes: int, **options: Any) -> nn.Module:
  """The network called `name`, from the module of that name.

  Args:
    name: one of `NAMES`, or of another module: see `plugins.resolve`.
    num_classes: K, the width of the logits.
    **options: what the module's `make` accepts: `width`, `depth`, `norm`,
      `dtype` of the computation (parameters stay float32), `lowering` of the
      convolution.

  Returns:
    A module called as `module.apply(variables, images[B,H,W,C], train)`,
    which returns logits f32[B,K].

  Raises:
    UserError: no such network, an option that it does not have, or a `make`
      that takes no `num_classes` or returns something else.
  """
  make = plugins.resolve(EXTENSION_POINT, name).make
  parameters = inspect.signature(make).parameters.values()
  named = _options(make)
  if "num_classes" not in named:
    raise EXTENSION_POINT.refusal(
      name, f"make takes ({', '.join(named)}): must take num_classes"
    )
  named.remove("num_classes")
  if not any(p.kind is p.VAR_KEYWORD for p in parameters):
    for option in options:
      if option not in named:
        raise UserError(
          f"model option {option!r}: {name} accepts"
          f" {', '.join(named) or 'none'}"
        )
  model = make(num_classes=num_classes, **options)
  if not isinstance(model, nn.Module):
    raise EXTENSION_POINT.refusal(
      name, f"make returned {type(model).__name__}: must be a flax.linen.Module"
    )
  return model


def accepted(name: str, /, **options: Any) -> dict[str, Any]:
  """Those of the options that the network called `name` has by their name.

  For what a program sets where it can, such as `dtype` and `lowering`; what a
  person sets goes to `create`, which refuses what the network does not have.

  Raises:
    UserError: no such network.
  """
  named = _options(plugins.resolve(EXTENSION_POINT, name).make)
  return {key: value for key, value in options.items() if key in named}


def _options(make: Callable[..., Any]) -> list[str]:
  """The parameters of a `make` that can be given by name."""
  return [
    parameter.name
    for parameter in inspect.signature(make).parameters.values()
    if parameter.kind
    in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    # What every Flax module has besides its own fields.
    and not (isinstance(make, type) and parameter.name in ("name", "parent"))
  ]


__all__ = [
  "EXTENSION_POINT",
  "NAMES",
  "accepted",
  "check",
  "check_embedding",
  "create",
  "logits",
  "outputs",
]
