"""syndata-audit: does training with a paradigm protect the private data?

    syndata-audit --config=digits/undefended --workdir=runs/digits
    syndata-audit --config=my_config.py --workdir=runs/mine
    syndata-audit --predictions=logits.npz --workdir=runs/elsewhere

The first two train shadow models and attack them, the third attacks what models
said that were trained elsewhere; syndata-split draws who trains on what.
Started again on the same workdir, a run continues where it was stopped. With
--dry_run the first compiles, prints what each stage will cost, and stops. With
--config.audit=one_run it trains one model instead. --list prints the configs
that are shipped, and the paradigms, networks and data sets that there are.

--predictions is an .npz, or a folder of .npy files, of `membership`, bool[Q,M]
for Q examples and M models, and one of these:

    logits, labels           float[Q,M,K] or, with A views, [Q,M,A,K]; int[Q].
                             Log-probabilities and probabilities do as well;
                             one output, [Q,M], is for the labels 0 and 1
    probabilities, labels    the same
    losses                   float[Q,M] or [Q,M,A]: cross-entropy, in nats
    confidences              probability of the label
    scores                   of an attack of your own, high for a member

and, with the prefixes average_ and dummy_, of ordinary examples and of dummies;
test_accuracy, float[M]; target, the one model to judge; closeness_NAME,
float[Q,M], how close the images that a model released come to an example (minus
the distance to the nearest), for the attack on images alone. Or it is a .csv
with the columns example, model, member, and loss, confidence, score, or label
and one column for each class. Each row needs two members and two non-members;
with a target two other non-members; a single model must come from fair coins.

The exit code is 3 where a paradigm promises an epsilon that the attack refutes,
and 2 after a mistake in what was given.
"""

from absl import flags
from ml_collections import config_flags
from rich.console import Console

from syndata_jax import models, paradigms, plugins
from syndata_jax.data import sources
from syndata_jax.ensemble.layout import AXES
from syndata_jax.errors import UserError
from syndata_jax.images import inception
from syndata_jax.programs import (
  config_file,
  dry_run,
  given,
  judge,
  quality,
  settings,
  shadows,
)
from syndata_jax.programs.plan import make_plan
from syndata_jax.programs.start import start

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The audit to run: a file with get_config(), or the name of a shipped one.",
  # An unknown field is left to `settings`, which lists the known ones.
  lock_config=False,
  accept_new_attributes=True,
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Where the run's files go.")
_DATA_DIR = flags.DEFINE_string(
  "data_dir", None, "Where the data set's own files are."
)
_PREDICTIONS = flags.DEFINE_string(
  "predictions",
  None,
  "Attack these instead of training: an .npz, a folder of .npy or a .csv; see"
  " above.",
)
_TARGET = flags.DEFINE_string(
  "target",
  None,
  "Of --predictions: the one model to judge, from 0, or its name in a .csv; the"
  " others are references.",
)
_TITLE = flags.DEFINE_string("title", None, "Of the report and its figures.")
_FACTS = flags.DEFINE_string(
  "facts", None, "A JSON file of one flat object, printed in the report."
)
_INCEPTION = flags.DEFINE_string(
  "inception",
  None,
  "A TorchScript file of Inception features, such as NVIDIA's"
  " inception-2015-12-05.pt, for the FID of synthetic images; needs PyTorch.",
)
_DEVICE_AXIS = flags.DEFINE_enum(
  "device_axis", "shard_map", AXES, "How models are split over devices."
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run", False, "Compile, print what each stage will cost, and stop."
)
_LIST = flags.DEFINE_bool(
  "list", False, "Print what the config can name, and stop."
)


def main() -> None:
  """Runs the audit that the flags describe."""
  if _LIST.value:
    return _list()
  if _DRY_RUN.value:
    return _predict_costs()
  if not _WORKDIR.value:
    raise UserError("--workdir: name the folder for the run's files")
  if (_CONFIG.value is None) == (_PREDICTIONS.value is None):
    raise UserError("give one of --config=FILE.py and --predictions=FILE.npz")
  if _TARGET.value is not None and _PREDICTIONS.value is None:
    raise UserError("--target: needs --predictions, one of whose models it is")
  facts = given.read_facts(_FACTS.value)
  notes: tuple[str, ...] = ()
  console = Console()
  if _PREDICTIONS.value is not None:
    workdir, (_, notes) = given.take_in(
      _PREDICTIONS.value, _WORKDIR.value, _TARGET.value
    )
    for note in notes:
      console.print(note, highlight=False, markup=False, soft_wrap=True)
  else:
    plan = make_plan(_settings(), _DATA_DIR.value, _DEVICE_AXIS.value)
    # Read first: a missing file is known before a day of training.
    spaces = [inception(_INCEPTION.value)] if _INCEPTION.value else []
    workdir = shadows.train_and_query(plan, _WORKDIR.value, console)
    quality.measure(plan, workdir, console, spaces)
  given.keep(workdir, _TITLE.value, facts, notes)
  judge.judge(workdir, console, _DATA_DIR.value)


def _list() -> None:
  """Prints every name that `--config` and its fields know."""
  print("--config=NAME or NAME:ARGUMENT")
  configs = config_file.shipped()
  for name, line in configs.items():
    print(f"  {name:{max(map(len, configs))}}  {line}")
  for module in (paradigms, models, sources):
    point = module.EXTENSION_POINT
    print(f"--config.{point.field}=NAME, or package.module, or path/file.py")
    for name in point.names:
      print(f"  {name}")
    for name, target in plugins.installed(point).items():
      print(f"  {name}  ({target})")


def _predict_costs() -> None:
  if _CONFIG.value is None:
    raise UserError("--dry_run: needs --config=FILE.py, the audit to predict")
  dry_run.dry_run(_settings(), _DATA_DIR.value, _DEVICE_AXIS.value, Console())


def _settings() -> settings.Settings:
  given = config_flags.get_override_values(flags.FLAGS["config"])
  return settings.from_config(_CONFIG.value, given.keys())


def run() -> None:
  """The console script."""
  start(main)


if __name__ == "__main__":
  run()
