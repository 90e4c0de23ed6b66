"""Config files: those that are shipped, and what is wrong with one, in a line.

`--config` is the path of a Python file, or the name of a shipped one, such as
`digits/undefended`; an argument may follow either, as in `digits/dpsgd:strict`.
"""

import ast
import itertools
import os
import pathlib
import re
import runpy

from absl import flags
from ml_collections import ConfigDict

import syndata_jax
from syndata_jax import plugins
from syndata_jax.errors import UserError

_FLAG = re.compile("--?config")


def check(argv: list[str]) -> list[str]:
  """Tries the file of `--config` before the flags are parsed.

  The flag runs the file too, but hides some of its exceptions until a field
  is read and buries others in a printed traceback.

  Args:
    argv: the command line, its first entry the program.

  Returns:
    The command line, with a path in place of the name of a shipped config.

  Raises:
    UserError: the file does not exist, fails, or returns no config.
    absl.flags.Error: `--config` stands there without a value.
  """
  arguments = flags.FLAGS.read_flags_from_files(argv[1:], force_gnu=False)
  argv = [argv[0], *arguments]
  value = _value(argv)
  if value is None:
    return argv
  name, *argument = value.split(":", 1)
  file = str(_find(name))
  try:
    module = runpy.run_path(file)
    config = module["get_config"](*argument) if "get_config" in module else None
  except (Exception, SystemExit) as error:
    reason = plugins.describe(error, file)
    raise UserError(f"--config={name}: {reason}") from error
  if not isinstance(config, ConfigDict):
    raise UserError(
      f"--config={name}: must define get_config() that returns a ConfigDict,"
      " such as syndata_jax.programs.settings.defaults() with changes"
    )
  return _replaced(argv, value, ":".join([file, *argument]))


def shipped() -> dict[str, str]:
  """Names of the shipped configs, and the first line that each says of itself.

  They are read, not run.
  """
  return {
    name: (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]
    for name, path in sorted(_shipped().items())
  }


def _shipped() -> dict[str, pathlib.Path]:
  folder = pathlib.Path(syndata_jax.__file__).parent / "configs"
  return {
    path.relative_to(folder).with_suffix("").as_posix(): path
    for path in folder.glob("*/*.py")
  }


def _find(name: str) -> pathlib.Path:
  """The file of that path, or else the shipped one of that name."""
  path = pathlib.Path(os.path.expanduser(name))
  if path.is_file():
    return path
  files = _shipped()
  short = name.removeprefix("configs/").removesuffix(".py")
  if short in files:
    return files[short]
  raise UserError(
    f"--config={name}: no such file; a Python file needed, or one of"
    f" {', '.join(sorted(files))}{plugins.suggestion(short, list(files))}"
  )


def _value(argv: list[str]) -> str | None:
  """What follows `--config` on the command line."""
  alone = flags.FlagValues()
  flags.DEFINE_string("config", None, "", flag_values=alone)
  alone(argv, known_only=True)
  return alone["config"].value


def _replaced(argv: list[str], value: str, path: str) -> list[str]:
  """The command line with another value of `--config`, in both its forms."""
  replaced = argv[:1]
  for previous, argument in itertools.pairwise(argv):
    flag, _, given = argument.partition("=")
    if _FLAG.fullmatch(flag) and given == value:
      argument = f"{flag}={path}"
    elif _FLAG.fullmatch(previous) and argument == value:
      argument = path
    replaced.append(argument)
  return replaced
