"""What each model of the audit promises: the releases of its ledger."""

import dataclasses
import itertools
import math

from syndata_jax.data.training_set import Private
from syndata_jax.evolution import opening
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.paradigms.private_evolution.embedding import space_of
from syndata_jax.paradigms.private_evolution.options import Options
from syndata_jax.privacy import Ledger, PrivacyStatement

# What Private Evolution reads without paying for it, whatever the records are.
PUBLIC = (
  "number of records, of which delta follows where it is not set",
  "settings of the evolution",
)


def empty_ledger(options: EvolutionOptions, private: Private) -> Ledger:
  """The ledger with which every model begins."""
  return new_ledger(options, private.members.shape[1])


def new_ledger(options: EvolutionOptions, num_records: int) -> Ledger:
  """A ledger that allows what the options do, and no more.

  Args:
    options: settings; `noise_multiplier` sets no budget.
    num_records: n.

  Raises:
    UserError: a delta above 1 / n.
  """
  bounded = 0 < options.epsilon < math.inf
  return Ledger(
    options.delta_of(num_records),
    options.neighbours,
    options.epsilon if bounded else None,
  )


def grouped(ledger: Ledger) -> Ledger:
  """The same ledger with equal releases, one after the other, as one."""
  parts = itertools.groupby(ledger.releases)
  together = [
    dataclasses.replace(release, count=release.count * len(tuple(equal)))
    for release, equal in parts
  ]
  return dataclasses.replace(ledger, releases=tuple(together))


def shares(options: EvolutionOptions) -> str:
  """How the sizes of classes were set, in words."""
  if options.class_shares == "private":
    return "shares of the classes: estimated, as one of the releases"
  if options.class_fractions:
    return "shares of the classes, as declared"
  return "shares of the classes, declared to be equal"


def guarantee(
  options: Options, api: Api, private: Private
) -> PrivacyStatement | None:
  """The statement of each model, the same for all; None without noise.

  Args:
    options: settings.
    api: the generator.
    private: of all models.

  Raises:
    UserError: releases that the budget does not allow, a delta above 1 / n.
  """
  ledger = empty_ledger(options, private)
  costs = opening.divided(options, ledger.delta)
  for release in opening.planned(options, costs, private.num_classes):
    ledger = ledger.add(release)
  if options.is_noiseless:
    return None
  return grouped(ledger).statement(
    public=(
      *PUBLIC,
      "number of classes and size of the images",
      shares(options),
      *api.public,
      space_of(options),
    ),
    unit="one training example, an image with its label",
    scope="each model alone",
    assumptions=options.assumptions,
  )
