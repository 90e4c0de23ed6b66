"""Every mistake ends in one line, exit code 2, and nothing half-written."""

import re

import numpy as np
import pytest

Q, M, A, K = 6, 8, 2, 3


def _assert_refused(ended, workdir, pattern):
  assert ended.code == 2, ended
  assert ended.err.startswith("syndata-audit: ")
  assert ended.err.endswith("\n")
  assert ended.err.count("\n") == 1, ended.err
  assert re.search(pattern, ended.err), ended.err
  assert ended.out == ""
  assert not workdir.exists()


@pytest.fixture
def refused(start, tiny, tmp_path):
  """`refused(pattern, *arguments)`, on top of the tiny config."""

  def check(pattern, *arguments):
    workdir = tmp_path / "run"
    ended = start(f"--config={tiny}", f"--workdir={workdir}", *arguments)
    _assert_refused(ended, workdir, pattern)

  return check


_MODELS = r"convnet, resnet18, wide_resnet"


@pytest.mark.parametrize(
  ("overrides", "pattern"),
  [
    ("dataset=mnist", r"dataset='mnist': must be one of .*digits"),
    ("num_train=-1", r"num_train=-1: must be 0 \(all\) to 1437"),
    ("num_train=9999", r"num_train=9999: must be 0 \(all\) to 1437"),
    ("num_models=7", r"num_models=7: must be even and at least 6"),
    ("num_models=4", r"num_models=4: must be even and at least 6"),
    ("num_canaries=11", r"num_canaries=11: must be even"),
    ("num_canaries=0", r"num_canaries=0: must be even and at least 2"),
    ("num_canaries=98", r"num_canaries=98 and num_average=8: .* at most 100"),
    ("num_average=3", r"num_average=3: must be even"),
    ("batch_size=91", r"batch_size=91: must not exceed the 90 examples"),
    ("batch_size=0", r"batch_size=0: must be greater than 0"),
    ("num_epochs=0", r"num_epochs=0: must be greater than 0"),
    ("learning_rate=-1", r"learning_rate=-1.0: must be greater than 0"),
    ("learning_rate=nan", r"learning_rate=nan: must be finite"),
    ("seed=-1", r"seed=-1: must be 0 to"),
    ("seed=4294967296", r"seed=4294967296: must be 0 to"),
    ("model=vgg", rf"model='vgg': must be one of {_MODELS}"),
    ("audit=x", r"audit='x': must be one of one_run, shad"),
    ("paradigm=magic", r"paradigm='magic': must be one of .*undefended"),
    ("schedule=linear", r"schedule='linear': must be one of constant"),
    (
      "canary_kind=odd",
      r"canary_kind='odd': must be one of mislabelled, clean",
    ),
    ("performance.lowering=fft", r"lowering='fft': must be one of auto, "),
    ("performance.precision=int8", r"precision='int8': must be one of bfl"),
    ("performance.chunk=-1", r"chunk=-1: must be 0"),
    ("performance.checkpoint_every=0", r"checkpoint_every=0: must be at least"),
    ("model_options={'wide':8}", r"option 'wide': convnet accepts width, "),
    ("model_options={'width':'big'}", r"model_options: width='big': must be"),
    ("model_options={'width':-1}", r"model_options: width=-1: must be a whole"),
    ("model_options={'num_classes':3}", r"model_options=.*num_classes"),
    ("model_options={'norm':'layer'}", r"norm='layer': must be one of batch"),
    ("foo=1", r"config field foo: must be one of audit, augment, batch"),
    ("performance.foo=1", r"field performance.foo: must be .*chunk"),
    ("num_epochs=two", r"--config.num_epochs=two: must be an integer"),
    ("num_epochs=2.5", r"--config.num_epochs=2.5: must be an integer"),
    ("momentum=high", r"--config.momentum=high: must be a number"),
    ("augment=maybe", r"--config.augment=maybe: must be true or false"),
    ("model_options=3", r"--config.model_options=3: .*not a dict"),
    ("performance=3", r"--config.performance=3: .*not a dict"),
  ],
)
def test_a_wrong_field(refused, overrides, pattern):
  refused(pattern, f"--config.{overrides}")


@pytest.mark.parametrize("field", ["num_canaries", "num_average"])
def test_a_single_coin(refused, field):
  refused(
    rf"{field}=1: must be at least 2",
    "--config.audit=one_run",
    f"--config.{field}=1",
  )


def test_an_unknown_source_of_canaries(refused):
  refused(
    r"canary_source='moon': .*must be one of .*digits",
    "--config.canary_kind=out_of_distribution",
    "--config.canary_source=moon",
  )


def test_missing_files_are_named_with_their_place(refused, tmp_path):
  refused(
    rf"cifar10.*cifar-10-python\.tar\.gz.*https://.*{tmp_path}",
    "--config.dataset=cifar10",
    f"--data_dir={tmp_path}",
  )


def test_an_archive_with_another_checksum(refused, tmp_path):
  archive = tmp_path / "cifar-10-python.tar.gz"
  archive.write_bytes(b"half a download")
  refused(
    rf"{archive}: MD5 is \w+: must be c58f30108f718f92721af3b95e74349a",
    "--config.dataset=cifar10",
    f"--data_dir={tmp_path}",
  )


@pytest.mark.parametrize(
  ("argument", "pattern"),
  [
    ("--foo", r"Unknown command line flag 'foo'"),
    ("--device_axes=pmap", r"flag 'device_axes'.*device_axis"),
    ("--device_axis=mpi", r"--device_axis=mpi: .*shard_map.*pmap"),
    ("runs", r"unexpected argument 'runs'"),
    ("--predictions=a.npz", r"one of --config=FILE.py and --predictions="),
  ],
)
def test_a_wrong_command_line(refused, argument, pattern):
  refused(pattern, argument)


def test_no_workdir(start, tiny, tmp_path):
  ended = start(f"--config={tiny}")
  _assert_refused(ended, tmp_path / "run", r"--workdir: name the folder")


def test_nothing_to_audit(start, tmp_path):
  ended = start(f"--workdir={tmp_path / 'run'}")
  _assert_refused(ended, tmp_path / "run", r"one of --config=.*--predictions=")


def test_a_workdir_below_a_file(start, tiny):
  workdir = tiny / "run"
  ended = start(f"--config={tiny}", f"--workdir={workdir}")
  _assert_refused(ended, workdir, rf"--workdir={workdir}: cannot be written")


def test_a_workdir_with_files_of_others(start, tiny, tmp_path):
  workdir = tmp_path / "home"
  workdir.mkdir()
  (workdir / "thesis.tex").write_text("mine")
  ended = start(f"--config={tiny}", f"--workdir={workdir}")
  assert ended.code == 2
  assert ended.err.count("\n") == 1
  assert f"--workdir={workdir}: holds files" in ended.err
  assert [path.name for path in workdir.iterdir()] == ["thesis.tex"]


_IMPORT = "from syndata_jax.programs.settings import defaults\n"


@pytest.mark.parametrize(
  ("text", "pattern"),
  [
    ("def get_config(:\n", r"line 1: SyntaxError: "),
    ("import surely_no_such_module\n", r"line 1: ModuleNotFoundError: "),
    ("config = 1\n", r"must define get_config"),
    ("def get_config():\n  return {}\n", r"must define get_config"),
    ("def get_config():\n  open('/no/such')\n", r"line 2: .*'/no/such'"),
    ("raise SystemExit\n", r"line 1: SystemExit"),
    (
      f"{_IMPORT}def get_config():\n  c = defaults()\n  c.seed = 'x'\n",
      r"line 4: TypeError: .*seed",
    ),
  ],
)
def test_a_config_file_that_fails(start, tmp_path, text, pattern):
  config, workdir = tmp_path / "mine.py", tmp_path / "run"
  config.write_text(text)
  ended = start(f"--config={config}", f"--workdir={workdir}")
  _assert_refused(ended, workdir, rf"--config={config}: {pattern}")


@pytest.mark.parametrize(
  ("change", "pattern"),
  [
    ("c.epochs = 3", r"config field epochs: must be one of .*num_epochs"),
    ("c = ConfigDict({'seed': 'x'})", r"field seed='x': must be of type int"),
    ("c = ConfigDict({'performance': 3})", r"performance=3: must be a"),
  ],
)
def test_a_config_file_with_a_wrong_field(start, tmp_path, change, pattern):
  config, workdir = tmp_path / "mine.py", tmp_path / "run"
  config.write_text(
    f"from ml_collections import ConfigDict\n{_IMPORT}"
    f"def get_config():\n  c = defaults()\n  {change}\n  return c\n"
  )
  ended = start(f"--config={config}", f"--workdir={workdir}")
  _assert_refused(ended, workdir, pattern)


@pytest.mark.parametrize("path", ["missing.py", ".", ""])
def test_no_config_file(start, tmp_path, monkeypatch, path):
  monkeypatch.chdir(tmp_path)
  workdir = tmp_path / "run"
  ended = start(f"--config={path}", f"--workdir={workdir}")
  _assert_refused(ended, workdir, rf"--config={re.escape(path)}: no such file")


def _arrays():
  random = np.random.default_rng(0)
  half = np.tile(np.arange(M) < M // 2, (Q, 1))
  return {
    "logits": random.normal(size=(Q, M, A, K)).astype(np.float32),
    "labels": random.integers(0, K, Q),
    "membership": random.permuted(half, axis=1),
  }


@pytest.mark.parametrize(
  ("name", "value", "pattern"),
  [
    ("logits", None, r"logits is missing"),
    ("membership", None, r"membership is missing"),
    ("logits", np.zeros(Q), r"logits has shape \(6,\): \[examples, "),
    ("logits", np.full((Q, M, A, K), np.nan), r"logits holds nan at"),
    ("labels", np.zeros(Q + 1, int), r"labels has shape \(7,\): \(6,\)"),
    ("labels", np.full(Q, K), r"labels holds 3: 0 to 2 allowed"),
    ("membership", np.ones((Q, M), bool), r"membership row 0 has 8 members"),
    ("membership", np.ones((M, Q), bool), r"membership has shape \(8, 6\)"),
  ],
)
def test_a_wrong_array(start, tmp_path, name, value, pattern):
  arrays = _arrays()
  del arrays[name]
  if value is not None:
    arrays[name] = value
  file, workdir = tmp_path / "logits.npz", tmp_path / "run"
  np.savez(file, **arrays)
  ended = start(f"--predictions={file}", f"--workdir={workdir}")
  _assert_refused(ended, workdir, rf"{file}: {pattern}")


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_damaged_predictions(start, tmp_path, kept):
  file, workdir = tmp_path / "logits.npz", tmp_path / "run"
  np.savez(file, **_arrays())
  content = file.read_bytes()
  size = kept if isinstance(kept, int) else int(kept * len(content))
  file.write_bytes(content[:size])
  ended = start(f"--predictions={file}", f"--workdir={workdir}")
  _assert_refused(ended, workdir, rf"{file}: damaged")


def test_missing_predictions(start, tmp_path):
  file, workdir = tmp_path / "logits.npz", tmp_path / "run"
  ended = start(f"--predictions={file}", f"--workdir={workdir}")
  _assert_refused(ended, workdir, rf"{file}: No such file")
