"""What the images of a run are worth: `quality.json` in the workdir."""

import pathlib
from collections.abc import Sequence

from rich.console import Console

from syndata_jax import files
from syndata_jax.ensemble import Round, Workspace
from syndata_jax.images import FEATURES, Space, quality
from syndata_jax.programs import workdir as workdirs
from syndata_jax.programs.plan import Plan
from syndata_jax.programs.synthetic import stored
from syndata_jax.reporting import stage_progress

FILE = "quality.json"


def measure(
  plan: Plan,
  workdir: pathlib.Path,
  console: Console,
  spaces: Sequence[Space] = (),
) -> None:
  """Writes `quality.json` where the paradigm makes images, unless it is there.

  It reads the sets that the run has kept and no network of the audit, which may
  long be finished. Classifiers are trained in a stage of the workdir.

  Args:
    plan: the audit.
    workdir: of the run.
    console: where to say how far it is.
    spaces: beside that of features; one that the file does not have yet has it
      written again.
  """
  path = workdir / FILE
  if path.exists():
    known = files.read_json(path)["spaces"]
    if {FEATURES, *(space.name for space in spaces)} <= known.keys():
      return
  training_set = stored(plan, workdir / "synthetic")
  if training_set is None:
    return
  with stage_progress(console) as show:

    def on_round(done: Round) -> None:
      workdirs.add_metrics(workdir, done)
      show(done)

    every = plan.settings.performance.checkpoint_every
    record = quality(
      plan.paradigm,
      training_set,
      plan.private,
      plan.dataset,
      Workspace(workdir, on_round, every),
      spaces,
    )
  files.write_json(path, record)
