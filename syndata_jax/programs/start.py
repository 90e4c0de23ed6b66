"""How every program starts and ends: flags, JAX's settings, exit codes."""

import os
import pathlib
import re
import sys
from collections.abc import Callable

import jax
from absl import flags, logging

from syndata_jax.attack import GuaranteeBroken
from syndata_jax.errors import UserError
from syndata_jax.programs import config_file

# By absl's names of the kinds of flags.
_ALLOWED = {"bool": "true or false", "float": "a number", "int": "an integer"}


def start(main: Callable[[], None]) -> None:
  """Parses the flags and runs `main`.

  A mistake of the user ends in one line on standard error and exit code 2, a
  guarantee that an audit has refuted in one line and 3, an interruption in
  130.
  """
  program = pathlib.Path(sys.argv[0]).name
  try:
    _parse(sys.argv, main.__module__)
    _cache_compilations()
    _one_device_per_core()
    main()
  except UserError as error:
    print(f"{program}: {error}", file=sys.stderr)
    sys.exit(2)
  except GuaranteeBroken as error:
    print(f"{program}: guarantee broken: {error}", file=sys.stderr)
    sys.exit(3)
  except KeyboardInterrupt:
    print(
      f"{program}: stopped; the same command continues the run",
      file=sys.stderr,
    )
    sys.exit(130)


def _parse(argv: list[str], module: str) -> None:
  logging.use_absl_handler()
  logging.set_verbosity(logging.WARNING)
  if "--help" in argv:
    print(f"{sys.modules[module].__doc__}\n{flags.FLAGS.module_help(module)}")
    sys.exit(0)
  try:
    argv = config_file.check(argv)
    rest = flags.FLAGS(argv)[1:]
  except flags.Error as error:
    raise UserError(_describe(error)) from error
  if rest:
    raise UserError(f"unexpected argument {rest[0]!r}: only flags are allowed")


def _describe(error: flags.Error) -> str:
  """What absl has to say of a flag, with what is allowed where it does not."""
  text = str(error).split("\n")[0]
  flag = re.match(r"flag --([\w.]+)=", text)
  kind = flags.FLAGS[flag[1]].flag_type() if flag else ""
  if kind not in _ALLOWED:
    return text
  return f"{text.split(': ')[0]}: must be {_ALLOWED[kind]}"


def _cache_compilations() -> None:
  """Keeps compiled programs between runs, where the user did not say where."""
  if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = pathlib.Path(cache) / "syndata_jax" / "compilations"
    jax.config.update("jax_compilation_cache_dir", str(folder))


def _one_device_per_core() -> None:
  """Lets models be split over CPU cores, where the user did not say how.

  One program keeps little more than one core busy with small networks; a
  device for each core trains different models on them (measured on two cores:
  1.3 times the images a second).
  """
  chosen = "xla_force_host_platform_device_count"
  if chosen in os.environ.get("XLA_FLAGS", ""):
    return
  if "JAX_NUM_CPU_DEVICES" not in os.environ:
    jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
