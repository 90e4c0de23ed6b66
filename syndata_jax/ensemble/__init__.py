"""Many models at once: state, training, prediction, devices, checkpoints."""

from syndata_jax.ensemble.checkpoints import Checkpoints
from syndata_jax.ensemble.engine import Engine
from syndata_jax.ensemble.layout import Layout, make_layout
from syndata_jax.ensemble.learner import Learner, sgd
from syndata_jax.ensemble.predict import predict
from syndata_jax.ensemble.recipe import Recipe
from syndata_jax.ensemble.state import EnsembleState
from syndata_jax.ensemble.train import train
from syndata_jax.ensemble.workspace import Round, Workspace

__all__ = [
  "Checkpoints",
  "Engine",
  "EnsembleState",
  "Layout",
  "Learner",
  "Recipe",
  "Round",
  "Workspace",
  "make_layout",
  "predict",
  "sgd",
  "train",
]
