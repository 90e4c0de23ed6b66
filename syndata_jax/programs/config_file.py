"""Config files are programs of the user: what is wrong with one, in a line."""

import pathlib
import runpy
import traceback

from absl import flags
from ml_collections import ConfigDict

from syndata_jax.errors import UserError


def check(argv: list[str]) -> None:
  """Tries the file of `--config` before the flags are parsed.

  The flag runs the file too, but hides some of its exceptions until a field
  is read and buries others in a printed traceback.

  Raises:
    UserError: the file does not exist, fails, or returns no config.
    absl.flags.Error: `--config` stands there without a value.
  """
  path = _path(argv)
  if path is None:
    return
  file, *argument = path.split(":", 1)
  if not pathlib.Path(file).is_file():
    raise UserError(f"--config={file}: no such file; a Python file needed")
  try:
    module = runpy.run_path(file)
    config = module["get_config"](*argument) if "get_config" in module else None
  except (Exception, SystemExit) as error:
    raise UserError(f"--config={file}: {_describe(error, file)}") from error
  if not isinstance(config, ConfigDict):
    raise UserError(
      f"--config={file}: must define get_config() that returns a ConfigDict,"
      " such as syndata_jax.programs.settings.defaults() with changes"
    )


def _path(argv: list[str]) -> str | None:
  """What follows `--config` on the command line."""
  alone = flags.FlagValues()
  flags.DEFINE_string("config", None, "", flag_values=alone)
  alone(argv, known_only=True)
  return alone["config"].value


def _describe(error: BaseException, file: str) -> str:
  """Line of the file, kind of the error and first line of its message."""
  lines = [
    frame.lineno
    for frame in traceback.extract_tb(error.__traceback__)
    if frame.filename == file
  ]
  if isinstance(error, SyntaxError):
    lines, text = [error.lineno], error.msg
  else:
    text = str(error).strip().split("\n")[0]
  place = f"line {lines[-1]}: " if lines else ""
  return f"{place}{type(error).__name__}: {text}"
