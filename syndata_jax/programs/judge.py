"""The second half of an audit: from logits to the report."""

import pathlib

from rich.console import Console

from syndata_jax import attack, reporting
from syndata_jax.attack import EpsilonBound, WhiteBoxBound
from syndata_jax.files import read_json, write, write_json
from syndata_jax.programs import audited, guarantee, images
from syndata_jax.programs.summary import training_summary
from syndata_jax.reporting import Report


def judge(
  workdir: pathlib.Path, console: Console, data_dir: str | None = None
) -> None:
  """Attacks `predictions.npz` and writes and prints the report.

  Args:
    workdir: of the run.
    console: where to; the most exposed canaries are printed there, too.
    data_dir: where the data came from, if that was said.

  Raises:
    GuaranteeBroken: the attack has refuted the run's privacy statement; the
      report is there nevertheless.
  """
  with console.status("Attacking all models"):
    report = make_report(workdir, data_dir)
  write_report(workdir, report)
  found, promised = report.attack, report.guarantee
  reporting.render(
    found,
    report.training,
    console,
    promised,
    report.given,
    report.near_copies,
  )
  exposed = reporting.most_exposed(report.per_canary(), console)
  console.print(exposed, highlight=False, crop=False)
  console.print(f"Everything is in {workdir}", highlight=False, markup=False)
  if promised is not None:
    bound = EpsilonBound(**found["epsilon_bound"])
    attack.check_claim(bound, promised.epsilon)
    if "white_box_bound" in found:
      attack.check_white_box_claim(
        WhiteBoxBound(**found["white_box_bound"]), promised.white_box_epsilon
      )


def make_report(workdir: pathlib.Path, data_dir: str | None = None) -> Report:
  """Attacks `predictions.npz`, unless `attack.json` says what was found."""
  file = attack.load_predictions(workdir / "predictions.npz")
  statement = guarantee.stated(workdir)
  result = workdir / "attack.json"
  if not result.exists():
    delta = attack.DEFAULT_DELTA if statement is None else statement.delta
    write_json(result, attack.attack(file, delta=delta))
  record = read_json(result)
  given = workdir / "given.json"
  return Report(
    record,
    file,
    training_summary(workdir, file, data_dir),
    guarantee.promised(statement, EpsilonBound(**record["epsilon_bound"])),
    *audited.read(workdir),
    read_json(given) if given.exists() else None,
    *images.read(workdir),
  )


def write_report(workdir: pathlib.Path, report: Report) -> None:
  """Writes what a person reads: `report.txt`, pictures, and who leaks.

  The last is for the owner of the data: nobody else may read these files.
  """
  write(workdir / "report.txt", report.table())
  report.losses(workdir / "losses.png")
  # The scores of one model resolve no low rates, so there is no curve to see.
  if report.predictions.canaries.membership.shape[1] > 1:
    report.roc(workdir / "roc.png")
  reporting.write_csv(workdir / "canaries.csv", report.per_canary())
  if report.predictions.average is not None:
    reporting.write_csv(workdir / "average.csv", report.per_average())
  if report.canaries is not None and report.canaries.images is not None:
    report.canary_sheet(workdir / "canaries.png")
  if report.pairs:
    report.closest_pairs(workdir / "near_copies.png")
