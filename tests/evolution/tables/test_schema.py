"""A table's public domain, and its files."""

import copy
import csv
import json

import adult_like
import numpy as np
import packets
import pytest

from syndata_jax.errors import UserError
from syndata_jax.evolution import tables
from syndata_jax.evolution.tables import schema as schemas
from syndata_jax.evolution.tables.columns import Numeric
from syndata_jax.evolution.tables.rows import Rows, Table

ADULT = schemas.from_dict(adult_like.SCHEMA)


def _written(path, header, *rows):
  path.write_text("\n".join(map(",".join, [header, *rows])) + "\n")
  return path


NAMES = ("age", "hours", "gain", "work", "education", "marital", "income")
ROW = ("30", "40", "12.5", "self", "master", "single", ">50K")


def test_reads_columns_in_any_order(tmp_path):
  header, row = NAMES[::-1], ROW[::-1]
  table = tables.read(_written(tmp_path / "t.csv", header, row, row), ADULT)
  gain = np.log1p(12.5) / np.log1p(99999)
  np.testing.assert_allclose(
    table.rows.floats, [[13 / 73, 39 / 98, gain]] * 2, rtol=1e-6
  )
  np.testing.assert_array_equal(table.rows.categories, [[2, 3, 0]] * 2)
  np.testing.assert_array_equal(table.labels, [1, 1])


@pytest.mark.parametrize(
  "column, cell, allowed",
  [
    ("age", "91", "a whole number in [17, 90]"),
    ("age", "30.5", "a whole number in [17, 90]"),
    ("gain", "nan", "a number in [0, 99999]"),
    ("gain", "", "a number in [0, 99999]"),
    ("work", "abroad", "one of 'private', 'state', 'self', 'none'"),
    ("income", ">60K", "one of '<=50K', '>50K'"),
  ],
)
def test_a_value_outside_the_domain_is_named(tmp_path, column, cell, allowed):
  bad = tuple(
    cell if name == column else value
    for name, value in zip(NAMES, ROW, strict=True)
  )
  path = _written(tmp_path / "t.csv", NAMES, ROW, ROW, bad)
  with pytest.raises(UserError) as error:
    tables.read(path, ADULT)
  message = f"{path}: line 4, column {column}: {cell!r}: must be {allowed}"
  assert str(error.value) == message


def test_columns_are_those_declared(tmp_path):
  more = _written(tmp_path / "more.csv", (*NAMES, "id"), (*ROW, "7"))
  with pytest.raises(UserError, match="'id': must be one of the schema's"):
    tables.read(more, ADULT)
  ignoring = schemas.from_dict(adult_like.SCHEMA | {"ignored": ["id"]})
  assert len(tables.read(more, ignoring).labels) == 1
  fewer = _written(tmp_path / "fewer.csv", NAMES[1:], ROW[1:])
  with pytest.raises(UserError, match="'age' is missing"):
    tables.read(fewer, ADULT)


def test_written_tables_lie_in_their_domain(tmp_path):
  """Also where float32 or seven digits would cross a bound."""
  schema = schemas.from_dict(
    {
      "columns": [
        {
          "name": "x",
          "type": "number",
          "minimum": 0.12345674,
          "maximum": 0.987654321,
        },
        {
          "name": "t",
          "type": "integer",
          "minimum": 10**9,
          "maximum": 10**9 + 10**8,
        },
        {
          "name": "s",
          "type": "number",
          "minimum": 1e-6,
          "maximum": 60,
          "scale": "log",
        },
        {"name": "a,b", "type": "category", "values": ['say "x"', "ä"]},
      ]
    }
  )
  units = np.linspace(0, 1, 101, dtype=np.float32)
  rows = Rows(np.stack([units] * 3, 1), (np.arange(101) % 2)[:, None])
  table = Table(rows, np.zeros(101, np.int32))
  tables.write(tmp_path / "table.csv", table, schema)
  again = tables.read(tmp_path / "table.csv", schema)
  np.testing.assert_allclose(again.rows.floats, rows.floats, atol=2e-6)
  np.testing.assert_array_equal(again.rows.categories, rows.categories)
  lines = list(csv.DictReader((tmp_path / "table.csv").open()))
  assert all(line["t"].isdecimal() for line in lines)
  assert lines[0]["x"] == "0.12345674" and lines[-1]["s"] == "60"


def test_a_scale_is_even():
  column = Numeric("x", 1, 10000, scale="log")
  np.testing.assert_allclose(
    column.units(np.array([1.0, 10, 100, 1000, 10000])), np.arange(5) / 4
  )
  for scale in ("linear", "log", "log1p"):
    column = Numeric("x", 2, 500, scale=scale)
    values = np.array([2.0, 3, 77, 500])
    np.testing.assert_allclose(column.values(column.units(values)), values)


def _changed(place, **fields):
  changed = copy.deepcopy(adult_like.SCHEMA)
  changed["columns"][place].update(fields)
  return changed


@pytest.mark.parametrize(
  "declared, message",
  [
    ({"columns": []}, "columns: a list of columns needed"),
    (_changed(0, maximum=17), "column age: maximum=17: must be above"),
    (_changed(0, minimum=17.5), "age: minimum=17.5: must be a whole number"),
    (_changed(0, minimum=None), "age: minimum=None: must be a finite number"),
    (_changed(2, scale="log"), "gain: minimum=0: must be above 0"),
    (_changed(2, scale="root"), "gain: scale='root': must be one of linear"),
    (_changed(3, values=["a", "a"]), "column work: value 'a' stands twice"),
    (_changed(3, values=["a"]), "work: values=\\['a'\\]: at least two"),
    (_changed(3, type="text"), "column work: type='text': must be one of"),
    (_changed(3, name="age"), "column 'age': must have a name of its own"),
    (_changed(3, minimum=3), "column work: 'minimum' is unknown"),
    (adult_like.SCHEMA | {"label": "age"}, "label='age': must be the name"),
  ],
)
def test_what_is_no_domain_is_refused(tmp_path, declared, message):
  path = tmp_path / "schema.json"
  path.write_text(json.dumps(declared))
  with pytest.raises(UserError, match=message) as error:
    tables.load_schema(path)
  assert str(error.value).startswith(f"{path}: ")
  assert "\n" not in str(error.value)


def _ruled(*rules):
  declared = json.loads(packets.SCHEMA.read_text())
  return declared | {"rules": list(rules)}


@pytest.mark.parametrize(
  "rules, message",
  [
    ([{"if": {"protocol": "ip"}, "then": {}}], "protocol='ip': must be one of"),
    ([{"if": {"traffic": "web"}, "then": {}}], "column 'traffic': must be"),
    ([{"if": {}, "then": {"length": 20}}], "length=20: must be a whole"),
    ([{"if": {}}], "must have 'if' and 'then'"),
    (
      [
        {"if": {"flags": "S"}, "then": {"length": [40, 60]}},
        {"if": {"protocol": "udp"}, "then": {"flags": "none"}},
      ],
      r"rules\[1\].then: changes a column on which rules\[0\].if depends",
    ),
    (
      [
        {"if": {"flags": "S"}, "then": {"length": [40, 60]}},
        {"if": {"protocol": "udp"}, "then": {"length": [50, 90]}},
      ],
      r"rules\[1\].then: would undo rules\[0\].then",
    ),
  ],
)
def test_rules_that_cannot_be_kept_are_refused(rules, message):
  with pytest.raises(UserError, match=message):
    schemas.from_dict(_ruled(*rules))
