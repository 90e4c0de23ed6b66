"""Floating-point operations: what training needs, what a device can do."""

import jax
import jax.numpy as jnp
from flax import linen as nn

# Dense peak operations a second, without sparsity, from the makers' data
# sheets: (bfloat16, float32 as matrix products are computed by default).
_PEAKS = {
  "A100": (312e12, 156e12),
  "H100 PCIe": (756e12, 378e12),
  "H100": (989e12, 495e12),
  "H200": (989e12, 495e12),
  "L4": (121e12, 60e12),
  "TPU v4": (275e12, 275e12),
  "TPU v5 lite": (197e12, 197e12),
  "TPU v5": (459e12, 459e12),
  "TPU v6 lite": (918e12, 918e12),
  "V100": (125e12, 15.7e12),
}


def training_flops(
  model: nn.Module, image_shape: tuple[int, int, int]
) -> float:
  """Operations to train on one image: three times those of prediction.

  The forward pass is counted by XLA on the uncompiled program of one image;
  a backward pass costs two forward ones. `model` should use the lowering
  "im2col", which is counted as the field counts a convolution: every tap at
  every output, the zero border included.
  """
  images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
  variables = jax.eval_shape(
    lambda x: model.init(jax.random.key(0), x, False), images
  )
  forward = jax.jit(lambda v, x: model.apply(v, x, False))
  cost = forward.lower(variables, images).cost_analysis() or {}
  return 3.0 * float(cost["flops"])


def peak_flops(device: jax.Device, dtype: jnp.dtype) -> float | None:
  """Peak operations a second of a device, None where it is not known."""
  matches = [name for name in _PEAKS if name in device.device_kind]
  if not matches:
    return None
  half, single = _PEAKS[max(matches, key=len)]
  return half if dtype == jnp.bfloat16 else single
