"""Which images the audited networks are asked about, and what they answer."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np

from syndata_jax.attack import OtherNetwork, PredictionFile, Predictions
from syndata_jax.data import augmentation
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.programs.plan import Plan

# images u8[P,H,W,C] -> logits f32[M,P,K] of all models
Ask = Callable[[np.ndarray], np.ndarray]


def query(
  plan: Plan,
  ask: Ask,
  training_set: TrainingSet,
  others: Mapping[str, Ask] | None = None,
) -> PredictionFile:
  """Asks all models about audited examples, dummies and test images.

  Args:
    plan: the audit.
    ask: the released networks.
    training_set: that they learned from.
    others: networks that the report sets beside them, by name.

  Returns:
    Logits of audited examples and dummies under every view, and test accuracy.
  """
  split, test = plan.split, plan.dataset.test_images
  pool = plan.private.images
  recipe = plan.paradigm.queried.recipe  # what training showed is queried

  def logits(ask: Ask, images: np.ndarray) -> np.ndarray:
    """f32[Q,M,A,K] of images u8[Q,H,W,C]."""
    views = np.asarray(
      augmentation.audit_views(jnp.asarray(images), recipe.shift, recipe.flip)
    )  # [Q,A,H,W,C]
    answers = ask(views.reshape(-1, *views.shape[2:]))
    answers = answers.reshape(len(answers), *views.shape[:2], -1)
    return np.moveaxis(answers, 0, 1)

  def accuracy(ask: Ask) -> np.ndarray:
    right = ask(test).argmax(axis=-1) == plan.dataset.test_labels
    return right.mean(axis=1).astype(np.float32)

  def predictions(index: np.ndarray, membership: np.ndarray) -> Predictions:
    answers = logits(ask, pool[index])
    return Predictions(answers, split.labels[index], membership)

  return PredictionFile(
    canaries=predictions(split.canary_index, split.membership),
    average=(
      predictions(split.average_index, split.average_membership)
      if len(split.average_index)
      else None
    ),
    test_accuracy=accuracy(ask),
    selected=_selected(plan, training_set),
    others={
      name: OtherNetwork(
        logits(other, pool[split.canary_index]), accuracy(other)
      )
      for name, other in (others or {}).items()
    },
    dummies=(
      Predictions(
        logits(ask, plan.dummies), split.dummy_labels, split.dummy_membership
      )
      if len(plan.dummies)
      else None
    ),
  )


def _selected(plan: Plan, training_set: TrainingSet) -> np.ndarray | None:
  """bool[Q,M], which canaries each model's set was made from.

  None where that is all of its data, or nothing that can be named.
  """
  if training_set.chosen is None:
    return None
  canaries = plan.split.canary_index
  return np.stack(
    [np.isin(canaries, rows) for rows in training_set.chosen], axis=1
  )
