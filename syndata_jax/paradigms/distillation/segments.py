"""What each iteration follows: segments of the experts' training."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from syndata_jax.keys import model_keys
from syndata_jax.paradigms.distillation.experts import Trajectories
from syndata_jax.paradigms.distillation.options import ExpertOptions
from syndata_jax.paradigms.distillation.setup import Setup


class Segment(NamedTuple):
  """Where a network starts and where it ought to come to."""

  start: Any  # f32[...,P]
  target: Any  # f32[...,P]


def segments(
  setup: Setup, key: jax.Array, trajectories: Trajectories, length: int
) -> Callable[[int], Segment]:
  """Draws what each model is to follow in each iteration.

  Args:
    setup: settings; the iterations.
    key: root of the draws; model i uses its own branch.
    trajectories: of all models.
    length: iterations of a round.

  Returns:
    `(number of a round) -> Segment`, leaves f32[M,I,P] with I iterations.
  """
  options, layout = setup.options, setup.engine.layout
  first, last = options.min_start, trajectories.epochs

  def draw(key: jax.Array, iterations: jax.Array) -> jax.Array:
    """f32[I,2] in [0, 1): which expert, which epoch."""
    of_one = lambda i: jax.random.uniform(jax.random.fold_in(key, i), (2,))
    return jax.vmap(of_one)(iterations)

  keys = model_keys(key, layout.num_models)
  draws = layout.map(draw, keys, np.arange(options.iterations))

  def read(experts: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    return np.stack(
      [
        [trajectories.params(m, e, t) for e, t in zip(*each, strict=True)]
        for m, each in enumerate(zip(experts, epochs, strict=True))
      ]
    )

  def feed(number: int) -> Segment:
    iterations = np.arange((number - 1) * length, number * length)
    window = [latest_start(options, int(i)) - first for i in iterations]
    which, where = np.moveaxis(draws[:, iterations], -1, 0)
    experts = (which * trajectories.num_experts).astype(int)
    starts = np.minimum(first + (where * window).astype(int), last - 1)
    targets = np.minimum(starts + options.target_epochs, last)
    return Segment(read(experts, starts), read(experts, targets))

  return feed


def latest_start(options: ExpertOptions, iteration: int) -> int:
  """The first epoch that may not be a start at this iteration.

  It grows from `early_start` to `max_start` up to the iteration
  `expansion_end`, in whole epochs: the curriculum of DATM, Guo et al., arXiv
  2310.05773, section 3.3.
  """
  first, last = options.early_start, options.max_start
  if not first or not options.expansion_end:
    return last
  grown = int((last - first) * iteration / options.expansion_end)
  return min(first + grown, last)
