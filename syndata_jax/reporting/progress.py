"""How far long stages are: a live bar each, or now and then a line in a log."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.progress import (
  BarColumn,
  MofNCompleteColumn,
  Progress,
  TaskID,
  TextColumn,
)
from rich.text import Text

from syndata_jax.reporting.formats import duration, percent, throughput

_LINES = 10


class Done(Protocol):
  """One round of a stage that is over, such as an epoch."""

  @property
  def stage(self) -> str:
    """Its name."""
    ...

  @property
  def number(self) -> int:
    """Of the round, since the start of the stage; 1 is the first."""
    ...

  @property
  def of(self) -> int:
    """Rounds of the whole stage."""
    ...

  @property
  def seconds(self) -> float:
    """What it took; the first one's include compilation."""
    ...

  @property
  def images(self) -> int:
    """Presented to all models together; 0 where a stage is not about them."""
    ...

  @property
  def left(self) -> int:
    """Images of the rounds to come."""
    ...

  @property
  def metrics(self) -> Mapping[str, Any]:
    """Of all models, [M] each; `accuracy` is a fraction."""
    ...


@contextmanager
def stage_progress(console: Console) -> Iterator[Callable[[Done], None]]:
  """Shows stages of many rounds, one after another, while the block runs.

  In a terminal each is a live bar; elsewhere it is a plain line about every
  tenth of its rounds, and one for the last, with the same numbers. Images per
  second and time left come from the rounds of the stage reported so far,
  without the first as soon as there is a second: it holds the compilation.
  Where rounds differ in their images, the time left follows those.

  Args:
    console: where to.

  Yields:
    `show(done)`, to be called after each round. A stage of another name begins
    another bar.
  """
  live = console.is_interactive
  tasks: dict[str, TaskID] = {}
  measured: dict[str, list[tuple[float, int]]] = {}
  with _bar(console, disable=not live) as bar:

    def show(done: Done) -> None:
      stage = done.stage
      if stage not in tasks:
        tasks[stage] = bar.add_task(stage, total=done.of, numbers="")
        measured[stage] = []
      measured[stage].append((done.seconds, done.images))
      numbers = _numbers(done, measured[stage])
      bar.update(tasks[stage], completed=done.number, numbers=numbers)
      if not live and _due(done.number, done.of):
        console.print(
          f"{stage}: round {done.number}/{done.of}, {numbers}",
          markup=False,
          highlight=False,
          soft_wrap=True,
        )

    yield show


def _numbers(done: Done, measured: list[tuple[float, int]]) -> str:
  steady = measured[1:] or measured
  spent = sum(seconds for seconds, _ in steady)
  images = sum(images for _, images in steady)
  if images:
    left = done.left * spent / images
    parts = [throughput(images / spent), f"{duration(left)} left"]
  else:
    left = (done.of - done.number) * spent / len(steady)
    parts = [f"{duration(left)} left"]
  for name in sorted(done.metrics, key=lambda name: (name != "loss", name)):
    mean = float(done.metrics[name].mean())
    shown = percent(mean) if name == "accuracy" else f"{mean:.3g}"
    parts.append(f"{name} {shown}")
  return ", ".join(parts)


def _due(number: int, of: int) -> bool:
  """Whether this round crosses a tenth of the whole."""
  return number * _LINES // of > (number - 1) * _LINES // of


class _Bar(Progress):
  """The bar with its numbers on a line below, so that both fit anywhere."""

  def get_renderables(self) -> Iterator[RenderableType]:
    yield self.make_tasks_table(self.tasks)
    for task in self.tasks:
      if task.fields["numbers"]:
        yield Text(task.fields["numbers"], style="dim")


def _bar(console: Console, disable: bool) -> _Bar:
  return _Bar(
    TextColumn("{task.description}", markup=False),
    BarColumn(bar_width=None),
    MofNCompleteColumn(),
    console=console,
    expand=True,
    disable=disable,
  )
