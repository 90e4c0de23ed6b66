"""No two modules of the benchmarks import each other, not even for types."""

import ast
import graphlib
import importlib.util
import pathlib

import pytest

import syndata_jax.benchmarks

PACKAGE = "syndata_jax.benchmarks"
FOLDER = pathlib.Path(syndata_jax.benchmarks.__file__).parent
# A room may import those before it.
ROOMS = ("harness", "pytorch", "suites")


def modules(folder=FOLDER, package=PACKAGE):
  """Path of every module by its name."""
  names = {}
  for path in sorted(folder.rglob("*.py")):
    parts = path.relative_to(folder).with_suffix("").parts
    if parts[-1] == "__init__":
      parts = parts[:-1]
    names[".".join([package, *parts])] = path
  return names


def imported(name, paths):
  """Modules that one names in an import, wherever in the file that stands."""
  is_package = paths[name].name == "__init__.py"
  package = name if is_package else name.rpartition(".")[0]
  names = set()
  for node in ast.walk(ast.parse(paths[name].read_text())):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      dots = "." * node.level + (node.module or "")
      source = importlib.util.resolve_name(dots, package)
      # `from package import module` needs the module, otherwise the source.
      inner = {f"{source}.{alias.name}" for alias in node.names}
      names |= inner & paths.keys()
      if not inner <= paths.keys():
        names.add(source)
  return (names & paths.keys()) - {name}


def graph(paths):
  return {name: imported(name, paths) for name in paths}


def test_imports_form_no_circle():
  paths = modules()
  assert len(paths) > 20
  edges = graph(paths)
  assert sum(map(len, edges.values())) > 50
  tuple(graphlib.TopologicalSorter(edges).static_order())


def test_rooms_import_only_those_before_them():
  for name, others in graph(modules()).items():
    room = name.removeprefix(PACKAGE).strip(".").partition(".")[0]
    if room not in ROOMS:
      continue
    allowed = ROOMS[: ROOMS.index(room) + 1]
    for other in others:
      assert other.removeprefix(f"{PACKAGE}.").startswith(allowed), (
        f"{name} imports {other}"
      )


@pytest.mark.parametrize(
  "back",
  [
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  from p.a import X",
    "def f():\n  from p import a",
    "import p.a",
    "from . import a",
    "from .a import X",
  ],
)
def test_a_circle_would_be_found(tmp_path, back):
  (tmp_path / "__init__.py").touch()
  (tmp_path / "a.py").write_text("from p import b\n")
  (tmp_path / "b.py").write_text(back)
  edges = graph(modules(tmp_path, "p"))
  with pytest.raises(graphlib.CycleError):
    graphlib.TopologicalSorter(edges).prepare()
