"""From a table and a schema to the records, API and files of an evolution."""

import json

import adult_like
import jax
import jax.numpy as jnp
import numpy as np
import packets
import pytest

from syndata_jax.errors import UserError
from syndata_jax.evolution import tables
from syndata_jax.evolution.tables import TableOptions


def test_a_task_has_all_that_an_evolution_needs(tmp_path):
  (tmp_path / "schema.json").write_text(json.dumps(adult_like.SCHEMA))
  path = adult_like.people(tmp_path / "people.csv", 50, 0)
  options = TableOptions(str(tmp_path / "schema.json"))
  task = tables.load(path, options)
  assert task.num_classes == 2 and task.classes == adult_like.INCOME
  assert task.labels.shape == (50,) and task.summary() == ()
  # Records are what the API renders.
  labels = jnp.array([0, 1, 1], jnp.int32)
  rendered = task.api.render(task.api.random(jax.random.key(0), labels))
  shapes = [
    [leaf.shape[1:] for leaf in jax.tree.leaves(tree)]
    for tree in (task.records, rendered)
  ]
  assert shapes[0] == shapes[1]
  assert task.embedding.embed(task.records).shape == (50, 15)
  written = task.write(tmp_path, rendered, np.asarray(labels))
  assert written == tmp_path / "table.csv"
  again = tables.load(written, options)
  np.testing.assert_array_equal(again.labels, labels)
  # Seven digits of up to 99,999.
  np.testing.assert_allclose(again.records.floats, rendered.floats, atol=1e-5)


def test_a_table_without_labels_has_one_class(tmp_path):
  schema = json.loads(packets.SCHEMA.read_text())
  del schema["label"]
  (tmp_path / "schema.json").write_text(json.dumps(schema))
  path = packets.packets(tmp_path / "packets.csv", 30, 0)
  task = tables.load(path, TableOptions(str(tmp_path / "schema.json")))
  assert task.num_classes == 1 and not task.labels.any()
  assert task.records.categories.shape == (30, 4)
  task.write(tmp_path, task.records, task.labels)
  header = (tmp_path / "table.csv").read_text().splitlines()[0]
  assert header == ",".join(each["name"] for each in schema["columns"])


def test_files_that_are_not_there_are_one_line(tmp_path):
  with pytest.raises(UserError, match="schema=''"):
    tables.load(tmp_path / "people.csv", TableOptions())
  missing = tmp_path / "schema.json"
  with pytest.raises(UserError, match=f"{missing}: cannot be read"):
    tables.load(tmp_path / "people.csv", TableOptions(str(missing)))
  missing.write_text("{")
  with pytest.raises(UserError, match=f"^{missing}: damaged") as error:
    tables.load(tmp_path / "people.csv", TableOptions(str(missing)))
  assert "delete" not in str(error.value)
