"""What is handed in, through the program: forms, notes, title and target."""

import csv
import json

import numpy as np
import pytest
import scipy.special

import syndata_jax
from syndata_jax import attack
from syndata_jax.errors import UserError
from syndata_jax.programs import given

Q, M, K = 40, 8, 4
RNG = np.random.default_rng(0)
MEMBERSHIP = RNG.permuted(np.tile(np.arange(M) < M // 2, (Q, 1)), axis=1)
LABELS = RNG.integers(0, K, Q)
LOGITS = RNG.normal(size=(Q, M, K))
LOGITS[np.arange(Q), :, LABELS] += 3 * MEMBERSHIP + RNG.normal(size=(Q, 1))
LOG_P = scipy.special.log_softmax(LOGITS, axis=-1)
LOSSES = -LOG_P[np.arange(Q), :, LABELS]

REFERENCE = attack.attack(
  attack.take_in_arrays(
    {"logits": LOGITS, "labels": LABELS, "membership": MEMBERSHIP}
  ).file
)


def _npz(path, **arrays):
  np.savez(path, **{"labels": LABELS, "membership": MEMBERSHIP} | arrays)


def _folder(path, **arrays):
  path.mkdir()
  for name, array in ({"membership": MEMBERSHIP} | arrays).items():
    np.save(path / f"{name}.npy", array)


def _table(path, values):
  with path.open("w", newline="") as stream:
    writer = csv.writer(stream)
    writer.writerow(["example", "model", "member", "loss"])
    for q, m in np.ndindex(Q, M):
      writer.writerow([q, m, int(MEMBERSHIP[q, m]), values[q, m]])


def _figures(record, score):
  """AUC of every attack on that score, by its name."""
  return {
    (each["attack"], each["variance"], each["views"]): each["auc"]["value"]
    for each in record["canaries"]["attacks"]
    if each["score"] == score
  }


@pytest.mark.parametrize(
  ("name", "write", "scores"),
  [
    (
      "p.npz",
      lambda path: _npz(path, logits=np.exp(LOG_P)),
      ("hinge", "logit"),
    ),
    ("l.npz", lambda path: _npz(path, logits=LOG_P), ("hinge", "logit")),
    ("folder", lambda path: _folder(path, losses=LOSSES), ("logit",)),
    ("table.csv", lambda path: _table(path, LOSSES), ("logit",)),
  ],
)
def test_every_form_is_attacked_as_its_logits(
  start, tmp_path, name, write, scores
):
  file, workdir = tmp_path / name, tmp_path / "run"
  write(file)
  ended = start(f"--predictions={file}", f"--workdir={workdir}")
  assert ended.code == 0, ended.err
  record = json.loads((workdir / "attack.json").read_text())
  for score in scores:
    assert _figures(record, score) == pytest.approx(
      _figures(REFERENCE, score), abs=1e-3
    )
  kept = json.loads((workdir / "given.json").read_text())
  (note,) = kept.pop("notes")
  assert kept == {"title": None, "facts": {}}
  assert ended.out.startswith(f"{note}\n")
  # The same again goes on; nothing is read into what was already read.
  before = (workdir / "predictions.npz").read_bytes()
  assert start(f"--predictions={file}", f"--workdir={workdir}").code == 0
  assert (workdir / "predictions.npz").read_bytes() == before


@pytest.mark.slow
def test_title_and_facts_may_change_and_stay(start, tmp_path):
  file, workdir = tmp_path / "l.npz", tmp_path / "run"
  _npz(file, logits=LOGITS)
  command = (f"--predictions={file}", f"--workdir={workdir}")
  facts = tmp_path / "facts.json"
  assert start(*command).code == 0
  assert not (workdir / "given.json").exists()  # nothing to say
  attacked = (workdir / "attack.json").read_bytes()
  facts.write_text('{"Data": "clinic A", "Epochs": 30, "Augmented": true}')
  for arguments, title, data in (
    (
      ["--title=First [draft]", f"--facts={facts}"],
      "First [draft]",
      "clinic A",
    ),
    ([], "First [draft]", "clinic A"),
    (["--title=Second"], "Second", "clinic A"),
    (["--title="], None, "clinic A"),
  ):
    ended = start(*command, *arguments)
    assert ended.code == 0, ended.err
    kept = json.loads((workdir / "given.json").read_text())
    assert kept["title"] == title and kept["facts"]["Data"] == data
    assert kept["facts"]["Epochs"] == 30 and kept["notes"] == []
  assert (workdir / "attack.json").read_bytes() == attacked


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ("[1]", 'is list: an object such as {"Data": "clinic A", "Epochs": 30}'),
    ('{"a": {"b": 1}}', "'a' is dict: text, a number or a truth value needed"),
    ('{"a": null}', "'a' is NoneType: text, a number"),
    ('{"a": "b\\nc"}', "'a' has several lines: one allowed"),
    ("{", "damaged ("),
    (None, "cannot be read (No such file or directory)"),
  ],
)
def test_wrong_facts_are_one_line(start, tmp_path, content, message):
  file, facts = tmp_path / "l.npz", tmp_path / "facts.json"
  _npz(file, logits=LOGITS)
  if content is not None:
    facts.write_text(content)
  workdir = tmp_path / "run"
  ended = start(
    f"--predictions={file}", f"--workdir={workdir}", f"--facts={facts}"
  )
  assert ended.code == 2 and ended.err.count("\n") == 1
  assert ended.err.startswith(f"syndata-audit: --facts={facts}: {message}")
  assert not workdir.exists()


def test_the_target_is_part_of_the_identity(tmp_path):
  file, workdir = tmp_path / "l.npz", str(tmp_path / "run")
  _npz(file, logits=LOGITS)
  folder, _ = given.take_in(str(file), workdir, "2")
  assert attack.load_predictions(folder / "predictions.npz").target == 2
  assert given.take_in(str(file), workdir, "2")[0] == folder
  for target in ("3", None):
    with pytest.raises(
      UserError, match=r"holds another run .target is '2' the"
    ):
      given.take_in(str(file), workdir, target)


def test_a_target_without_predictions(start, tiny, tmp_path):
  workdir = tmp_path / "run"
  ended = start(f"--config={tiny}", f"--workdir={workdir}", "--target=0")
  assert (ended.code, ended.err) == (
    2,
    "syndata-audit: --target: needs --predictions, one of whose models it is\n",
  )


def test_a_folder_of_other_arrays_is_another_run(tmp_path):
  folder, workdir = tmp_path / "arrays", str(tmp_path / "run")
  _folder(folder, losses=LOSSES)
  given.take_in(str(folder), workdir, None)
  np.save(folder / "losses.npy", LOSSES + 1)
  with pytest.raises(UserError, match=r"holds another run .predictions is"):
    given.take_in(str(folder), workdir, None)


def test_predictions_in_the_home_folder(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  _npz(tmp_path / "l.npz", logits=LOGITS)
  folder, _ = given.take_in("~/l.npz", str(tmp_path / "run"), None)
  assert (folder / "predictions.npz").exists()


@pytest.mark.parametrize(
  ("holds", "values", "labels"),
  [
    ("logits", np.exp(LOG_P), LABELS),
    ("probabilities", np.exp(LOG_P), LABELS),
    ("losses", LOSSES, None),
    ("confidences", np.exp(-LOSSES), None),
    ("scores", -LOSSES - np.log(-np.expm1(-LOSSES)), None),
  ],
)
@pytest.mark.filterwarnings("ignore:.*(attacked|is read as)")
def test_the_function_takes_every_form(holds, values, labels):
  report = syndata_jax.attack_logits(values, labels, MEMBERSHIP, holds=holds)
  assert _figures(report.attack, "logit") == pytest.approx(
    _figures(REFERENCE, "logit"), abs=1e-3
  )


def test_the_function_warns_of_what_it_recognised():
  with pytest.warns(UserWarning, match="logits holds probabilities: their log"):
    syndata_jax.attack_logits(np.exp(LOG_P), LABELS, MEMBERSHIP)
  with pytest.raises(UserError, match="holds='loss': must be one of logits, "):
    syndata_jax.attack_logits(LOSSES, None, MEMBERSHIP, holds="loss")
  with pytest.raises(
    UserError, match=r"dummies is of type int: .* \(losses, l"
  ):
    syndata_jax.attack_logits(
      LOSSES, None, MEMBERSHIP, holds="losses", dummies=3
    )
