"""The audit program, started in this process, and an audit of seconds."""

import contextlib
import dataclasses
import io
import pathlib
import sys
from collections.abc import Callable
from typing import NamedTuple

import jax
import pytest
from absl import logging
from absl.testing import flagsaver
from jax.experimental.compilation_cache import compilation_cache

from syndata_jax.images import classifier, spaces
from syndata_jax.programs import audit, evolve, pretrain, quality

# Six models are the fewest that an attack accepts.
_TINY = """
from syndata_jax.programs.settings import defaults


def get_config():
  config = defaults()
  config.dataset = "digits"
  config.num_train = 100
  config.num_models = 6
  config.num_canaries = 12
  config.num_average = 8
  config.model = "convnet"
  config.model_options = {"width": 4, "depth": 1}
  config.num_epochs = 3
  config.batch_size = 32
  config.learning_rate = 0.05
  config.performance.checkpoint_every = 1
  return config
"""


class Ended(NamedTuple):
  """How a start of the program ended."""

  code: int
  out: str
  err: str


class Finished(NamedTuple):
  """A complete run; look at it, or copy it before changing anything."""

  workdir: pathlib.Path
  ended: Ended


@pytest.fixture(scope="session", autouse=True)
def small_networks_of_images():
  """What judges images is trained in a moment."""
  network = {"width": 4, "depth": 1, "norm": "batch"}
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(classifier, "_NETWORK", network)
    patch.setattr(classifier, "_EPOCHS", 2)
    patch.setattr(classifier, "_UPDATES", 2)
    patch.setattr(spaces, "_NETWORK", network)
    recipe = dataclasses.replace(spaces._RECIPE, num_epochs=2)
    patch.setattr(spaces, "_RECIPE", recipe)
    yield


@pytest.fixture(autouse=True)
def quality_is_tested_elsewhere(request, monkeypatch):
  """Training networks to judge images is left to the tests of that."""
  if "quality" not in request.module.__name__:
    monkeypatch.setattr(quality, "measure", lambda *arguments: None)


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> pathlib.Path:
  """Where compiled programs go, so that the user's own cache stays clean."""
  return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> pathlib.Path:
  """A config file."""
  path = tmp_path_factory.mktemp("configs") / "tiny.py"
  path.write_text(_TINY)
  return path


@pytest.fixture
def config(tmp_path) -> Callable[..., pathlib.Path]:
  """`config(paradigm, **fields)`: the tiny config with other fields."""

  def write(paradigm: str = "undefended", **fields) -> pathlib.Path:
    lines = [
      f"  config[{name!r}] = {value!r}" for name, value in fields.items()
    ]
    path = tmp_path / "config.py"
    path.write_text(
      _TINY.replace("defaults()", f"defaults({paradigm!r})").replace(
        "  return config", "\n".join([*lines, "  return config"])
      )
    )
    return path

  return write


@pytest.fixture(scope="session")
def start(cache) -> Callable[..., Ended]:
  """`start(*arguments)`: what a fresh `syndata-audit` would do."""

  def run(*arguments) -> Ended:
    return _run(audit.run, cache, ["syndata-audit", *map(str, arguments)])

  return run


@pytest.fixture(scope="session")
def start_pretraining(cache) -> Callable[..., Ended]:
  """`start_pretraining(*arguments)`: what a fresh `syndata-pretrain` does."""

  def run(*arguments) -> Ended:
    argv = ["syndata-pretrain", *map(str, arguments)]
    return _run(pretrain.run, cache, argv)

  return run


@pytest.fixture(scope="session")
def start_evolution(cache) -> Callable[..., Ended]:
  """`start_evolution(*arguments)`: what a fresh `syndata-evolve` does."""

  def run(*arguments) -> Ended:
    argv = ["syndata-evolve", *map(str, arguments)]
    return _run(evolve.run, cache, argv)

  return run


def _run(program: Callable[[], None], cache: pathlib.Path, argv: list[str]):
  with pytest.MonkeyPatch.context() as patch:
    return _patched(patch, program, cache, argv)


def _patched(
  patch: pytest.MonkeyPatch,
  program: Callable[[], None],
  cache: pathlib.Path,
  argv: list[str],
):
  patch.setattr(sys, "argv", argv)
  patch.setenv("COLUMNS", "100")
  patch.setenv("XDG_CACHE_HOME", str(cache))
  patch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
  # A fresh process would not know the config module of an earlier start.
  patch.delitem(sys.modules, "config_config", raising=False)
  out, err = io.StringIO(), io.StringIO()
  patch.setattr(logging.get_absl_handler().python_handler, "stream", err)
  code = 0
  with (
    _compilations_kept(),
    flagsaver.flagsaver(),
    contextlib.redirect_stdout(out),
    contextlib.redirect_stderr(err),
  ):
    try:
      program()
    except SystemExit as end:
      code = end.code
  return Ended(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _compilations_kept():
  """Lets equal programs of several starts be compiled once, also small ones."""
  names = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
  )
  before = {name: getattr(jax.config, name) for name in names}
  jax.config.update(names[1], 0)
  compilation_cache.reset_cache()
  try:
    yield
  finally:
    for name, value in before.items():
      jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="session")
def finished(start, tiny, tmp_path_factory) -> Finished:
  """The run of the tiny config, never interrupted."""
  workdir = tmp_path_factory.mktemp("runs") / "finished"
  ended = start(f"--config={tiny}", f"--workdir={workdir}")
  assert ended.code == 0, ended.err
  return Finished(workdir, ended)
