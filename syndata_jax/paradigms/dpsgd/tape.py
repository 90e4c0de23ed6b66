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

from syndata_jax.models.instance_norm import InstanceNorm
from syndata_jax.models.layers import Conv

Path = tuple[str, ...]

# Everything that holds parameters.
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
    model: made of `LAYERS`, each applied once, and of parts without
      parameters.
    params: of it.
    images: [B,H,W,C], normalised.
    losses: logits [B,K] -> (their sum over examples, anything else).

  Returns:
    (entries by path of the layer, what `losses` returned beside the sum).

  Raises:
    ValueError: a parameter belongs to no known layer, or a layer is applied
      twice.
  """
  modules: dict[Path, nn.Module] = {}

  def loss(offsets):
    logits, seen = _forward(model, params, images, offsets)
    modules.update({path: layer.module for path, layer in seen.items()})
    total, rest = losses(logits)
    return total, (rest, {path: layer.x for path, layer in seen.items()})

  zeros = {
    path: _own_zeros(y, params)
    for path, y in outputs(model, params, images).items()
  }
  gradients, (rest, inputs) = jax.grad(loss, has_aux=True)(zeros)
  _check_complete(params, modules)
  return {
    path: Entry(modules[path], inputs[path], gradients[path]) for path in zeros
  }, rest


def outputs(
  model: nn.Module, params: Any, images: jax.Array
) -> dict[Path, jax.ShapeDtypeStruct]:
  """Shapes of what every layer writes; nothing is computed."""

  def written(params, images):
    _, seen = _forward(model, params, images, {})
    return {"/".join(path): layer.y for path, layer in seen.items()}

  shapes = jax.eval_shape(written, params, images)
  return {tuple(path.split("/")): shape for path, shape in shapes.items()}


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

  def watch(call, args, kwargs, context):
    y = call(*args, **kwargs)
    module = context.module
    if context.method_name != "__call__" or type(module) not in LAYERS:
      return y
    if module.path in seen:
      raise ValueError(f"layer {'/'.join(module.path)} is applied twice")
    seen[module.path] = _Seen(module.clone(parent=None), args[0], y)
    return y + offsets[module.path] if module.path in offsets else y

  with nn.intercept_methods(watch):
    logits = model.apply({"params": params}, images, True)
  return logits, seen


def _own_zeros(shape: jax.ShapeDtypeStruct, params: Any) -> jax.Array:
  """Zeros that belong to one model, as its parameters do.

  Plain ones made inside `shard_map` count as shared by all devices, and their
  gradients would be summed over them.
  """
  one = jnp.zeros_like(jax.tree.leaves(params)[0].ravel()[0], shape.dtype)
  return jnp.broadcast_to(one, shape.shape)


def _check_complete(params: Any, modules: dict[Path, nn.Module]) -> None:
  for path, _ in jax.tree_util.tree_flatten_with_path(params)[0]:
    names = tuple(part.key for part in path)
    if names[:-1] not in modules:
      raise ValueError(f"parameter {'/'.join(names)} is of no known layer")
