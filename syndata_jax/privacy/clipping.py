"""Sums of clipped per-example gradients of any loss."""

from collections.abc import Callable
from typing import Any

import jax
import jax_privacy


def clipped_gradient(
  loss_fn: Callable[[Any, Any, jax.Array], jax.Array],
  params: Any,
  images: Any,
  labels: jax.Array,
  clip_norm: float,
  valid: jax.Array | None = None,
) -> tuple[Any, jax.Array]:
  """Sum of clipped per-example gradients; noise is not added here.

  Abadi et al., arXiv 1607.00133, algorithm 1: each gradient is scaled by
  min(1, clip_norm / its norm over all parameters). Removing one example moves
  the sum by at most clip_norm. A gradient that is not finite counts as zero.

  Args:
    loss_fn: `(params, image[H,W,C], label) -> scalar`, of one example.
    params: a pytree.
    images: [B,H,W,C]; or a pytree of arrays [B,...], of which the loss is
      given one example's.
    labels: [B].
    clip_norm: above 0.
    valid: bool[B]; the others are padding and count as nothing. None for all.

  Returns:
    (the sum, a tree like `params`; norms f32[B] before clipping).
  """
  gradient = jax_privacy.clipped_grad(
    loss_fn,
    l2_clip_norm=clip_norm,
    batch_argnums=(1, 2),
    keep_batch_dim=False,
    return_grad_norms=True,
  )
  padding = None if valid is None else ~valid
  total, aux = gradient(params, images, labels, is_padding_example=padding)
  return total, aux.grad_norms
