"""DP-SGD: the baseline with a formal guarantee.

Every step draws a Poisson batch, clips the gradient of each example, adds
noise to the sum and divides by the expected batch size; an average of the
parameters is released. Sources: Abadi et al., arXiv 1607.00133; De et al.,
arXiv 2204.13650.
"""

import functools

from syndata_jax.data.training_set import Private
from syndata_jax.ensemble import Engine
from syndata_jax.errors import UserError
from syndata_jax.paradigms.dpsgd.clipping import clipped_gradient
from syndata_jax.paradigms.dpsgd.learner import private_sgd, refuse_batch_norm
from syndata_jax.paradigms.dpsgd.options import Options, mechanism
from syndata_jax.paradigms.interface import Paradigm, private_data
from syndata_jax.privacy import dp_sgd_statement

__all__ = ["Options", "clipped_gradient", "make", "mechanism"]


def make(engine: Engine, options: Options, private: Private) -> Paradigm:
  """Changes how a model learns; the private data are read as they are.

  Raises:
    UserError: a guarantee that cannot be given (which setting, why).
  """
  if options.delta <= 0:
    raise UserError(
      f"delta={options.delta:g}: must be set under dpsgd, above 0 and at most"
      " 1 over the number of examples"
    )
  refuse_batch_norm(engine, private.images.shape[1:])
  found = mechanism(options, engine.recipe, private.members.shape[1])
  return Paradigm(
    engine,
    private_data,
    functools.partial(private_sgd, engine, options, found),
    dp_sgd_statement(found),
  )
