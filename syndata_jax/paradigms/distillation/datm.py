"""DATM, trajectory matching at a chosen difficulty, with soft labels.

MTT on a window of starts that grows from early, easy epochs to later ones
(`segments.latest_start`); labels are logits and learned; images begin with
those that an expert classifies right. Source: Guo et al., arXiv 2310.05773,
sections 3.3 and 3.4.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from syndata_jax.data.training_set import Private
from syndata_jax.ensemble import Own, Pool, over_members
from syndata_jax.paradigms.distillation import mtt
from syndata_jax.paradigms.distillation.experts import Trajectories
from syndata_jax.paradigms.distillation.methods import Method
from syndata_jax.paradigms.distillation.setup import Setup
from syndata_jax.paradigms.distillation.whitening import Whitening

# Soft labels, window and threshold are settings, which MTT's step reads.
METHOD = Method(mtt.make, follows_experts=True, begins_right=True)


def classified_right(
  setup: Setup,
  private: Private,
  trajectories: Trajectories,
  whitening: Whitening | None,
) -> np.ndarray:
  """Members that the first trained expert classifies as labelled, bool[M,n].

  Where it leaves a class with too few for the synthetic images, those that the
  next experts classify right are added, until they suffice or none is left.

  Args:
    setup: settings and tools.
    private: of all models.
    trajectories: of the experts.
    whitening: of all models, None for normalised pixels.
  """
  labels = private.labels[private.members]
  right = np.zeros(labels.shape, bool)

  def on_members(
    params: Any, data: tuple[jax.Array, Whitening | None], pool: Pool
  ) -> jax.Array:
    members, linear_map = data

    def look(images: jax.Array, labels: jax.Array) -> jax.Array:
      del labels
      return setup.network.logits(params, setup.read(images, linear_map))

    # Nothing is drawn, so any key will do.
    return over_members(look, Own(jax.random.key(0), members), pool)

  pool = Pool(private.images, private.labels)
  ask = _asking(setup, on_members, (private.members, whitening), pool)
  for expert in range(trajectories.num_experts):
    trained = trajectories.trained(expert, len(labels))
    right |= ask(trained).argmax(-1) == labels
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
  logits_of = lambda params, images, _: setup.network.logits(params, images)
  ask = _asking(setup, logits_of, images)
  total = right_total = right_count = np.zeros(())
  for expert in range(trajectories.num_experts):
    logits = ask(trajectories.trained(expert, len(images)))
    right = (logits.argmax(-1) == labels)[..., None]
    total = total + logits
    right_total = right_total + right * logits
    right_count = right_count + right
  everyone = total / trajectories.num_experts
  return np.where(
    right_count > 0, right_total / np.maximum(right_count, 1), everyone
  ).astype(np.float32)


def _asking(
  setup: Setup,
  function: Callable[[Any, Any, Any], jax.Array],
  data: Any,
  shared: Any = None,
) -> Callable[[np.ndarray], np.ndarray]:
  """Asks one trained expert of every model; compiled once for all experts.

  Args:
    setup: network and layout.
    function: `(parameters, data, shared) -> logits` of one model.
    data: NumPy arrays, leaves [M,...].
    shared: NumPy arrays.

  Returns:
    `(flat parameters f32[M,P]) -> logits f32[M,...,K]`.
  """
  layout, unravel = setup.engine.layout, setup.unravel()
  run = layout.compile(
    lambda flat, data, shared: function(unravel(flat), data, shared)
  )
  placed, everywhere = layout.place(data), layout.replicate(shared)
  return lambda flat: layout.gather(run(layout.place(flat), placed, everywhere))
