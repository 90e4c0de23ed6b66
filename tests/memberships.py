"""Memberships and scores that several tests of attacks draw."""

import numpy as np


def paired(rng, examples, models):
  """Rows of half the models, rows 2k and 2k + 1 complements."""
  half = np.tile(np.arange(models) < models // 2, (examples // 2, 1))
  half = rng.permuted(half, axis=1)
  return np.stack([half, ~half], axis=1).reshape(examples, models)


def unbalanced(rng, examples, models, least=3):
  """Rows of every size that leaves `least` on either side."""
  size = rng.integers(least, models - least + 1, (examples, 1))
  return rng.permuted(np.arange(models) < size, axis=1)


def coins(rng, examples, models, least=2):
  """Fair coins, rows with fewer than `least` of a side drawn again."""
  membership = rng.random((examples, models)) < 0.5
  while True:
    size = membership.sum(axis=1)
    short = (size < least) | (size > models - least)
    if not short.any():
      return membership
    membership[short] = rng.random((short.sum(), models)) < 0.5


def chance(fpr, membership):
  """The expected TPR of guessing: the threshold is a non-member's score."""
  nonmembers = (~membership).sum()
  return (np.floor(fpr * nonmembers) + 1) / (nonmembers + 1)
