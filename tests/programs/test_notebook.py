"""The notebook under `.github/`, cell by cell."""

import json
import pathlib

import numpy as np
import pytest

_NOTEBOOK = pathlib.Path(__file__).parents[2] / ".github" / "audit.ipynb"


@pytest.fixture(scope="module")
def cells():
  return json.loads(_NOTEBOOK.read_text(encoding="utf-8"))["cells"]


@pytest.fixture(scope="module")
def results(cells):
  """The names that its code has left behind."""
  names = {"__name__": "__main__"}
  for number, cell in enumerate(cells, start=1):
    if cell["cell_type"] == "code":
      code = compile("".join(cell["source"]), f"cell {number}", "exec")
      exec(code, names)
  return names


def test_it_is_a_notebook_without_outputs(cells):
  notebook = json.loads(_NOTEBOOK.read_text(encoding="utf-8"))
  assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
  assert len(cells) == 10
  assert len({cell["id"] for cell in cells}) == 10
  for cell in cells:
    if cell["cell_type"] == "markdown":
      assert cell.keys() == {"cell_type", "id", "metadata", "source"}
    else:
      assert (cell["outputs"], cell["execution_count"]) == ([], None)


def _headline(report):
  return report.attack["canaries"]["attacks"][0]


@pytest.mark.slow
def test_its_results(results):
  undefended, private = results["undefended"], results["private"]
  elsewhere = results["elsewhere"]
  assert _headline(undefended)["auc"]["value"] > 0.9
  assert _headline(undefended)["tpr_at_fpr"]["0.01"]["low"] > 0.01
  assert 0.3 < _headline(private)["auc"]["value"] < 0.75
  assert _headline(elsewhere)["auc"]["value"] > 0.9
  for report in (undefended, private):
    assert np.mean(report.training["test_accuracy"]) > 0.85
    assert report.verdict in report._repr_html_()
  # Stated for adding or removing an example, tested by replacing one.
  assert private.guarantee.epsilon > 8.0
  assert private.guarantee.lines[0].startswith("epsilon 8 at delta 0.0001")
  assert not private.guarantee_is_broken
  assert (undefended.guarantee, elsewhere.training) == (None, None)


@pytest.mark.slow
def test_the_most_exposed_images_are_mislabelled(results):
  _, labels = results["train"]
  canaries = results["canaries"]
  index, recognised = canaries["index"], canaries["recognised"]
  assert len(set(index.tolist())) == 30
  assert (labels[index] != canaries["label"]).all()
  assert recognised.tolist() == sorted(recognised, reverse=True)
  assert recognised[0] > 0.5
