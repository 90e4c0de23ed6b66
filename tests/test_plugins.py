"""Modules of others: files, packages, entry points, and what is wrong."""

import dataclasses
import hashlib
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax import data, models, paradigms, plugins
from syndata_jax.data import sources
from syndata_jax.ensemble import Engine, Recipe, make_layout
from syndata_jax.errors import UserError
from syndata_jax.paradigms import Paradigm, Private, undefended

POINTS = {
  "paradigm": paradigms.EXTENSION_POINT,
  "model": models.EXTENSION_POINT,
  "dataset": sources.EXTENSION_POINT,
}


def line(error):
  """The message of a refusal, which is one line."""
  message = str(error.value)
  assert "\n" not in message
  return message


@pytest.fixture
def file(tmp_path):
  """`file(text)`: the path of a new Python file."""

  def write(text, name="mine.py"):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path

  return write


@pytest.fixture
def importable(tmp_path, monkeypatch):
  """A folder that packages and distributions can be put into."""
  monkeypatch.syspath_prepend(tmp_path)
  return tmp_path


def install(folder, group, name, module):
  """What pip leaves of a distribution with one entry point."""
  info = folder / f"{name}_distribution-1.0.dist-info"
  info.mkdir()
  (info / "METADATA").write_text(
    f"Metadata-Version: 2.1\nName: {name}-distribution\nVersion: 1.0\n"
  )
  (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")


def test_a_built_in_name_is_a_module_of_the_package():
  assert plugins.resolve(POINTS["paradigm"], "undefended") is undefended


def test_one_file_is_one_module_however_it_is_named(
  file, tmp_path, monkeypatch
):
  path = file("count = []\ndef make(num_classes):\n  count.append(1)\n")
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("HOME", str(tmp_path))
  modules = [
    plugins.resolve(POINTS["model"], value)
    for value in (str(path), "mine.py", "./mine.py", "~/mine.py")
  ]
  assert all(module is modules[0] for module in modules)
  assert plugins.resolve(POINTS["paradigm"], str(path)) is modules[0]


def test_files_of_one_name_are_two_modules(file):
  first = file("name = 1\ndef make(): ...\n", "a/mine.py")
  second = file("name = 2\ndef make(): ...\n", "b/mine.py")
  names = [
    plugins.resolve(POINTS["model"], str(path)).name for path in (first, second)
  ]
  assert names == [1, 2]


def test_what_a_file_defines_can_be_pickled(file):
  """A dataclass whose annotations are strings, as dataclasses look them up."""
  path = file(
    "from __future__ import annotations\nimport dataclasses\n"
    "from typing import ClassVar\n"
    "@dataclasses.dataclass(frozen=True)\nclass Options:\n"
    "  KIND: ClassVar[int] = 3\n  width: int = 2\n"
    "def make(engine, options, private): ...\n"
  )
  options = paradigms.options_type(str(path))
  assert [field.name for field in dataclasses.fields(options)] == ["width"]
  assert pickle.loads(pickle.dumps(options(5))) == options(5)


def test_a_module_of_a_package(importable, file):
  file("", "some_package/__init__.py")
  file("def make(num_classes): ...\n", "some_package/network.py")
  module = plugins.resolve(POINTS["model"], "some_package.network")
  assert module.__name__ == "some_package.network"


def test_an_installed_entry_point(importable, file):
  file("def make(num_classes): ...\n", "entered.py")
  install(importable, "syndata_jax.models", "tiny-net", "entered")
  module = plugins.resolve(POINTS["model"], "tiny-net")
  assert module.__name__ == "entered"
  assert plugins.installed(POINTS["model"])["tiny-net"] == "entered"
  assert "tiny-net" not in plugins.installed(POINTS["paradigm"])
  with pytest.raises(UserError) as error:
    plugins.resolve(POINTS["model"], "tiny-nets")
  assert line(error).endswith("; did you mean tiny-net?")


def test_a_broken_entry_point(importable):
  install(importable, "syndata_jax.datasets", "gone", "surely_not_there")
  with pytest.raises(UserError) as error:
    data.load("gone")
  assert line(error).startswith(
    "dataset='gone': does not import: ModuleNotFoundError: No module named"
  )


@pytest.mark.parametrize("field", POINTS)
@pytest.mark.parametrize(
  ("text", "problem"),
  [
    ("def other(): ...\n", r"has no (make|load)\(.*\); must define it"),
    ("make = load = 3\n", r"has no (make|load)\(.*\); must define it"),
    ("x = (\n", r"does not import: line 1: SyntaxError: "),
    ("\nimport surely_not_there\n", r"line 2: ModuleNotFoundError: No module"),
    ("raise ValueError('one\\ntwo')\n", r"line 1: ValueError: one$"),
    ("raise SystemExit\n", r"line 1: SystemExit$"),
  ],
)
def test_a_file_that_is_no_plugin(file, field, text, problem):
  path = file(text)
  for _ in range(2):  # a broken module is not kept
    with pytest.raises(UserError) as error:
      plugins.resolve(POINTS[field], str(path))
    assert line(error).startswith(f"{field}={str(path)!r}: ")
    assert re.search(problem, line(error))


def test_a_package_that_does_not_import(importable, file):
  file("", "broken_package/__init__.py")
  file("\n\n1 / 0\n", "broken_package/network.py")
  with pytest.raises(UserError) as error:
    plugins.resolve(POINTS["model"], "broken_package.network")
  assert line(error) == (
    "model='broken_package.network': does not import: line 3:"
    " ZeroDivisionError: division by zero"
  )


@pytest.mark.parametrize(
  ("field", "value", "problem"),
  [
    ("model", "nets/mine.py", "no such file; a Python file"),
    ("model", "mine.py", "no such file"),
    ("dataset", "my/folder", "no such file"),
    ("paradigm", "no_package.at_all", "No module named 'no_package'"),
    ("paradigm", "..", "does not import"),
    ("paradigm", "undefnded", "must be one of coreset, data_free, "),
    ("paradigm", "undefnded", r"did you mean undefended\?$"),
    ("paradigm", "undefnded", r"or a module \(package.module\) or file \("),
    ("model", "resnet", r"must be one of convnet, .* did you mean resnet18\?"),
    ("dataset", "cifar", "must be one of cifar10, .*did you mean cifar10"),
    ("dataset", "", r"defines load\(data_dir\)$"),
    ("model", 3, "must be one of convnet"),
  ],
)
def test_nothing_of_that_name(field, value, problem, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError) as error:
    plugins.resolve(POINTS[field], value)
  assert line(error).startswith(f"{field}={value!r}: ")
  assert re.search(problem, line(error))


def test_the_digest_is_that_of_the_file(file):
  text = "def make(num_classes): ...\n"
  path = file(text)
  digest = plugins.digest(POINTS["model"], str(path))
  assert digest == hashlib.sha256(text.encode()).hexdigest()
  assert plugins.digest(POINTS["model"], "convnet") is None
  assert plugins.digest(POINTS["dataset"], "digits") is None


_PARADIGM = """
import dataclasses
from syndata_jax.paradigms import undefended

@dataclasses.dataclass(frozen=True)
class Options:
  seen: int = 4

def make(engine, options, private):
  return undefended.make(engine, options, private)._replace(
    statement=f"{options.seen} {private}")
"""


def test_a_paradigm_of_a_file(file):
  path = str(file(_PARADIGM))
  options = paradigms.options_type(path)(seen=7)
  private = Private(
    np.zeros((6, 4, 4, 1), np.uint8),
    np.zeros(6, np.int32),
    np.array([[0, 1, 2, 3]], np.int32),
    2,
  )
  engine = Engine(
    models.create("convnet", 2, width=2, depth=1),
    Recipe(batch_size=2),
    make_layout(1, devices=jax.devices()[:1]),
    (0.5,),
    (0.5,),
    jnp.dtype("float32"),
  )
  paradigm = paradigms.create(path, engine, options, private)
  assert isinstance(paradigm, Paradigm)
  assert paradigm.statement.startswith("7 Private(")


def test_a_paradigm_without_options(file):
  path = file("def make(engine, options, private):\n  return options\n")
  options = paradigms.options_type(str(path))
  assert dataclasses.fields(options) == ()
  with pytest.raises(UserError) as error:
    paradigms.create(str(path), None, options(), None)
  assert line(error) == (
    f"paradigm={str(path)!r}: make returned NoOptions: must be a"
    " syndata_jax.paradigms.Paradigm"
  )


_DATACLASS = "import dataclasses\n@dataclasses.dataclass"


@pytest.mark.parametrize(
  ("options", "problem"),
  [
    ("Options = {'width': 3}", "Options must be a frozen dataclass"),
    ("class Options: ...", "Options must be a frozen dataclass"),
    (f"{_DATACLASS}\nclass Options:\n  n: int = 0", "Options must be a frozen"),
    (
      f"{_DATACLASS}(frozen=True)\nclass Options:\n  n: int",
      r"Options.n has no default",
    ),
  ],
)
def test_options_that_are_none(file, options, problem):
  path = file(f"{options}\ndef make(engine, options, private): ...\n")
  with pytest.raises(UserError) as error:
    paradigms.options_type(str(path))
  assert re.search(rf"^paradigm='.*mine.py': {problem}", line(error))


_DATA = """
import numpy as np
from syndata_jax.data import Dataset

def load(data_dir):
  images = np.full((4, 3, 3, 1), int((data_dir / "grey").read_text()), "u1")
  labels = np.array([0, 1, 0, 1], LABELS)
  return Dataset("toy", images, labels, images, labels, 2, (0.5,), (0.5,), True)
"""


def test_a_data_set_of_a_file(file, tmp_path):
  path = str(file(_DATA.replace("LABELS", "'i4'")))
  (tmp_path / "grey").write_text("7")
  dataset = data.load(path, str(tmp_path))
  assert dataset.name == path
  assert (dataset.train_images == 7).all() and dataset.num_classes == 2


@pytest.mark.parametrize(
  ("text", "problem"),
  [
    (_DATA.replace("LABELS", "'i8'"), "dataset=toy: train_labels is int64"),
    (
      _DATA.replace("LABELS", "'i4'").replace('"grey"', '"gone"'),
      "does not load: line 6: FileNotFoundError: .*gone",
    ),
    ("def load(data_dir):\n  return []\n", "load returned list: must be a"),
    ("def load():\n  return []\n", r"does not load: TypeError: load\(\) takes"),
  ],
)
def test_a_data_set_that_is_wrong(file, tmp_path, text, problem):
  path = str(file(text))
  (tmp_path / "grey").write_text("7")
  with pytest.raises(UserError) as error:
    data.load(path, tmp_path)
  assert re.search(f"^dataset='.*mine.py': {problem}", line(error))
