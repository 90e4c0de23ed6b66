"""How one shadow model is trained: plain SGD and its learning-rate schedule.

The default is the recipe of He et al. (arXiv 1512.03385) as the paper uses
it for CIFAR-10: 200 epochs, momentum 0.9, weight decay 5e-4, batch 256,
learning rate 0.1, multiplied by 0.2 at epochs 60, 120 and 160.
"""

import dataclasses

import optax

from syndata_jax import validate
from syndata_jax.errors import UserError

# Epochs of the published 200 (see above), as shares of the training.
_DROPS = (60 / 200, 120 / 200, 160 / 200)
_SCHEDULES = ("constant", "cosine", "step")


@dataclasses.dataclass(frozen=True)
class Recipe:
  """Everything that decides what a model learns, besides data and network.

  Attributes:
    num_epochs: passes over the model's own data.
    batch_size: examples a step.
    learning_rate: the peak, reached at the end of the warm-up.
    schedule: "step" (times 0.2 at 30%, 60% and 80% of the epochs),
      "cosine" (to zero at the last step) or "constant".
    warmup_epochs: linear warm-up, counted per step.
    momentum: heavy-ball momentum.
    weight_decay: L2 penalty added to every gradient before the momentum,
      biases and norm scales included (PyTorch's coupled decay).
    shift: largest random shift in pixels; 0 for none.
    flip: whether images are flipped at random.
  """

  num_epochs: int = 200
  batch_size: int = 256
  learning_rate: float = 0.1
  schedule: str = "step"
  warmup_epochs: float = 1.0
  momentum: float = 0.9
  weight_decay: float = 5e-4
  shift: int = 0
  flip: bool = False

  def __post_init__(self) -> None:
    validate.positive(
      num_epochs=self.num_epochs,
      batch_size=self.batch_size,
      learning_rate=self.learning_rate,
    )
    validate.not_negative(
      warmup_epochs=self.warmup_epochs,
      momentum=self.momentum,
      weight_decay=self.weight_decay,
      shift=self.shift,
    )
    validate.one_of(_SCHEDULES, schedule=self.schedule)


def steps_per_epoch(recipe: Recipe, num_examples: int) -> int:
  """ceil(n / batch): every example is met at least once an epoch.

  Raises:
    UserError: a batch is larger than the data.
  """
  if recipe.batch_size > num_examples:
    raise UserError(
      f"batch_size={recipe.batch_size}: must not exceed the {num_examples}"
      " examples of one model"
    )
  return -(-num_examples // recipe.batch_size)


def learning_rate(recipe: Recipe, steps: int) -> optax.Schedule:
  """Learning rate as a function of the step; `steps` is those of an epoch.

  The drops stand at the stated epochs of the whole run. (PyTorch's sequential
  schedulers, as the reference code uses them, drop one epoch later.)
  """
  total = recipe.num_epochs * steps
  warmup = min(round(recipe.warmup_epochs * steps), total)
  if recipe.schedule == "cosine":
    # A decay of no steps is an error in optax; one is never reached.
    after = optax.cosine_decay_schedule(
      recipe.learning_rate, max(total - warmup, 1)
    )
  elif recipe.schedule == "constant":
    after = optax.constant_schedule(recipe.learning_rate)
  else:
    drops = {round(part * total) - warmup: 0.2 for part in _DROPS}
    after = optax.piecewise_constant_schedule(
      recipe.learning_rate, {step: x for step, x in drops.items() if step > 0}
    )
  if not warmup:
    return after
  ramp = optax.linear_schedule(
    recipe.learning_rate / warmup, recipe.learning_rate, warmup
  )
  return optax.join_schedules([ramp, after], [warmup])


def optimizer(recipe: Recipe, steps: int) -> optax.GradientTransformation:
  """SGD with coupled weight decay; `steps` is those of one epoch."""
  return optax.chain(
    optax.add_decayed_weights(recipe.weight_decay),
    optax.sgd(learning_rate(recipe, steps), momentum=recipe.momentum),
  )
