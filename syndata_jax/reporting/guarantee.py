"""What was claimed about epsilon, and what the attack has found."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.table import Table

from syndata_jax.rounding import rounded_down, rounded_up

_RELATIONS = {
  "replace_one": "one example replaced",
  "add_or_remove_one": "one example added or removed",
}


class Guarantee(NamedTuple):
  """What a paradigm promises, as the report needs it."""

  lines: Sequence[str]  # the statement, in words
  epsilon: float  # claimed for the relation and delta of the bound, in nats


def is_broken(bound: Mapping[str, Any], guarantee: Guarantee | None) -> bool:
  """Whether the audit has refuted what was promised."""
  return guarantee is not None and bound["epsilon"] > guarantee.epsilon


def broken(bound: Mapping[str, Any], guarantee: Guarantee) -> str:
  """The sentence that nobody may miss."""
  return (
    f"The guarantee is broken: epsilon is at least "
    f"{rounded_down(bound['epsilon'])}, but {rounded_up(guarantee.epsilon)} is "
    "claimed. Something in the training is not as its privacy statement says."
  )


def epsilon_table(
  bound: Mapping[str, Any], guarantee: Guarantee | None
) -> Table:
  """Claimed and found epsilon side by side.

  Args:
    bound: the `epsilon_bound` of `attack.json`.
    guarantee: None where nothing is claimed.
  """
  table = Table(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
  table.add_column(f"Epsilon at delta\n{bound['delta']:g}", no_wrap=True)
  for header in ("\nclaimed", "found,\nat least"):
    table.add_column(header, justify="right", no_wrap=True, style="bold")
  table.add_column("\nconfidence", justify="right", no_wrap=True)
  table.add_column("correct\nguesses", no_wrap=True)
  table.add_row(
    _RELATIONS[bound["neighbours"]],
    "none" if guarantee is None else rounded_up(guarantee.epsilon),
    rounded_down(bound["epsilon"]),
    f"{bound['confidence']:.0%}",
    _guesses(bound),
  )
  return table


def _guesses(bound: Mapping[str, Any]) -> str:
  if not bound["guesses"]:
    return f"no more than chance, of {bound['coins']:,}"
  return f"{bound['correct']:,} of {bound['guesses']:,}"
