"""DATM, trajectory matching at a chosen difficulty, with soft labels.

MTT on a window of starts that grows from early, easy epochs to later ones;
labels are logits and learned; images begin with those that an expert
classifies right. Source: Guo et al., arXiv 2310.05773, sections 3.3 and 3.4.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from syndata_jax.data.training_set import Whitening
from syndata_jax.ensemble.predict import batch_size
from syndata_jax.paradigms.distillation import mtt
from syndata_jax.paradigms.distillation.experts import Trajectories
from syndata_jax.paradigms.distillation.options import Options
from syndata_jax.paradigms.distillation.setup import Setup, Step
from syndata_jax.paradigms.interface import Private


def make(setup: Setup) -> Step:
  """The step of MTT; soft labels and the threshold are in the settings."""
  return mtt.make(setup)


def latest_start(options: Options, iteration: int) -> int:
  """The first epoch that may not be a start at this iteration.

  It grows from `early_start` to `max_start` up to the iteration
  `expansion_end`, in whole epochs.
  """
  first, last = options.early_start, options.max_start
  if not first or not options.expansion_end:
    return last
  grown = int((last - first) * iteration / options.expansion_end)
  return min(first + grown, last)


def classified_right(
  setup: Setup,
  private: Private,
  trajectories: Trajectories,
  whitening: Whitening | None,
) -> np.ndarray:
  """bool[M,n], members that the first trained expert classifies as labelled.

  Where it leaves a class with too few for the synthetic images, those that the
  next experts classify right are added, until they suffice or none is left.
  """
  labels = private.labels[private.members]
  right = np.zeros(labels.shape, bool)
  look = _on_members(setup, private, whitening)
  for expert in range(trajectories.num_experts):
    trained = trajectories.trained(expert, len(labels))
    right |= look(trained).argmax(-1) == labels
    per_class = [
      ((labels == k) & right).sum(1) for k in range(private.num_classes)
    ]
    if np.min(per_class) >= setup.options.images_per_class:
      break
  return right


def soft_labels(
  setup: Setup,
  images: np.ndarray,
  labels: np.ndarray,
  trajectories: Trajectories,
) -> np.ndarray:
  """The experts' mean logits of every image, f32[M,S,K].

  The mean is over the experts that classify the image as labelled, or over
  all where none does.

  Args:
    setup: settings and tools.
    images: f32[M,S,H,W,C], as the network reads them.
    labels: i32[S].
    trajectories: of the experts.
  """
  layout = setup.engine.layout
  network, unravel = setup.network, setup.unravel()
  query = layout.compile(
    lambda flat, own, _: network.logits(unravel(flat), own)
  )
  placed = layout.place(images)
  total = right_total = np.zeros(())
  right_count = np.zeros(())
  for expert in range(trajectories.num_experts):
    trained = layout.place(trajectories.trained(expert, len(images)))
    logits = layout.gather(query(trained, placed, None))
    right = (logits.argmax(-1) == labels)[..., None]
    total = total + logits
    right_total = right_total + right * logits
    right_count = right_count + right
  everyone = total / trajectories.num_experts
  return np.where(
    right_count > 0, right_total / np.maximum(right_count, 1), everyone
  ).astype(np.float32)


def _on_members(
  setup: Setup, private: Private, whitening: Whitening | None
) -> Callable[[np.ndarray], np.ndarray]:
  """Parameters f32[M,P] -> logits f32[M,n,K] of each model's own members."""
  layout, size = setup.engine.layout, private.members.shape[1]
  network, unravel = setup.network, setup.unravel()
  batch = batch_size(size)
  count = -(-size // batch)

  def of_one(flat: jax.Array, own, images: jax.Array) -> jax.Array:
    members, mine = own
    rows = members[jnp.arange(count * batch) % size].reshape(count, batch)
    look = lambda r: network.logits(unravel(flat), setup.read(images[r], mine))
    return lax.map(look, rows).reshape(count * batch, -1)[:size]

  query = layout.compile(of_one)
  own = layout.place((private.members, whitening))
  pool = layout.replicate(private.images)
  return lambda flat: layout.gather(query(layout.place(flat), own, pool))
