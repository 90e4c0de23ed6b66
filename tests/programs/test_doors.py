"""What the command line can name: shipped configs, and modules of others."""

import pathlib
import re

import pytest
from absl import flags

from syndata_jax.errors import UserError
from syndata_jax.programs import config_file

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
  """Another working directory than the clone."""
  monkeypatch.chdir(tmp_path)
  return tmp_path


def refused(ended, pattern):
  assert ended.code == 2, ended
  assert re.fullmatch(f"syndata-audit: {pattern}\n", ended.err), ended.err
  assert ended.out == ""


@pytest.mark.parametrize(
  "name",
  [
    "digits/undefended",
    "digits/distillation:mtt",
    "configs/digits/undefended.py",
    "configs/digits/distillation.py:mtt",
  ],
)
@pytest.mark.parametrize("form", ["--config={}", "-config={}", "--config {}"])
def test_a_shipped_config_has_a_name_everywhere(name, form):
  known, _, argument = name.partition(":")
  short = known.removeprefix("configs/").removesuffix(".py")
  rest = ["--workdir", "digits/undefended", "--config.seed=1"]
  argv = config_file.check(["program", *form.format(name).split(), *rest])
  assert argv[-3:] == rest
  path = re.sub("^--?config=", "", "=".join(argv[1:-3]))
  file, _, given = path.partition(":")
  assert pathlib.Path(file).samefile(CONFIGS / f"{short}.py")
  assert given == argument


def test_a_name_in_a_file_of_flags(elsewhere):
  (elsewhere / "flags").write_text("--config=digits/dpsgd:strict\n--seed=3\n")
  argv = config_file.check(["program", "--flagfile=flags"])
  assert argv[1].endswith("digits/dpsgd.py:strict") and argv[2] == "--seed=3"


def test_a_file_of_the_user_goes_before_a_shipped_one(elsewhere):
  own = elsewhere / "configs" / "digits" / "undefended.py"
  own.parent.mkdir(parents=True)
  own.write_text("def get_config():\n  raise RuntimeError('mine')\n")
  with pytest.raises(UserError, match="line 2: RuntimeError: mine"):
    config_file.check(["program", "--config=configs/digits/undefended.py"])


def test_the_program_runs_a_shipped_config(start):
  """As far as the first wrong field."""
  ended = start("--config=digits/undefended", "--config.seed=-1", "--workdir=x")
  refused(ended, r"seed=-1: must be 0 to 2\*\*32 - 1")


def test_a_wrong_argument_is_told_with_the_name(start):
  ended = start("--config=digits/dpsgd:lax", "--workdir=x")
  refused(
    ended,
    r"--config=digits/dpsgd: line \d+: ValueError: config argument 'lax'.*",
  )


def test_an_unknown_config_lists_what_there_is(start):
  ended = start("--config=digit/undefended", "--workdir=x")
  refused(
    ended,
    "--config=digit/undefended: no such file; a Python file needed, or one of"
    " cifar10/coreset, .*fashion_mnist/undefended, .*; did you mean digits/.*",
  )


def test_the_list(start):
  ended = start("--list")
  assert ended.code == 0 and ended.err == ""
  lines = ended.out.splitlines()
  for path in CONFIGS.glob("*/*.py"):
    name = f"{path.parent.name}/{path.stem}"
    title = path.read_text().split('"""')[1].split("\n")[0]
    assert [line.split(None, 1) for line in lines].count([name, title]) == 1
  for name in ("undefended", "resnet18", "svhn"):
    assert f"  {name}" in lines
  assert len(list(CONFIGS.glob("*/*.py"))) == len(config_file.shipped()) > 10


@pytest.mark.parametrize(
  ("field", "function"),
  [
    ("paradigm", r"make\(engine, options, private\)"),
    ("model", r"make\(num_classes\)"),
    ("dataset", r"load\(data_dir\)"),
  ],
)
def test_a_file_that_is_no_plugin_is_refused(
  start, tiny, elsewhere, field, function
):
  (elsewhere / "mine.py").write_text("x = 1\n")
  ended = start(f"--config={tiny}", f"--config.{field}=mine.py", "--workdir=x")
  refused(ended, f"{field}='mine.py': has no {function}; must define it")
  assert not (elsewhere / "x").exists()


def test_a_field_of_options_of_a_file(start, tiny, elsewhere):
  """The fields of its `Options` stand beside the others."""
  (elsewhere / "mine.py").write_text(
    "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass Options:\n"
    "  strength: float = 1.0\ndef make(engine, options, private): ...\n"
  )
  arguments = [f"--config={tiny}", "--config.paradigm=mine.py", "--workdir=x"]
  ended = start(*arguments, "--config.strong=2")
  refused(ended, "config field strong: must be one of .*strength.*")
  ended = start(*arguments, "--config.strength=2")
  refused(ended, "paradigm='mine.py': make returned NoneType: must be a .*")


def test_config_without_a_value():
  with pytest.raises(flags.Error):
    config_file.check(["program", "--config"])
