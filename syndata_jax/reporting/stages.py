"""What each stage of an audit is expected to cost."""

from collections.abc import Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from syndata_jax.reporting.formats import duration, memory, operations


class Stage(NamedTuple):
  """A prediction for one stage."""

  name: str
  seconds: float
  memory: int | None  # bytes on one device, None where it is not known
  models: int = 0  # 0 where the stage is not about models
  flops: float = 0.0  # of all models together
  note: str = ""


def render_stages(
  stages: Sequence[Stage], device: str, capacity: int | None, console: Console
) -> None:
  """Prints a table of the stages, their sum, and a note for each that has one.

  Args:
    stages: in their order.
    device: what they run on, such as `8 x NVIDIA H100`.
    capacity: bytes of one device, None where it does not say.
    console: where to.
  """
  table = Table(box=box.SIMPLE_HEAD, show_edge=False)
  table.add_column("Stage", no_wrap=True)
  for header in ("models", "operations", "time", "memory"):
    table.add_column(header, justify="right", no_wrap=True)
  for stage in stages:
    table.add_row(
      stage.name,
      str(stage.models or ""),
      operations(stage.flops) if stage.flops else "",
      duration(stage.seconds),
      "not known" if stage.memory is None else memory(stage.memory),
    )
  table.add_section()
  total = sum(stage.seconds for stage in stages)
  flops = operations(sum(stage.flops for stage in stages))
  table.add_row("all", "", flops, duration(total), "", style="bold")
  console.print(table, highlight=False)
  for stage in stages:
    if stage.note:
      console.print(f"{stage.name}: {stage.note}.", highlight=False)
  holds = f", {memory(capacity)} each" if capacity else ""
  console.print(f"Predicted for {device}{holds}.", highlight=False)
