"""Paradigms, networks and data sets that are not part of this package.

The config fields `paradigm`, `model` and `dataset` each name a module. Besides
a built-in name they take

| value | what it is |
|---|---|
| `package.module` | any module that is installed or on `PYTHONPATH` |
| `path/file.py` | a file; relative to the working directory, `~` is expanded |
| a name | an installed entry point, of the field's group |

A module defines one function, `make` or `load`. A package announces its own
ones in its `pyproject.toml`:

    [project.entry-points."syndata_jax.paradigms"]
    mixup = "my_package.mixup"

Built-in names come first, then entry points.
"""

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import pathlib
import re
import sys
import traceback
from types import ModuleType
from typing import Any, NamedTuple

from syndata_jax.errors import UserError


class ExtensionPoint(NamedTuple):
  """A config field whose value names a module.

  Attributes:
    field: of the config, as errors call it.
    function: what the module must define, as `make(num_classes)`.
    group: of entry points.
    names: built-in ones.
    package: whose modules of these names they are; "" where they are none.
  """

  field: str
  function: str
  group: str
  names: tuple[str, ...]
  package: str = ""

  def refusal(self, value: Any, problem: str) -> UserError:
    """The error that says what is wrong with a value of the field."""
    return UserError(f"{self.field}={value!r}: {problem}")


def resolve(point: ExtensionPoint, value: str) -> ModuleType:
  """The module that a value of the field names, imported once.

  Args:
    point: the field.
    value: a built-in name of a module, an entry point, `package.module` or
      `path/file.py`.

  Returns:
    The module, which has the function.

  Raises:
    UserError: no such name, file or module, one that does not import (line,
      kind and first line of its error), or one without the function.
  """
  if not isinstance(value, str):
    raise _unknown(point, value)
  if value in point.names and point.package:
    return importlib.import_module(f"{point.package}.{value}")
  if value.endswith(".py") or "/" in value or os.sep in value:
    module = _from_file(point, value)
  elif value in (entries := installed(point)):
    module = _imported(point, value, entries[value])
  elif "." in value:
    module = _imported(point, value, value)
  else:
    raise _unknown(point, value)
  if not callable(getattr(module, point.function.split("(")[0], None)):
    raise point.refusal(value, f"has no {point.function}; must define it")
  return module


def installed(point: ExtensionPoint) -> dict[str, str]:
  """The field's entry points: names, and the module that each stands for."""
  entries = importlib.metadata.entry_points(group=point.group)
  # Of two with one name the first on the path counts, as in an import.
  return {entry.name: entry.value for entry in reversed(tuple(entries))}


def digest(point: ExtensionPoint, value: str) -> str | None:
  """SHA-256 of the source file behind a value, None for a built-in name.

  The version of this package says what a built-in name stands for; a file may
  change between two starts of one run. What the file imports is not covered.

  Raises:
    UserError: see `resolve`.
  """
  if value in point.names:
    return None
  source = pathlib.Path(str(resolve(point, value).__file__))
  return hashlib.sha256(source.read_bytes()).hexdigest()


def describe(error: BaseException, file: str | None) -> str:
  """What went wrong in a user's own code, in one line.

  Args:
    error: with its traceback.
    file: whose line is wanted, as the traceback calls it; None for no line.

  Returns:
    The line of the file, the kind of the error and the first line of its
    message.
  """
  lines = [
    frame.lineno
    for frame in traceback.extract_tb(error.__traceback__)
    if frame.filename == file
  ]
  text = str(error).strip().split("\n")[0]
  if isinstance(error, SyntaxError):
    text = error.msg
    if error.filename == file:
      lines = [error.lineno]
  place = f"line {lines[-1]}: " if lines else ""
  return f"{place}{type(error).__name__}" + (f": {text}" if text else "")


def suggestion(value: Any, names: list[str]) -> str:
  """The name that a misspelt one is nearest to, as the end of a message."""
  nearest = difflib.get_close_matches(str(value), names, n=1)
  return f"; did you mean {nearest[0]}?" if nearest else ""


def _unknown(point: ExtensionPoint, value: Any) -> UserError:
  names = sorted({*point.names, *installed(point)})
  return point.refusal(
    value,
    f"must be one of {', '.join(names)}, or a module (package.module) or file"
    f" (path/file.py) that defines {point.function}"
    f"{suggestion(value, names)}",
  )


def _from_file(point: ExtensionPoint, value: str) -> ModuleType:
  """The module of a file, under a name that no other module has.

  Dataclasses and pickles look their module up in `sys.modules`.
  """
  path = pathlib.Path(os.path.expanduser(value)).resolve()
  if not path.is_file() or path.suffix != ".py":
    raise point.refusal(value, "no such file; a Python file (.py) needed")
  key = hashlib.sha256(str(path).encode()).hexdigest()[:12]
  stem = re.sub(r"\W", "_", path.stem)
  name = f"syndata_jax_plugin_{stem}_{key}"
  if name in sys.modules:
    return sys.modules[name]
  spec = importlib.util.spec_from_file_location(name, path)
  assert spec and spec.loader  # every .py file has them
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module
  try:
    spec.loader.exec_module(module)
  except BaseException as error:
    del sys.modules[name]
    if isinstance(error, (Exception, SystemExit)):
      raise _broken(point, value, error, str(path)) from error
    raise
  return module


def _imported(point: ExtensionPoint, value: str, name: str) -> ModuleType:
  """The module of a dotted name, which is the value or stands behind it."""
  file = None
  try:
    spec = importlib.util.find_spec(name)  # imports the packages above it
    file = spec.origin if spec else None
    return importlib.import_module(name)
  except (Exception, SystemExit) as error:
    raise _broken(point, value, error, file) from error


def _broken(
  point: ExtensionPoint, value: str, error: BaseException, file: str | None
) -> UserError:
  return point.refusal(value, f"does not import: {describe(error, file)}")
