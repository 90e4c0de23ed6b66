"""syndata-evolve on a table and on texts: what it leaves, what it refuses."""

import csv
import json
import stat

import chat_server
import numpy as np
import pytest

from syndata_jax.evolution import state

_CONFIG = """
from syndata_jax.programs.evolving import defaults


def get_config():
  config = defaults({records!r})
  config.update({fields!r})
  return config
"""
_COMMON = {"num_samples": 20, "num_iterations": 2, "epsilon": 8.0, "seed": 1}
_SCHEMA = {
  "columns": [
    {"name": "age", "type": "integer", "minimum": 0, "maximum": 99},
    {"name": "gain", "type": "number", "minimum": 0, "maximum": 1000},
    {"name": "work", "type": "category", "values": ["field", "office"]},
    {"name": "rich", "type": "category", "values": ["no", "yes"]},
  ],
  "label": "rich",
}


@pytest.fixture
def start(start_evolution, tmp_path):
  def run(records, fields, data_dir, *arguments):
    config = tmp_path / "config.py"
    fields = _COMMON | fields
    config.write_text(_CONFIG.format(records=records, fields=fields))
    given = [] if data_dir is None else [f"--data_dir={data_dir}"]
    return start_evolution(
      f"--config={config}", f"--out={tmp_path / 'out'}", *given, *arguments
    )

  return run


def refused(ended, expected):
  assert ended.code == 2, ended
  assert ended.err.count("\n") == 1, ended.err
  assert expected in ended.err, ended.err


@pytest.fixture
def table(tmp_path):
  """60 rows; those that are not rich are young and earn in the field."""
  generator = np.random.default_rng(0)
  rows = [["age", "gain", "work", "rich"]]
  for number in range(60):
    rich = number % 2
    age = 20 + 50 * rich + int(generator.integers(0, 9))
    gain = round(float(generator.random()), 6) + 300 + 400 * rich
    rows.append([age, gain, ["field", "office"][rich], ["no", "yes"][rich]])
  path = tmp_path / "private.csv"
  with path.open("w", newline="") as stream:
    csv.writer(stream).writerows(rows)
  schema = tmp_path / "schema.json"
  schema.write_text(json.dumps(_SCHEMA))
  return path, {"schema": str(schema)}, rows


def test_a_table(start, table, tmp_path):
  path, fields, rows = table
  ended = start("table", fields, path)
  assert ended.code == 0, ended.err
  release = tmp_path / "out" / "release"
  with (release / "table.csv").open(newline="") as stream:
    released = list(csv.reader(stream))
  assert sorted(released[0]) == sorted(rows[0]) and len(released) == 21
  place = {name: released[0].index(name) for name in rows[0]}
  labels = [row[place["rich"]] for row in released[1:]]
  assert labels.count("yes") == labels.count("no") == 10
  assert all(0 <= int(row[place["age"]]) <= 99 for row in released[1:])
  fields = json.loads((release / "privacy.json").read_text())
  assert fields["epsilon"] <= 8 * (1 + 1e-9) and fields["num_releases"] == 2
  assert fields["unit"] == "one record, a row of the table"
  assert "declared domain of the columns" in fields["public"]
  kept = sorted((tmp_path / "out" / "samples").glob("*/table.csv"))
  assert [each.parent.name for each in kept] == ["000", "001", "002"]
  gains = [str(row[1]).encode() for row in rows[1:]]
  for each in (tmp_path / "out").rglob("*"):
    if each.is_file():
      assert not any(gain in each.read_bytes() for gain in gains), each


@pytest.mark.parametrize(
  ("cell", "said"),
  [((3, 0, "120"), "age"), ((4, 2, "sea"), "work"), ((5, 3, "very"), "rich")],
)
def test_a_value_outside_of_the_declared_domain(
  start, table, tmp_path, cell, said
):
  path, fields, rows = table
  row, column, value = cell
  rows[row][column] = value
  with path.open("w", newline="") as stream:
    csv.writer(stream).writerows(rows)
  refused(start("table", fields, path), said)
  assert not (tmp_path / "out").exists()


def test_a_table_needs_its_file_and_its_schema(start, table, tmp_path):
  path, fields, _ = table
  refused(
    start("table", fields, None), "--data_dir: name the file of the table"
  )
  refused(start("table", {"schema": ""}, path), "schema='': must be the file")
  assert not (tmp_path / "out").exists()


_TEXTS = {
  "labels": ("bad", "good"),
  "model": "tiny",
  "random_prompt": "Write a {label} review of {words} words.",
  "words": 8.0,
  "retries": 1,
  "backoff": 0.01,
  "look_ahead": 0,
}


@pytest.fixture
def texts(tmp_path):
  path = tmp_path / "private.jsonl"
  secret = ["the soup was cold and Mr Quux rude", "Mrs Quux sang all evening"]
  lines = [
    {"text": f"{secret[i % 2]} {i}", "label": _TEXTS["labels"][i % 2]}
    for i in range(30)
  ]
  path.write_text("".join(json.dumps(line) + "\n" for line in lines))
  return path


def test_texts_and_no_word_of_them_to_the_endpoint(start, texts, tmp_path):
  pytest.importorskip("openai")

  def answer(prompt, count):
    kind = "good" if "good" in prompt else "bad"
    return f"a {kind} place, visit {len(prompt)} {count}"

  with chat_server.serving(answer) as server:
    ended = start("texts", _TEXTS | {"base_url": server.url}, texts)
    assert ended.code == 0, ended.err
    asked = json.dumps(server.requests)
  assert "Quux" not in asked and "requests" in ended.out
  release = tmp_path / "out" / "release"
  lines = (release / "texts.jsonl").read_text().splitlines()
  records = [json.loads(line) for line in lines]
  assert [each["label"] for each in records].count("good") == 10
  assert all(each["text"] for each in records) and len(records) == 20
  fields = json.loads((release / "privacy.json").read_text())
  assert fields["epsilon"] <= 8 * (1 + 1e-9)
  for each in (tmp_path / "out").rglob("*"):
    if each.is_file():
      assert b"Quux" not in each.read_bytes(), each
  mode = stat.S_IMODE((tmp_path / "out" / state.FILE).stat().st_mode)
  assert mode == 0o600


def test_an_endpoint_that_cannot_be_reached(start, texts, tmp_path):
  fields = _TEXTS | {"base_url": "http://127.0.0.1:9/v1"}
  refused(start("texts", fields, texts), "base_url")
  assert not (tmp_path / "out").exists()


def test_a_label_that_was_not_declared(start, texts, tmp_path):
  fields = _TEXTS | {"labels": ("bad", "fair")}
  with chat_server.serving(lambda *_: "fine") as server:
    fields["base_url"] = server.url
    refused(start("texts", fields, texts), "good")
  assert not (tmp_path / "out").exists()
