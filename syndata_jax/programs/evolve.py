"""syndata-evolve: a synthetic data set with a guarantee, without training.

    syndata-evolve --config=digits/evolve --out=runs/digits
    syndata-evolve --config=digits/evolve:epsilon1 --config.dataset=npz \
      --data_dir=PRIVATE.npz --out=runs/mine

Private Evolution: a public generator draws candidates, each private record
votes for the nearest, the votes are released with noise, and what was voted for
is varied and kept. --data_dir holds the private records, as in an audit: their
training part, and nothing else of them is read. Of a table or of texts
(`records` in the config) it is the file itself.

The folder --out gets release/images.npz (`images u8[S,H,W,C]`, `labels
i32[S]`), release/table.csv or release/texts.jsonl, with release/privacy.json,
the guarantee; progress.png, the noisy votes, the diversity and the spent
epsilon over the iterations; samples.png, some samples of every iteration
(samples/ of tables and texts). Nothing in it is private, and no count is
without its noise. evolution.npz, what was paid for, and noise.key, which is
there while a run goes on, are for their owner alone.

Started again on the same folder, a run continues where it was stopped; what was
released is not paid for again.
"""

import dataclasses
import time

import numpy as np
from absl import flags
from ml_collections import config_flags
from rich.console import Console

from syndata_jax.ensemble import Round, Workspace
from syndata_jax.ensemble.stages import OnRound
from syndata_jax.errors import UserError
from syndata_jax.evolution.evolve import Iteration, OnIteration, check, evolve
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.evolution.population import Population
from syndata_jax.paradigms.private_evolution.guarantee import new_ledger
from syndata_jax.programs import evolving, private_records, release, secret
from syndata_jax.programs import workdir as workdirs
from syndata_jax.programs.evolving import Evolving
from syndata_jax.programs.private_records import Entered
from syndata_jax.programs.samples import Samples
from syndata_jax.programs.start import start
from syndata_jax.reporting import stage_progress

# Other programs have flags of these names, and tests start them in one process.
_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The evolution to run: a file with get_config(), or a shipped one's name.",
  lock_config=False,
  accept_new_attributes=True,
  allow_override=True,
)
_DATA_DIR = flags.DEFINE_string(
  "data_dir", None, "Where the private records are.", allow_override=True
)
_OUT = flags.DEFINE_string(
  "out", None, "The folder of the release.", allow_override=True
)

_STAGE = "evolution"
# Epochs of the space of the votes between two checkpoints.
_EVERY = 10


def main() -> None:
  """Runs the evolution that the flags describe."""
  if _CONFIG.value is None:
    raise UserError("--config: name a file, or a shipped one: digits/evolve")
  if not _OUT.value:
    raise UserError("--out: name the folder of the release")
  given = config_flags.get_override_values(flags.FLAGS["config"])
  settings = evolving.from_config(_CONFIG.value, given.keys())
  entered = private_records.enter(settings, _DATA_DIR.value)
  run_evolution(settings, entered, _OUT.value, Console())


def run_evolution(
  settings: Evolving, entered: Entered, out: str, console: Console
) -> None:
  """Evolves and writes the folder, or finds it finished.

  Args:
    settings: of the run.
    entered: the private records.
    out: the folder.
    console: where to say how far it is.

  Raises:
    UserError: a folder with another run, a budget that the settings exceed, or
      a generator that fails; what was paid for is kept.
  """
  options = _options(settings)
  ledger = new_ledger(options, entered.num_records)
  check(options, ledger, entered.num_classes)
  # Of the private records their number alone: a digest would confirm a guess.
  facts = evolving.identity(settings) | {"num_records": entered.num_records}
  folder = workdirs.open_workdir(out, facts, "--out")
  if not release.is_complete(folder):
    key = secret.key_of(folder, settings.seed)
    with stage_progress(console) as show:
      task = entered.task(Workspace(folder, show, _EVERY))
      samples = Samples(folder, task)
      evolved = evolve(
        task.records,
        task.labels,
        task.embedding,
        task.api,
        ledger,
        key,
        options,
        entered.num_classes,
        folder,
        _reporter(options, samples, show, settings.records == "images"),
        lambda population: samples.add(0, population),
      )
    samples.draw()
    release.write(folder, settings, entered, task, evolved)
    for line in task.summary():
      _say(console, line)
  secret.forget(folder)
  for line in release.lines(folder):
    _say(console, line)
  _say(console, f"{release.folder_of(folder)}: the synthetic data")


def _reporter(
  options: EvolutionOptions, samples: Samples, show: OnRound, are_images: bool
) -> OnIteration:
  """What is told of every iteration.

  Args:
    options: of the run.
    samples: keeps some of each population.
    show: says how far it is.
    are_images: whether a rate of images is worth saying.
  """
  begin = time.perf_counter()

  def report(iteration: Iteration, population: Population) -> None:
    nonlocal begin
    samples.add(iteration.number, population)
    now = time.perf_counter()
    seconds, begin = now - begin, now
    images = len(population.labels) if are_images else 0
    last = options.num_iterations
    numbers = {"signal": iteration.signal.mass, "epsilon": iteration.epsilon}
    show(
      Round(
        _STAGE,
        iteration.number,
        last,
        seconds,
        images,
        (last - iteration.number) * images,
        {
          name: np.asarray([value], np.float32)
          for name, value in numbers.items()
        },
      )
    )

  return report


def _options(settings: Evolving) -> EvolutionOptions:
  """Those of the releases alone."""
  fields = dataclasses.fields(EvolutionOptions)
  return EvolutionOptions(
    **{field.name: getattr(settings, field.name) for field in fields}
  )


def _say(console: Console, line: str) -> None:
  console.print(line, highlight=False, markup=False, soft_wrap=True)


def run() -> None:
  """The console script."""
  start(main)


if __name__ == "__main__":
  run()
