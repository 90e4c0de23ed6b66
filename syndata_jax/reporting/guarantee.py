"""What was claimed about epsilon, and what the attack has found."""

import math
from collections.abc import Iterator, Mapping, Sequence
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
  # Claimed where one example is added or removed, as with gradient canaries.
  white_box_epsilon: float = math.inf


def is_broken(
  bound: Mapping[str, Any],
  guarantee: Guarantee | None,
  white_box: Mapping[str, Any] | None = None,
) -> bool:
  """Whether the audit has refuted what was promised; see `epsilon_table`."""
  if guarantee is None:
    return False
  if bound["epsilon"] > guarantee.epsilon:
    return True
  return (
    white_box is not None and white_box["epsilon"] > guarantee.white_box_epsilon
  )


def broken(
  bound: Mapping[str, Any],
  guarantee: Guarantee,
  white_box: Mapping[str, Any] | None = None,
) -> str:
  """The sentence that nobody may miss; the arguments are `epsilon_table`'s."""
  found, claimed = bound["epsilon"], guarantee.epsilon
  if white_box is not None and found <= claimed:
    found, claimed = white_box["epsilon"], guarantee.white_box_epsilon
  return (
    f"The guarantee is broken: epsilon is at least "
    f"{rounded_down(found)}, but {rounded_up(claimed)} is "
    "claimed. Something in the training is not as its privacy statement says."
  )


def white_box_sentence(white_box: Mapping[str, Any] | None) -> str:
  """What gradient canaries add to the verdict; empty where there is nothing.

  Args:
    white_box: the `white_box_bound` of `attack.json`; None without.
  """
  if not white_box or not white_box["epsilon"]:
    return ""
  return (
    f" Seen step by step, {white_box['coins']:,} coins of gradient canaries "
    f"show an epsilon of at least {rounded_down(white_box['epsilon'])}."
  )


def epsilon_table(
  bound: Mapping[str, Any],
  guarantee: Guarantee | None,
  white_box: Mapping[str, Any] | None = None,
) -> Table:
  """Claimed and found epsilon side by side, with what the bound assumes.

  Args:
    bound: the `epsilon_bound` of `attack.json`.
    guarantee: None where nothing is claimed.
    white_box: the `white_box_bound` of `attack.json`; None without.
  """
  table = Table(
    box=box.SIMPLE_HEAD,
    show_edge=False,
    collapse_padding=True,
    caption=" ".join(_notes(bound, guarantee)),
    caption_justify="left",
  )
  terms = f"delta {bound['delta']:g},\n{bound['confidence']:.0%} confidence"
  table.add_column(f"Epsilon at {terms}", no_wrap=True)
  for header in ("\nclaimed", "found,\nat least", "at most\nfindable"):
    table.add_column(header, justify="right", no_wrap=True, style="bold")
  table.add_column("correct\nguesses", no_wrap=True)
  has_bound = bound["coins"] > 0
  table.add_row(
    _RELATIONS[bound["neighbours"]],
    "none" if guarantee is None else rounded_up(guarantee.epsilon),
    rounded_down(bound["epsilon"]) if has_bound else "no bound",
    rounded_up(bound["largest"]) if has_bound else "",
    _guesses(bound) if has_bound else "",
  )
  if white_box is not None:
    table.add_row(
      "white-box gradient canaries\n(one added or removed)",
      "none" if guarantee is None else rounded_up(guarantee.white_box_epsilon),
      rounded_down(white_box["epsilon"]),
      "no limit" if white_box["largest"] else "",
      f"not needed, {white_box['coins']:,} coins",
    )
  return table


def _notes(
  bound: Mapping[str, Any], guarantee: Guarantee | None
) -> Iterator[str]:
  """The sentences below the table; the arguments are those of the table."""
  premise = bound["premise"]
  if bound["coins"]:
    premise = f"The bound {premise}"
  yield f"{premise[0].upper()}{premise[1:]}."
  if guarantee is None or guarantee.epsilon < bound["largest"]:
    return
  claim = f"The claim of {rounded_up(guarantee.epsilon)} is not refutable"
  if not bound["coins"]:
    yield f"{claim} without a bound."
    return
  yield (
    f"{claim} at this size: guesses that are all correct show no more than "
    f"{rounded_up(bound['largest'])}."
  )


def _guesses(bound: Mapping[str, Any]) -> str:
  if not bound["guesses"]:
    return f"chance, of {bound['coins']:,}"
  return f"{bound['correct']:,} of {bound['guesses']:,}"
