"""What released images give away, beside the attack on the models."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from syndata_jax.reporting.formats import counted, percent

# Figures of `near_copies.json`, and what its lines are called.
_LINES = {
  "near_copies_of_members": "of an audited member",
  "near_copies_of_nonmembers": "of as many non-members",
  "nearer_to_members": "nearest audited: a member",
  "stands_out": "one neighbour stands out",
}
_OF_LABEL = "_of_label"
_HALF = 0.5


def records(
  attack: Mapping[str, Any], population: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
  """Names and figures of the attack on images, for the table of leakage.

  Args:
    attack: the contents of `attack.json`.
    population: "canaries", "average" or "dummies".
  """
  for space, populations in attack.get("images", {}).items():
    if population in populations:
      if space in attack.get("others", {}):
        name = f"{space}'s logits on images"
      else:
        name = f"images: {space.replace(_OF_LABEL, '+label')}"
      yield f"  {name}", populations[population]


def copies_table(record: Mapping[str, Any]) -> Table:
  """Shares of the synthetic images, a line for each figure in each space.

  Args:
    record: the contents of `near_copies.json`.
  """
  table = Table(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
  table.add_column("Synthetic\nimages", no_wrap=True)
  table.add_column("\nshare", justify="right", no_wrap=True, style="bold")
  table.add_column("\n95% interval", no_wrap=True)
  table.add_column("if none\nwere copied", justify="right", no_wrap=True)
  for space, shares in record["spaces"].items():
    honest = {
      "near_copies": record["expected"],
      "nearer_to_members": _HALF,
      "stands_out": shares["heldout_stands_out"],
    }
    lines = {"near_copies": f"{space}: near-copies of a member"} | {
      figure: f"  {name}" for figure, name in _LINES.items()
    }
    for figure, name in lines.items():
      if figure not in shares:
        continue
      share = shares[figure]
      interval = f"{percent(share['low'])} to {percent(share['high'])}"
      table.add_row(
        name,
        percent(share["value"]),
        interval if record["models"] > 1 else "",
        percent(honest[figure]) if figure in honest else "",
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
    f"{sets} of {counted(record['images'], 'image')}; a near-copy is closer to"
    f" a private image of its model than {percent(1 - record['expected'])} of"
    f" {counted(record['heldout'], 'held-out real image')} are",
    "features are those of a network trained on the other test images, taken as"
    " public; +label: only images of an example's label count",
  ]
  away = {
    space: populations["canaries"]["distance"]
    for space, populations in attack.get("images", {}).items()
    if not space.endswith(_OF_LABEL)
  }
  means = [
    f"{space} {each['members']:.3g} and {each['nonmembers']:.3g}"
    for space, each in away.items()
  ]
  if means:
    lines.append(
      "mean distance of canaries, members and not, to the nearest image:"
      f" {', '.join(means)}"
    )
  return {"Images": lines}


def copies_note(record: Mapping[str, Any] | None) -> str | None:
  """A warning where images are copies, whatever an attack finds.

  That they are near alone may be blur; that they are nearer to what the model
  owns than to what it does not, or near to more of it, is copying.

  Args:
    record: as in `copies_table`; None where no images are released.
  """
  if record is None or record["models"] == 1:
    return None
  copied = [
    (space, shares)
    for space, shares in record["spaces"].items()
    if shares["near_copies"]["low"] > record["expected"]
    and _favours_members(shares)
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


def _favours_members(shares: Mapping[str, Any]) -> bool:
  """Whether the images of one space lie nearer to members than to others."""
  if "nearer_to_members" not in shares:
    return False
  low = shares["near_copies_of_members"]["low"]
  if low > shares["near_copies_of_nonmembers"]["high"]:
    return True
  return bool(shares["nearer_to_members"]["low"] > _HALF)
