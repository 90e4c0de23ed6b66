"""Samplers: from noise, or from an image, to an image of the model.

Heun's method on dx/dsigma = (x - D(x, sigma)) / sigma, of second order; the
last step, to sigma 0, is Euler's. Source: Karras et al., arXiv 2206.00364,
algorithms 1 and 2. One loop over the evaluations of the denoiser (two a step,
one for the last), so that a compiled program holds the network once.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

# (x [B,H,W,C], sigma [B]) -> denoised [B,H,W,C]
Denoise = Callable[[jax.Array, jax.Array], jax.Array]
# The same with labels i32[B].
DenoiseOfLabel = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
# x, start and slope, each [B,H,W,C]; see `_evaluate`.
_Carry = tuple[jax.Array, jax.Array, jax.Array]


class _Evaluation(NamedTuple):
  """One call of the denoiser and what follows from it; leaves [2N-1]."""

  sigma: Any  # of the image that is denoised
  added: Any  # deviation of fresh noise before it
  width: Any  # of the step, below 0
  corrects: Any  # whether it is the second one of its step


def sample(denoise: Denoise, noise: jax.Array, sigmas: ArrayLike) -> jax.Array:
  """Heun's deterministic sampler (algorithm 1).

  Args:
    denoise: the model.
    noise: [B,H,W,C], already scaled by `sigmas[0]`.
    sigmas: [N+1] descending, the last 0; see `edm.schedule`.

  Returns:
    Images [B,H,W,C], not clipped.
  """
  levels = np.asarray(sigmas, np.float64)
  return _run(denoise, noise, _evaluations(levels, levels[:-1]), None)


def sample_stochastic(
  denoise: Denoise,
  key: jax.Array,
  noise: jax.Array,
  sigmas: ArrayLike,
  churn: float = 40.0,
  churn_min: float = 0.05,
  churn_max: float = 50.0,
  inflation: float = 1.003,
) -> jax.Array:
  """The stochastic sampler (algorithm 2): fresh noise before every step.

  The defaults are the paper's for ImageNet-64 (table 5).

  Args:
    denoise: the model.
    key: of the fresh noise.
    noise: as in `sample`.
    sigmas: as in `sample`.
    churn: S_churn, over all steps; 0 for `sample`.
    churn_min: S_tmin, noise is added from this sigma on,
    churn_max: S_tmax, and up to this one.
    inflation: S_noise, deviation of the fresh noise.

  Returns:
    As `sample`.
  """
  levels = np.asarray(sigmas, np.float64)
  raised, added = _churned(levels, churn, churn_min, churn_max, inflation)
  evaluations = _evaluations(levels, raised, added)
  return _run(denoise, noise, evaluations, key if added.any() else None)


def guided(
  denoise_of_label: DenoiseOfLabel,
  labels: jax.Array,
  weight: float,
  no_class: int,
) -> Denoise:
  """Classifier-free guidance: D_none + weight (D_class - D_none).

  Source: Ho and Salimans, arXiv 2207.12598. Both are asked for at once.

  Args:
    denoise_of_label: `(x, sigma, labels) ->` denoised.
    labels: i32[B], of the images.
    weight: 1 for the class alone, 0 for none, above 1 for more of the class.
    no_class: the label that is none.
  """
  if weight == 1:
    return lambda x, sigma: denoise_of_label(x, sigma, labels)
  both = jnp.concatenate([labels, jnp.full_like(labels, no_class)])

  def denoise(x: jax.Array, sigma: jax.Array) -> jax.Array:
    twice = lambda a: jnp.concatenate([a, a])
    named, plain = jnp.split(denoise_of_label(twice(x), twice(sigma), both), 2)
    return plain + weight * (named - plain)

  return denoise


def image_to_image(
  denoise: Denoise,
  key: jax.Array,
  images: jax.Array,
  strength: float,
  sigmas: ArrayLike,
  churn: float = 0.0,
) -> jax.Array:
  """Other images that begin at these: noised part of the way, and denoised.

  It begins at the step with the index round((1 - strength) N). (Meng et al.,
  arXiv 2108.01073.)

  Args:
    denoise: the model.
    key: of all noise.
    images: [B,H,W,C] in [-1, 1].
    strength: 0 returns them as they are, 1 forgets them.
    sigmas: as in `sample`.
    churn: of the stochastic sampler, over all N steps; 0 for Heun's.

  Returns:
    [B,H,W,C], not clipped.
  """
  steps = len(np.asarray(sigmas)) - 1
  begin = first_step(strength, steps)
  if begin == steps:
    return images
  rest = np.asarray(sigmas)[begin:]
  noised, fresh = jax.random.split(key)
  noise = jax.random.normal(noised, images.shape, images.dtype)
  start = images + rest[0].astype(images.dtype) * noise
  part = churn * (len(rest) - 1) / steps
  return sample_stochastic(denoise, fresh, start, rest, part)


def redraw(
  denoise: Denoise,
  key: jax.Array,
  images: jax.Array,
  strength: ArrayLike,
  sigmas: ArrayLike,
  churn: float = 0.0,
) -> jax.Array:
  """`image_to_image` with a strength that a compiled program is given.

  The steps and their draws are the same, and no others are run.

  Args:
    denoise: the model.
    key: of all noise.
    images: [B,H,W,C] in [-1, 1].
    strength: scalar in [0, 1], may be traced.
    sigmas: as in `sample`.
    churn: as in `image_to_image`.

  Returns:
    [B,H,W,C], not clipped.
  """
  levels = np.asarray(sigmas, np.float64)
  steps, dtype = len(levels) - 1, images.dtype
  raised, added = _churned(levels, churn)
  evaluations = _cast(_evaluations(levels, raised, added), dtype)
  noised, fresh = jax.random.split(key)
  begin = jnp.round((1 - jnp.asarray(strength)) * steps).astype(jnp.int32)
  noise = jax.random.normal(noised, images.shape, dtype)
  start = images + jnp.asarray(levels, dtype)[begin] * noise
  evaluate = _evaluate(denoise, start, fresh if added.any() else None)
  first = 2 * begin

  def step(number: jax.Array, carry: _Carry) -> _Carry:
    now = jax.tree.map(lambda leaf: leaf[number], evaluations)
    return evaluate(carry, now, number - first)

  carry = start, start, jnp.zeros_like(start)
  return lax.fori_loop(first, 2 * steps - 1, step, carry)[0]


def first_step(strength: float, steps: int) -> int:
  """Index of the step at which image-to-image begins; `steps` for none."""
  return round((1 - strength) * steps)


def _churned(
  levels: np.ndarray,
  churn: float,
  churn_min: float = 0.05,
  churn_max: float = 50.0,
  inflation: float = 1.003,
) -> tuple[np.ndarray, np.ndarray]:
  """What fresh noise makes of the levels; see `sample_stochastic`.

  Args:
    levels: [N+1], descending to 0.
    churn: over all steps.
    churn_min: the least level that it is added at.
    churn_max: the largest.
    inflation: of its deviation.

  Returns:
    (the levels at which the steps begin, deviation of the noise), [N] each.
  """
  begin = levels[:-1]
  factor = min(churn / len(begin), np.sqrt(2) - 1)
  churned = (churn_min <= begin) & (begin <= churn_max)
  raised = np.where(churned, begin * (1 + factor), begin)
  return raised, inflation * np.sqrt(raised**2 - begin**2)


def _evaluations(
  levels: np.ndarray, raised: np.ndarray, added: np.ndarray | float = 0.0
) -> _Evaluation:
  """The calls of the denoiser, in their order.

  Args:
    levels: [N+1], descending to 0.
    raised: [N], at which the steps begin once noise was added.
    added: [N], its deviation.
  """
  width = levels[1:] - raised
  pairs = lambda first, second: np.stack([first, second], axis=1).ravel()[:-1]
  return _Evaluation(
    sigma=pairs(raised, levels[1:]),
    added=pairs(added * np.ones_like(raised), np.zeros_like(raised)),
    width=pairs(width, width),
    corrects=pairs(np.zeros_like(width, bool), np.ones_like(width, bool)),
  )


def _run(
  denoise: Denoise,
  noise: jax.Array,
  evaluations: _Evaluation,
  key: jax.Array | None,
) -> jax.Array:
  """Goes through the evaluations.

  Args:
    denoise: the model.
    noise: where it begins, [B,H,W,C].
    evaluations: see `_evaluations`.
    key: of the fresh noise, None without any.
  """
  evaluate = _evaluate(denoise, noise, key)
  cast = _cast(evaluations, noise.dtype)
  numbers = jnp.arange(len(evaluations.sigma))
  carry = noise, noise, jnp.zeros_like(noise)
  (x, _, _), _ = lax.scan(
    lambda carry, one: (evaluate(carry, *one), None), carry, (cast, numbers)
  )
  return x


def _cast(evaluations: _Evaluation, dtype: jnp.dtype) -> _Evaluation:
  """Evaluations on the device; leaves [2N-1]."""
  return jax.tree.map(
    lambda a: jnp.asarray(a, None if a.dtype == bool else dtype), evaluations
  )


def _evaluate(
  denoise: Denoise, like: jax.Array, key: jax.Array | None
) -> Callable[[_Carry, _Evaluation, jax.Array], _Carry]:
  """How one evaluation moves (x, start, slope), each [B,H,W,C].

  A step goes from `start` along the slope there to `x`, where the next
  evaluation is; if that corrects, the step is taken again along the mean of
  both slopes.

  Args:
    denoise: the model.
    like: images of the shape and type of these.
    key: of the fresh noise, None without any.
  """
  dtype, ones = like.dtype, jnp.ones(like.shape[0], like.dtype)

  def evaluate(carry: _Carry, one: _Evaluation, number: jax.Array) -> _Carry:
    x, start, slope = carry
    if key is not None:
      drawn = jax.random.normal(jax.random.fold_in(key, number), x.shape, dtype)
      x = x + one.added * drawn
    there = (x - denoise(x, one.sigma * ones)) / one.sigma
    start = jnp.where(one.corrects, start, x)
    mean = jnp.where(one.corrects, (slope + there) / 2, there)
    return start + one.width * mean, start, there

  return evaluate
