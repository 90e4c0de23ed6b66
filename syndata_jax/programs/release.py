"""The folder of a synthetic data set, and the pictures beside it.

`release/privacy.json` is written last: where it is, all is.
"""

import math
import pathlib

from syndata_jax import files
from syndata_jax.evolution.evolve import Evolved
from syndata_jax.evolution.task import Task
from syndata_jax.paradigms.private_evolution.guarantee import (
  PUBLIC,
  grouped,
  shares,
)
from syndata_jax.privacy import PrivacyStatement
from syndata_jax.programs.evolving import SECRET, Evolving
from syndata_jax.programs.private_records import Entered
from syndata_jax.reporting.evolution import Progress, progress_figure

_RELEASE, _STATEMENT = "release", "privacy.json"
_CHECK, _PROGRESS = "start_check.txt", "progress.png"
_UNITS = {
  "images": "one record, an image with its label",
  "table": "one record, a row of the table",
  "texts": "one record, a text with its label",
}
_KNOWN_SEED = (
  "nobody who sees the release knows the seed, which was set in the config: it"
  " gives away the noise"
)


def folder_of(folder: pathlib.Path) -> pathlib.Path:
  """What may be published of the folder of a run."""
  return folder / _RELEASE


def is_complete(folder: pathlib.Path) -> bool:
  """Whether a run is over."""
  return (folder_of(folder) / _STATEMENT).exists()


def write(
  folder: pathlib.Path,
  settings: Evolving,
  entered: Entered,
  task: Task,
  evolved: Evolved,
) -> None:
  """Writes what a run has made.

  Args:
    folder: of the run.
    settings: of the run.
    entered: of the private records, what is public.
    task: knows how to write them.
    evolved: the result.
  """
  release = folder_of(folder)
  release.mkdir(exist_ok=True)
  task.write(release, evolved.rendered, evolved.labels)
  if evolved.check is not None:
    files.write(release / _CHECK, evolved.check.sentence + "\n")
  history = evolved.history
  progress = Progress(
    signal=[each.signal.mass for each in history],
    noise=[each.signal.null_mass for each in history],
    diversity=[each.ancestors / settings.num_samples for each in history],
    epsilon=[each.epsilon for each in history],
    budget=evolved.ledger.budget or math.inf,
    delta=evolved.ledger.delta,
  )
  progress_figure(folder / _PROGRESS, progress, "Private Evolution")
  statement = _statement(settings, entered, task, evolved)
  files.write_json(release / _STATEMENT, statement.as_dict())


def lines(folder: pathlib.Path) -> list[str]:
  """What a run promises, and what its start check said, for a person."""
  release = folder_of(folder)
  stored = files.read_json(release / _STATEMENT)
  said = PrivacyStatement.from_dict(stored).lines()
  if (release / _CHECK).exists():
    said.append((release / _CHECK).read_text(encoding="utf-8").strip())
  return said


def _statement(
  settings: Evolving, entered: Entered, task: Task, evolved: Evolved
) -> PrivacyStatement:
  """The guarantee; the arguments are those of `write`."""
  seed = () if settings.seed == SECRET else (_KNOWN_SEED,)
  public = (
    *PUBLIC,
    *entered.public,
    shares(settings),
    *task.api.public,
    *filter(None, [task.embedding.public]),
  )
  return grouped(evolved.ledger).statement(
    public=public,
    unit=_UNITS[settings.records],
    tuning=settings.tuning,
    assumptions=(*settings.assumptions, *seed),
  )
