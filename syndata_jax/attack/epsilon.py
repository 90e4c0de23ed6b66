"""Lower bounds on epsilon from the scores of many shadow models."""

import numpy as np

from syndata_jax.attack import one_run
from syndata_jax.attack.one_run import EpsilonBound
from syndata_jax.rounding import rounded_down, rounded_up

# Of a bound that no claim comes with; the usual one in the literature.
DEFAULT_DELTA = 1e-5


class GuaranteeBroken(Exception):
  """An audit has refuted the claimed guarantee. The message is one line."""


def epsilon_lower_bound(
  scores: np.ndarray,
  membership: np.ndarray,
  delta: float,
  confidence: float = 0.95,
) -> EpsilonBound:
  """Bounds epsilon of the training of one model from below, by all models.

  The test of `one_run`, with the coins of all models together: a coin decides
  membership in one model alone, so M models that are each (epsilon, delta)-DP
  are (epsilon, delta)-DP in every single coin. Unlike a binomial interval
  around TPR and FPR (Clopper and Pearson) it does not need the canaries of one
  model to be independent, which they are not.

  Two designs of membership are told apart:

  | design | coins | holds for |
  |---|---|---|
  | rows 2k, 2k + 1 complementary | one per pair and model | `replace_one` |
  | any other | one per entry, taken for fair | `add_or_remove_one` |

  The first is how `make_split` deals. One canary of a pair takes the place of
  the other, so both worlds of a coin differ by a replacement, and the claim to
  compare with is that for `replace_one`. The attack guesses from the difference
  of the two scores which of the two is the member. Pairs in another order would
  be taken for twice as many coins, and the bound would be too large.

  Two facts are outside the theorem. `make_split` puts a canary in exactly half
  of the models, so the coins of one row are not quite independent: their sum
  varies less than that of fair coins, which makes correct guesses vary less.
  And leave-one-out scores such as LiRA's look at the other models'
  memberships, which removes the target's own: under no leakage at all they
  fall slightly below chance. Both err on the safe side in the simulations of
  the tests.

  The bound is about the average canary. It is a lower bound and may lie far
  below a guarantee that is tight.

  Args:
    scores: real[Q, M], finite; high means member.
    membership: bool[Q, M].
    delta: of the claim, between 0 and 1.
    confidence: that the bound is not above the true epsilon, 0.5 to 1.

  Returns:
    The bound.

  Raises:
    ValueError: an array or number that is not as above.
  """
  scores, membership = one_run.checked(scores, membership, 2, delta, confidence)
  if is_paired(membership):
    # Positive where the even row looks like the member of the two.
    difference = (scores[::2] - scores[1::2]).ravel()
    first_is_member = membership[::2].ravel()
    sure = np.abs(difference), (difference > 0) == first_is_member
    return one_run.best_guesses([sure], "replace_one", delta, confidence)
  return one_run.best_guesses(
    one_run.attacks(scores.ravel(), membership.ravel()),
    "add_or_remove_one",
    delta,
    confidence,
  )


def is_paired(membership: np.ndarray) -> bool:
  """Whether rows 2k and 2k + 1 of bool[Q, M] are complements throughout."""
  if len(membership) % 2:
    return False
  return bool((membership[::2] != membership[1::2]).all())


def check_claim(bound: EpsilonBound, claimed: float) -> None:
  """Raises GuaranteeBroken if the audit refutes the claimed epsilon.

  Args:
    bound: what the audit has shown.
    claimed: epsilon in nats at the bound's delta, for `bound.neighbours`.
  """
  if bound.epsilon > claimed:
    raise GuaranteeBroken(
      f"epsilon is at least {rounded_down(bound.epsilon)}, above the claimed "
      f"{rounded_up(claimed)} ({bound.neighbours}, delta {bound.delta:g}, "
      f"confidence {bound.confidence:.0%}: {bound.correct} of "
      f"{bound.guesses} guesses are correct)"
    )
