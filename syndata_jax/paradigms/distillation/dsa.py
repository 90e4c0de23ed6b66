"""DSA, differentiable siamese augmentation: DC on augmented images.

In each comparison the private and the synthetic images of a class go through
the same operation with the same parameters. Source: Zhao and Bilen, arXiv
2102.08259, section 3.2.
"""

from syndata_jax.paradigms.distillation import dc
from syndata_jax.paradigms.distillation.setup import Setup, Step


def make(setup: Setup) -> Step:
  """The step of DSA; see `dc.make`."""
  return dc.make(setup, setup.operations)
