"""What released images give away, beside the attack on the models."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from syndata_jax.reporting.formats import counted, percent

# Figures of `near_copies.json`, and what its lines are called.
_LINES = {
  "near_copies": "near-copies of a member",
  "near_copies_of_members": "  of the audited members",
  "near_copies_of_nonmembers": "  of as many non-members",
  "nearer_to_members": "nearest audited one is a member",
  "stands_out": "one neighbour stands out",
}
_HALF = 0.5


def rates(
  attack: Mapping[str, Any], population: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
  """Names and rates of the attack on images, for the table of leakage.

  Args:
    attack: the contents of `attack.json`.
    population: "canaries", "average" or "dummies".
  """
  for space, records in attack.get("images", {}).items():
    if population in records:
      network = space in attack.get("others", {})
      name = f"{space}'s logits on images" if network else f"images: {space}"
      yield f"  {name}", records[population]["tpr_at_fpr"]


def copies_table(record: Mapping[str, Any]) -> Table:
  """Shares of the synthetic images, a line for each figure in each space.

  Args:
    record: the contents of `near_copies.json`.
  """
  table = Table(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
  table.add_column("Synthetic images", no_wrap=True)
  table.add_column("share", justify="right", no_wrap=True, style="bold")
  table.add_column("95% interval", no_wrap=True)
  table.add_column("if none were copied", justify="right", no_wrap=True)
  honest = {
    "near_copies": percent(record["expected"]),
    "nearer_to_members": percent(_HALF),
  }
  for space, shares in record["spaces"].items():
    for figure, name in _LINES.items():
      if figure not in shares:
        continue
      share = shares[figure]
      interval = f"{percent(share['low'])} to {percent(share['high'])}"
      if record["models"] == 1:
        interval = ""
      if figure == "near_copies":
        name = f"{space}: {name}"
      table.add_row(
        name if figure == "near_copies" else f"  {name}",
        percent(share["value"]),
        interval,
        honest.get(figure, ""),
      )
  return table


def copies_facts(
  record: Mapping[str, Any], attack: Mapping[str, Any]
) -> dict[str, Sequence[str]]:
  """What was compared with what, in words.

  Args:
    record: as in `copies_table`.
    attack: the contents of `attack.json`.
  """
  sets = counted(record["models"], "set")
  lines = [
    f"{sets} of {counted(record['images'], 'image')}; near-copies are closer to"
    f" one of the model's private images than {percent(record['expected'])} of"
    f" {counted(record['heldout'], 'held-out real image')}",
    "features: of a network trained on the other half of the test images,"
    " taken as public",
  ]
  for space, records in attack.get("images", {}).items():
    away = records["canaries"]["distance"]
    lines.append(
      f"mean distance of canaries to the nearest image, {space}:"
      f" {away['members']:.3g} of members, {away['nonmembers']:.3g} of others"
    )
  return {"Images": lines}


def copies_note(record: Mapping[str, Any] | None) -> str | None:
  """A warning where images are copies, whatever an attack finds.

  That they are near alone may be blur; that they are nearer to what the model
  owns than to what it does not is copying.

  Args:
    record: as in `copies_table`; None where no images are released.
  """
  if record is None or record["models"] == 1:
    return None
  copied = [
    (space, shares)
    for space, shares in record["spaces"].items()
    if shares["near_copies"]["low"] > record["expected"]
    and shares.get("nearer_to_members", {"low": 0.0})["low"] > _HALF
  ]
  if not copied:
    return None
  space, shares = max(copied, key=lambda each: each[1]["near_copies"]["value"])
  return (
    f"{percent(shares['near_copies']['value'])} of the synthetic images are"
    f" near-copies of private ones (in {space}), and they lie nearer to what"
    " their model was made from than to what it was not: they show it, whatever"
    " the attack finds."
  )
