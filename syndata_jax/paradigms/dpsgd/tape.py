"""What every layer of a network read, and the gradient of what it wrote.

Both come from one ordinary backward pass over the whole batch. In networks
that never mix examples, a layer's per-example weight gradients are functions
of the two, so they can be measured and summed without being formed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from syndata_jax.errors import UserError
from syndata_jax.models import watch
from syndata_jax.models.instance_norm import InstanceNorm
from syndata_jax.models.layers import Conv

Path = tuple[str, ...]

# Whose per-example norms are known.
LAYERS = (Conv, nn.Dense, nn.GroupNorm, InstanceNorm)


class Entry(NamedTuple):
  """One layer that was applied once."""

  module: nn.Module  # a copy without variables
  x: jax.Array  # what it read, [B,...]
  g: jax.Array  # the gradient of the sum of losses by what it wrote, [B,...]


class _Seen(NamedTuple):
  """One layer on the way forwards."""

  module: nn.Module
  x: jax.Array
  y: jax.Array


def record(
  model: nn.Module,
  params: Any,
  images: jax.Array,
  losses: Callable[[jax.Array], tuple[jax.Array, Any]],
) -> tuple[dict[Path, Entry], Any]:
  """Runs the network forwards and backwards, without weight gradients.

  Args:
    model: made of `LAYERS`, each applied once to a batch, and of parts without
      parameters; it never mixes examples.
    params: of it.
    images: [B,H,W,C], normalised.
    losses: logits [B,K] -> (their sum over examples, anything else).

  Returns:
    (entries by path of the layer, what `losses` returned beside the sum).

  Raises:
    UserError: see `outputs`.
  """
  modules: dict[Path, nn.Module] = {}

  def loss(offsets: dict[Path, jax.Array]) -> tuple[jax.Array, Any]:
    logits, seen = _forward(model, params, images, offsets)
    modules.update({path: layer.module for path, layer in seen.items()})
    total, rest = losses(logits)
    return total, (rest, {path: layer.x for path, layer in seen.items()})

  zeros = {
    path: jnp.zeros(y.shape, y.dtype)
    for path, y in outputs(model, params, images).items()
  }
  gradients, (rest, inputs) = jax.grad(loss, has_aux=True)(zeros)
  return {
    path: Entry(modules[path], inputs[path], gradients[path]) for path in zeros
  }, rest


def outputs(
  model: nn.Module, params: Any, images: jax.Array | jax.ShapeDtypeStruct
) -> dict[Path, jax.ShapeDtypeStruct]:
  """Shapes of what every layer writes; nothing is computed.

  Args:
    model: as in `record`.
    params: of it.
    images: [B,H,W,C].

  Raises:
    UserError: a parameter belongs to no known layer, or a layer is applied
      twice or not to one example after another.
  """

  def written(params: Any, images: jax.Array) -> dict[str, jax.Array]:
    _, seen = _forward(model, params, images, {})
    return {"/".join(path): layer.y for path, layer in seen.items()}

  shapes = jax.eval_shape(written, params, images)
  by_path = {tuple(path.split("/")): shape for path, shape in shapes.items()}
  for leaf, _ in jax.tree_util.tree_flatten_with_path(params)[0]:
    names = tuple(part.key for part in leaf)
    if names[:-1] not in by_path:
      raise _refusal(f"parameter {'/'.join(names)} is of no known layer")
  return by_path


def _forward(
  model: nn.Module,
  params: Any,
  images: jax.Array,
  offsets: dict[Path, jax.Array],
) -> tuple[Any, dict[Path, _Seen]]:
  """Logits and layers; each result is moved by its offset of zeros.

  Adding nothing makes the result a place to differentiate at.
  """
  seen: dict[Path, _Seen] = {}

  def moved(call: watch.Call) -> jax.Array:
    x, y, path = call.inputs[0], call.output, call.module.path
    if path in seen:
      raise _refusal(f"layer {'/'.join(path)} is applied twice")
    if {x.shape[0], y.shape[0]} != {images.shape[0]}:
      raise _refusal(f"layer {'/'.join(path)} reads {list(x.shape)}")
    seen[path] = _Seen(call.module.clone(parent=None), x, y)
    return y + offsets[path] if path in offsets else y

  with watch.calls(LAYERS, moved):
    logits = model.apply({"params": params}, images, True)
  return logits, seen


def _refusal(problem: str) -> UserError:
  known = ", ".join(layer.__name__ for layer in LAYERS)
  return UserError(
    f"method='ghost': {problem}; must be 'formed' or 'auto' unless every"
    f" parameter is of one of {known}, each applied once to a batch [B,...]"
  )
