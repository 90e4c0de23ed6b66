"""The report of an audit with one model: what its coins have shown."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

from syndata_jax.reporting import images
from syndata_jax.reporting.formats import level, percent
from syndata_jax.reporting.verdict import subject
from syndata_jax.rounding import rounded_down

# Some hundred non-members resolve no lower rate with any precision.
_QUOTED = "0.05"


def one_run_verdict(attack: Mapping[str, Any], canary_kind: str | None) -> str:
  """The bound as one or two sentences.

  Args:
    attack: the contents of `attack.json`.
    canary_kind: the config field, or None when it is not known.
  """
  bound = attack["epsilon_bound"]
  if not bound["coins"]:
    reason = bound["premise"].removeprefix("no bound: ")
    return f"No bound on epsilon can be stated: {reason}."
  text = (
    f"{bound['coins']:,} coins decided which {subject(canary_kind)} the model "
    "was trained on. "
  )
  if not bound["epsilon"]:
    return text + (
      "The attack guesses no more of them than chance explains; a stronger "
      "attack may find more."
    )
  return text + (
    f"The attack is right about {bound['correct']:,} of the "
    f"{bound['guesses']:,} that it is surest of: epsilon is at least "
    f"{rounded_down(bound['epsilon'])}."
  )


def one_run_table(attack: Mapping[str, Any]) -> Table:
  """How well the headline attack ranks the examples of each population."""
  table = Table(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
  table.add_column("Leakage", no_wrap=True)
  header = f"TPR at\n{level(float(_QUOTED))} FPR"
  for name in ("AUC", header):
    table.add_column(name, justify="right", no_wrap=True, style="bold")
    table.add_column("\n95% interval", no_wrap=True)
  records = {"canaries": attack["canaries"]["attacks"][0]}
  for name, record in attack.get("others", {}).items():
    records[f"{name}: canaries"] = record
  records |= images.records(attack, "canaries")
  if "average" in attack:
    records["average case"] = attack["average"]["attacks"][0]
  for name, record in records.items():
    auc, tpr = record["auc"], record["tpr_at_fpr"][_QUOTED]
    table.add_row(
      name,
      f"{auc['value']:.3f}",
      f"{auc['low']:.3f} to {auc['high']:.3f}",
      percent(tpr["value"]),
      f"{percent(tpr['low'])} to {percent(tpr['high'])}",
    )
  table.add_row("guessing", "0.500", "", percent(float(_QUOTED)), style="dim")
  return table
