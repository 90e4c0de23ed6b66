"""Settings of Private Evolution, of a program and of the paradigm alike."""

import dataclasses
import math
from typing import Any, get_args

import numpy as np

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.images.neighbours import Metric
from syndata_jax.privacy import check_delta
from syndata_jax.privacy import validate as privacy_validate

SELECTIONS = ("sample", "rank", "geometry")
NOISES = ("gaussian", "discrete")
VOTE_WEIGHTS = ("equal", "decaying")
BUDGETS = ("uniform", "increasing", "decreasing", "adaptive")
CLASS_SHARES = ("declared_equal", "private")

# What the guarantee rests on beside the mathematics.
ASSUMPTIONS = (
  "the key of the noise is unpredictable, stays with the curator and is used"
  " for one release alone",
)
_FLOAT_NOISE = (
  "Gaussian noise in float32, whose lowest bits no proof covers;"
  " noise='discrete' is exact"
)


@dataclasses.dataclass(frozen=True)
class EvolutionOptions:
  """All settings, flat.

  Attributes:
    num_iterations: T, histograms that are released at most.
    num_samples: of all classes together: parents of an iteration, and samples
      that are released.
    epsilon: of all releases of Private Evolution together, in nats;
      `math.inf` for no noise and no guarantee, 0 where `noise_multiplier`
      decides.
    noise_multiplier: standard deviation of a histogram's noise over what one
      record added or removed changes; 0 where `epsilon` decides.
    delta: 0 for 1 / (n ln n) of n records.
    neighbours: `add_or_remove_one` or `replace_one`.
    look_ahead: variations whose mean embedding stands for a candidate; 0 for
      its own embedding.
    nearest: k, candidates that a record votes for.
    vote_weights: `equal`, 1/sqrt(k) for each; `decaying`, 1, 1/2, 1/4, ...
      from the nearest on, over their L2 norm.
    metric: `l2` or `cosine`.
    threshold: H, in votes, subtracted from the noisy histogram; what is below
      it is not selected.
    threshold_deviations: in its place H as so many standard deviations of the
      histogram's own noise, which an uneven `budget` changes as it goes.
    selection: `sample`, with replacement and by the votes above H; `rank`, the
      largest; `geometry`, so that every cluster of votes keeps a parent.
    variations: F, of every parent; 0 only under `keep_selected`.
    initial_variations: F0, of every random sample at the start.
    keep_selected: parents are candidates again.
    degree_first: how far variations go in the first iteration, in [0, 1],
    degree_last: and in the last.
    degree_decay: above 1 stays far for longer, below 1 for less long.
    degrees: of every iteration, in the place of these three.
    noise: `gaussian`, or `discrete` on whole votes.
    class_shares: `declared_equal`, or `private`: estimated by one more release.
    class_fractions: declared ones, a number for each class.
    counts_share: of the budget, for estimating the shares of classes.
    budget: how it is spread over the iterations: `uniform`, `increasing`,
      `decreasing`, `adaptive`.
    budget_weights: shares of the iterations, in any unit, in its place.
    start_check_share: of the budget, for asking whether Private Evolution can
      work at all; 0 does not ask.
    api_seconds: for one answer of a generator on the host; 0 for any time.
  """

  num_iterations: int = 10
  num_samples: int = 2000
  epsilon: float = 0.0
  noise_multiplier: float = 0.0
  delta: float = 0.0
  neighbours: str = "add_or_remove_one"
  look_ahead: int = 0
  nearest: int = 1
  vote_weights: str = "equal"
  metric: Metric = "l2"
  threshold: float = 0.0
  threshold_deviations: float = 0.0
  selection: str = "sample"
  variations: int = 1
  initial_variations: int = 0
  keep_selected: bool = False
  degree_first: float = 1.0
  degree_last: float = 0.1
  degree_decay: float = 1.0
  degrees: tuple[float, ...] = ()
  noise: str = "gaussian"
  class_shares: str = "declared_equal"
  class_fractions: tuple[float, ...] = ()
  counts_share: float = 0.05
  budget: str = "uniform"
  budget_weights: tuple[float, ...] = ()
  start_check_share: float = 0.0
  api_seconds: float = 600.0

  def __post_init__(self) -> None:
    # JSON and configs have lists.
    for name in ("degrees", "class_fractions", "budget_weights"):
      object.__setattr__(self, name, tuple(getattr(self, name)))
    validate.whole(1, num_iterations=self.num_iterations)
    validate.whole(1, num_samples=self.num_samples, nearest=self.nearest)
    validate.whole(
      0,
      look_ahead=self.look_ahead,
      variations=self.variations,
      initial_variations=self.initial_variations,
    )
    self._check_privacy()
    validate.one_of(get_args(Metric), metric=self.metric)
    validate.one_of(SELECTIONS, selection=self.selection)
    validate.one_of(NOISES, noise=self.noise)
    validate.one_of(VOTE_WEIGHTS, vote_weights=self.vote_weights)
    if self.noise == "discrete" and self.vote_weights != "equal":
      raise UserError(
        f"vote_weights={self.vote_weights!r}: must be 'equal' under"
        " noise='discrete', which needs whole votes"
      )
    validate.one_of(BUDGETS, budget=self.budget)
    validate.one_of(CLASS_SHARES, class_shares=self.class_shares)
    validate.not_negative(
      threshold=self.threshold, api_seconds=self.api_seconds
    )
    validate.not_negative(threshold_deviations=self.threshold_deviations)
    if self.threshold and self.threshold_deviations:
      raise UserError(
        f"threshold={self.threshold}, threshold_deviations="
        f"{self.threshold_deviations}: one must be 0"
      )
    self._check_budget()
    self._check_degrees()
    self._check_shares()
    if not self.variations and not self.keep_selected:
      raise UserError(
        "variations=0: must be at least 1 unless keep_selected is set"
      )
    if self.noise == "discrete" and self.budget == "adaptive":
      raise UserError(
        "noise='discrete': must be 'gaussian' under budget='adaptive', whose"
        " privacy filter holds for Gaussian noise alone"
      )
    candidates = 1 + self.initial_variations
    if self.selection == "rank" and self.fold == 1 == candidates:
      raise UserError(
        "selection='rank': must have more candidates than parents to choose"
        " among; set variations, initial_variations or keep_selected"
      )

  @property
  def fold(self) -> int:
    """Candidates for each parent, after the first selection."""
    return self.variations + self.keep_selected

  @property
  def assumptions(self) -> tuple[str, ...]:
    """What the guarantee rests on beside the mathematics."""
    if self.noise == "discrete" or self.is_noiseless:
      return ASSUMPTIONS
    return (*ASSUMPTIONS, _FLOAT_NOISE)

  @property
  def is_noiseless(self) -> bool:
    """Whether there is no guarantee."""
    return math.isinf(self.epsilon)

  def degree(self, iteration: int) -> float:
    """How far the variations of an iteration go, 0 being the first."""
    if self.degrees:
      return self.degrees[iteration]
    part = iteration / max(1, self.num_iterations - 1)
    span = self.degree_first - self.degree_last
    return self.degree_first - span * part**self.degree_decay

  def level(self, stddev: Any) -> Any:
    """H of a histogram in votes, a number or one that JAX traces.

    Args:
      stddev: of its noise, in votes.
    """
    return self.threshold + self.threshold_deviations * stddev

  def delta_of(self, num_records: int) -> float:
    """The delta of n records: the one set, or 1 / (n ln n).

    Raises:
      UserError: above 1 / n.
    """
    if self.delta:
      check_delta(self.delta, num_records)
      return self.delta
    if num_records < 3:
      raise UserError(
        f"records={num_records}: must be at least 3 for a delta of 1/(n ln n)"
      )
    return 1 / (num_records * math.log(num_records))

  def class_sizes(self, num_classes: int) -> tuple[int, ...]:
    """Samples of each class, of the declared fractions.

    Raises:
      UserError: not a fraction for every class.
    """
    fractions = self.class_fractions or (1.0,) * num_classes
    if len(fractions) != num_classes:
      raise UserError(
        f"class_fractions={self.class_fractions}: must be {num_classes}"
        " numbers, one a class"
      )
    return largest_remainders(fractions, self.num_samples)

  def _check_privacy(self) -> None:
    privacy_validate.check_neighbours(self.neighbours)
    privacy_validate.check_noise(self.noise_multiplier)
    privacy_validate.check_not_negative("epsilon", self.epsilon)
    if bool(self.epsilon) == bool(self.noise_multiplier):
      raise UserError(
        f"epsilon={self.epsilon}, noise_multiplier={self.noise_multiplier}:"
        " exactly one must be above 0"
      )
    if self.delta:
      check_delta(self.delta)

  def _check_budget(self) -> None:
    if not self.budget_weights:
      return
    if self.budget != "uniform":
      raise UserError(
        f"budget={self.budget!r}: must not be set beside budget_weights"
      )
    for weight in self.budget_weights:
      validate.positive(budget_weights=weight)
    if len(self.budget_weights) != self.num_iterations:
      raise UserError(
        f"budget_weights={self.budget_weights}: must be {self.num_iterations}"
        " numbers, one an iteration"
      )

  def _check_degrees(self) -> None:
    validate.within(
      0, 1, degree_first=self.degree_first, degree_last=self.degree_last
    )
    validate.positive(degree_decay=self.degree_decay)
    for degree in self.degrees:
      validate.within(0, 1, degrees=degree)
    if self.degrees and len(self.degrees) != self.num_iterations:
      raise UserError(
        f"degrees={self.degrees}: must be {self.num_iterations} numbers, one"
        " an iteration"
      )

  def _check_shares(self) -> None:
    validate.within(0, 1, "[)", start_check_share=self.start_check_share)
    if self.class_shares == "private":
      validate.within(0, 1, "()", counts_share=self.counts_share)
      if self.class_fractions:
        raise UserError(
          f"class_fractions={self.class_fractions}: must be empty under"
          " class_shares='private'"
        )
      validate.within(
        0, 1, "()", shares=self.counts_share + self.start_check_share
      )
    for fraction in self.class_fractions:
      validate.not_negative(class_fractions=fraction)
    if self.class_fractions and not sum(self.class_fractions):
      raise UserError(
        f"class_fractions={self.class_fractions}: must not all be 0"
      )


def largest_remainders(
  weights: tuple[float, ...] | np.ndarray, total: int
) -> tuple[int, ...]:
  """Whole numbers of this sum, as near to the weights as can be.

  Args:
    weights: at least 0, not all 0.
    total: of the numbers.
  """
  shares = np.asarray(weights, np.float64)
  exact = total * shares / shares.sum()
  whole = np.floor(exact).astype(int)
  # Equal remainders: the first classes first.
  order = np.argsort(whole - exact, kind="stable")
  whole[order[: total - whole.sum()]] += 1
  return tuple(map(int, whole))
