"""Which coins of a membership are independent and fair, and so can be guessed.

The theorem behind the bound on epsilon (`one_run`) is about independent fair
coins. Three designs provide them:

| design | coins that are guessed |
|---|---|
| independent fair coins | all |
| each example in a random half of the models | a random half of each row |
| each model with a random half of the examples | a random half of each column |

A half is dealt without replacement, so its coins are not independent: all the
others give the last one away. Some of them are. Draw K from Binomial(n, 1/2)
without regard to the coins, and pick K of the M / 2 models with the example and
n - K of those without it, at random. Every set of n models with every sequence
of n coins that has K members is then equally likely, so that, given the set,
the coins are exactly independent and fair. With n = M / 2 no K is too large. At
the other half of the row nobody looks: it would give K away.

A coin that turns makes one of those that are not tested turn too. Where halves
are dealt to models, that is in the same model, and two data sets that differ by
a replacement. Where they are dealt to examples, it is in another model, of
whose answers only those to other examples are used: what they tell about an
example that is not theirs is neglected.

Rows 2k, 2k + 1 that are complementary throughout are pairs, of which one takes
the place of the other: one coin decides about both.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from syndata_jax import keys

# How rarely each of the checks refuses coins that are fair.
_LEVEL = 1e-3

_TOSSED = "each example was included by a fair coin of its own"
_PAIRS_TOSSED = "a fair coin of its own chose one of each pair of rows"
_ROWS_DEALT = "each example was put into a random half of the models"
_PAIRS_DEALT = (
  "one of each pair of rows was put into a random half of the models, and the "
  "other into the rest"
)
_COLUMNS_DEALT = "each model was given a random half of the examples"


class Coins(NamedTuple):
  """The coins of a membership, and those among them that may be guessed."""

  heads: np.ndarray  # bool[P, M], who is a member; P is Q / 2 of pairs, or Q
  tested: np.ndarray  # bool[P, M], which coins are independent and fair
  counted: np.ndarray  # bool[P, M], whose outputs may show the level of a row
  is_paired: bool  # one coin for rows 2k, 2k + 1: heads where 2k is the member
  neighbours: str  # the relation between the two worlds of a coin
  premise: str  # what is assumed about the draw, or why there is no bound


def recognise(membership: np.ndarray, target: int | None = None) -> Coins:
  """Finds the design that a membership was drawn by.

  By its counts: those of all members, of each row and of each column vary as
  the design makes them, no less and no more, by tests at a level of 0.001.
  Another design may pass them, so `premise` says what is assumed.

  Args:
    membership: bool[Q, M], not empty.
    target: the one model whose coins are tested, if they are not all.

  Returns:
    The coins. Where no design fits, none is tested and `premise` starts with
    "no bound: ".
  """
  is_paired = _is_paired(membership)
  heads = membership[::2] if is_paired else membership
  neighbours = "replace_one" if is_paired else "add_or_remove_one"
  judged = heads if target is None else heads[:, target : target + 1]
  rows, models = judged.shape
  in_rows, in_columns = judged.sum(axis=1), judged.sum(axis=0)
  # A random half of the examples of one model looks like fair coins.
  are_rows_halves = models > 1 and bool((2 * in_rows == models).all())
  are_columns_halves = models > 1 and bool((2 * in_columns == rows).all())
  tested = np.ones(judged.shape, bool)
  if are_rows_halves:
    assumed = _PAIRS_DEALT if is_paired else _ROWS_DEALT
    doubts = [_irregular("models", in_columns, rows)]
    if are_columns_halves and not is_paired:
      doubts = [
        "each example is in half of the models, and each model has half of "
        "the examples, but rows 2k and 2k + 1 are not pairs"
      ]
    tested = _independent(judged)
  elif are_columns_halves and not is_paired:
    assumed = _COLUMNS_DEALT
    doubts = [_irregular("examples", in_rows, models)]
    tested, neighbours = _independent(judged.T).T, "replace_one"
  else:
    assumed = _PAIRS_TOSSED if is_paired else _TOSSED
    assumed += " in each model" if models > 1 else ""
    doubts = [
      _unfair(judged, is_paired),
      _irregular("examples", in_rows, models),
      _irregular("models", in_columns, rows),
    ]
  doubt = next(filter(None, doubts), None)
  premise = f"no bound: {doubt}" if doubt else f"assumes that {assumed}"
  tested &= doubt is None
  counted = tested
  if target is not None:
    counted = _references(heads, target)
    tested = (np.arange(heads.shape[1]) == target) & tested
  return Coins(heads, tested, counted, is_paired, neighbours, premise)


def _references(heads: np.ndarray, target: int) -> np.ndarray:
  """bool[P, M]: whose outputs say nothing about the coins of the target.

  All references, where all their coins fell alike. Else pairs of references in
  their order, where the two coins differ: a row's are half heads, are chosen
  without a look at any other coin, and would be the same if all others turned.
  So they do not tell how the target's fell, even where the row is half heads.
  """
  others = np.delete(np.arange(heads.shape[1]), target)
  counted = np.zeros(heads.shape, bool)
  if len(np.unique(heads[:, others])) == 1:
    counted[:, others] = True
    return counted
  first, second = others[:-1:2], others[1::2]
  differ = heads[:, first] != heads[:, second]
  counted[:, first] = counted[:, second] = differ
  return counted


def _is_paired(membership: np.ndarray) -> bool:
  """Whether rows 2k and 2k + 1 of bool[Q, M] are complements throughout."""
  if len(membership) % 2:
    return False
  return bool((membership[::2] != membership[1::2]).all())


def _independent(heads: np.ndarray) -> np.ndarray:
  """Half of each row of bool[P, M], M even, as the module says."""
  generator = keys.generator(0, "attack/coins")
  size = heads.shape[1] // 2
  wanted = generator.binomial(size, 0.5, (len(heads), 1))
  order = generator.random(heads.shape)
  # The rank among the heads of the row, and among its tails.
  among_heads = np.where(heads, order, np.inf).argsort(axis=1).argsort(axis=1)
  among_tails = np.where(heads, np.inf, order).argsort(axis=1).argsort(axis=1)
  return np.where(heads, among_heads < wanted, among_tails < size - wanted)


def _unfair(heads: np.ndarray, is_paired: bool) -> str | None:
  """What is wrong with the number of all heads, if anything."""
  count, size = int(heads.sum()), heads.size
  if stats.binomtest(count, size).pvalue >= _LEVEL:
    return None
  if is_paired:
    return (
      f"of {size:,} complementary pairs the first row is the member in "
      f"{count:,}, which fair coins do not give"
    )
  return (
    f"{count:,} of {size:,} entries are members ({count / size:.0%}), which "
    "fair coins do not give"
  )


def _irregular(noun: str, counts: np.ndarray, trials: int) -> str | None:
  """What is wrong with the spread of the heads, if anything.

  Pearson's statistic against the gamma distribution that has its mean and
  variance under Binomial(trials, 1/2), with a correction for continuity.

  Args:
    noun: what is counted for.
    counts: integer[n], heads of each.
    trials: coins of each.
  """
  size = len(counts)
  if size == 1 or trials == 1:
    return None
  distance = np.abs(2.0 * counts - trials)
  variance = 2 - 2 / trials
  gamma = stats.gamma(size / variance, scale=variance)
  if gamma.sf((np.maximum(distance - 1, 0) ** 2).sum() / trials) < _LEVEL / 2:
    return (
      f"the numbers of members of the {noun} differ more than fair coins make "
      "them differ"
    )
  if gamma.cdf(((distance + 1) ** 2).sum() / trials) < _LEVEL / 2:
    return (
      f"the numbers of members of the {noun} differ less than fair coins make "
      "them differ"
    )
  return None
