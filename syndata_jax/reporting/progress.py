"""How far a long stage is: a live bar, or now and then a line in a log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

# advance(epochs_done, seconds, images, loss, accuracy)
Advance = Callable[[int, float, int, float, float], None]

_LINES = 10


@contextmanager
def progress(
  description: str, total_epochs: int, console: Console
) -> Iterator[Advance]:
  """Shows a stage of many epochs while the block runs.

  In a terminal this is one live bar; elsewhere one plain line about every
  tenth of the epochs, and one for the last, with the same numbers. Images per
  second and time left come from the epochs reported so far, without the first
  as soon as there is a second: it holds the compilation.

  Args:
    description: the name of the stage.
    total_epochs: of the whole stage, at least 1.
    console: where to.

  Yields:
    `advance(epochs_done, seconds, images, loss, accuracy)`, to be called after
    each epoch: how many are done since the start of the stage (a resumed one
    starts above 1), what this one took and presented, and its mean loss and
    accuracy (a fraction).
  """
  live = console.is_interactive
  measured: list[tuple[float, int]] = []
  with _bar(console, disable=not live) as bar:
    task = bar.add_task(description, total=total_epochs, numbers="")

    def advance(
      epochs_done: int,
      seconds: float,
      images: int,
      loss: float,
      accuracy: float,
    ) -> None:
      measured.append((seconds, images))
      steady = measured[1:] or measured
      spent = sum(seconds for seconds, _ in steady)
      left = (total_epochs - epochs_done) * spent / len(steady)
      numbers = ", ".join(
        [
          throughput(sum(images for _, images in steady) / spent),
          f"{duration(left)} left",
          f"loss {loss:.3g}",
          f"accuracy {percent(accuracy)}",
        ]
      )
      bar.update(task, completed=epochs_done, numbers=numbers)
      if not live and _due(epochs_done, total_epochs):
        console.print(
          f"{description}: epoch {epochs_done}/{total_epochs}, {numbers}",
          markup=False,
          highlight=False,
          soft_wrap=True,
        )

    yield advance


@contextmanager
def stage_progress(
  console: Console,
) -> Iterator[Callable[[str, int, int, float, float], None]]:
  """Shows stages of many rounds, one after another, while the block runs.

  The time left comes from the rounds of the stage reported so far, without the
  first as soon as there is a second.

  Args:
    console: where to; as `progress`.

  Yields:
    `show(stage, number, of, seconds, loss)`, to be called after each round:
    the name of its stage, its number and how many there are, what it took,
    and its mean loss. Another name begins another bar.
  """
  live = console.is_interactive
  tasks: dict[str, TaskID] = {}
  measured: dict[str, list[float]] = {}
  with _bar(console, disable=not live) as bar:

    def show(
      stage: str, number: int, of: int, seconds: float, loss: float
    ) -> None:
      if stage not in tasks:
        tasks[stage] = bar.add_task(stage, total=of, numbers="")
        measured[stage] = []
      measured[stage].append(seconds)
      steady = measured[stage][1:] or measured[stage]
      left = (of - number) * sum(steady) / len(steady)
      numbers = f"{duration(left)} left, loss {loss:.3g}"
      bar.update(tasks[stage], completed=number, numbers=numbers)
      if not live and _due(number, of):
        console.print(
          f"{stage}: round {number}/{of}, {numbers}",
          markup=False,
          highlight=False,
          soft_wrap=True,
        )

    yield show


def _due(epoch: int, total: int) -> bool:
  """Whether this epoch crosses a tenth of the whole."""
  return epoch * _LINES // total > (epoch - 1) * _LINES // total


class _Bar(Progress):
  """The bar with its numbers on a line below, so that both fit anywhere."""

  def get_renderables(self) -> Iterator[RenderableType]:
    yield self.make_tasks_table(self.tasks)
    for task in self.tasks:
      if task.fields["numbers"]:
        yield Text(task.fields["numbers"], style="dim")


def _bar(console, disable):
  return _Bar(
    TextColumn("{task.description}", markup=False),
    BarColumn(bar_width=None),
    MofNCompleteColumn(),
    console=console,
    expand=True,
    disable=disable,
  )
