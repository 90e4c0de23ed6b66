"""The report as a value, and its HTML in a notebook."""

import html.parser
import json

import numpy as np
import pytest

from syndata_jax import attack
from syndata_jax.attack import PredictionFile, Predictions
from syndata_jax.errors import UserError
from syndata_jax.reporting import Examples, Guarantee, Report, render_text

Q, M, K = 40, 8, 3
_PASSIVE = {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}


def predictions(models=M, seed=0):
  rng = np.random.default_rng(seed)
  half = np.tile(np.arange(models) < max(models // 2, 1), (Q, 1))
  membership = rng.permuted(half, axis=1)
  if models == 1:
    membership = rng.random((Q, 1)) < 0.5
  labels = rng.integers(0, K, Q).astype(np.int32)
  logits = rng.normal(size=(Q, models, 1, K)).astype(np.float32)
  logits[np.arange(Q), :, 0, labels] += 6 * membership
  return PredictionFile(Predictions(logits, labels, membership))


@pytest.fixture(scope="module")
def attacked():
  file = predictions()
  return attack.attack(file, replicates=20), file


@pytest.fixture
def training():
  return {
    "dataset": "scans",
    "paradigm": "undefended",
    "model": "convnet",
    "canary_kind": "mislabelled",
    "num_epochs": 3,
    "device": "<script>alert(1)</script> & co",
    "test_accuracy": [0.9125, 0.9125],
    "hours": 0.01,
    "images_per_second": 1234.0,
    "utilisation": None,
  }


class Page(html.parser.HTMLParser):
  """The elements of a page, which must be closed in order, and its text."""

  def __init__(self, text):
    super().__init__()
    self.open, self.elements, self.rows, self.texts = [], [], [], []
    self.feed(text)
    self.close()
    assert not self.open

  def handle_starttag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))
    self.open.append(tag)
    if tag == "tr":
      self.rows.append([])
    if tag in ("td", "th"):
      self.rows[-1].append("")

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.texts.append(data)
    if self.open[-1] in ("td", "th"):
      self.rows[-1][-1] += data


def test_the_page_is_passive_and_closed(attacked, training):
  guarantee = Guarantee(("epsilon 8 <for all>",), 8.0)
  page = Page(Report(*attacked, training, guarantee)._repr_html_())
  assert {tag for tag, _ in page.elements} <= _PASSIVE
  for _, attributes in page.elements:
    assert attributes.keys() <= {"style"}
    assert "url" not in attributes.get("style", "")
    # The notebook's own colours, light or dark.
    style = attributes.get("style", "").replace("background", "color")
    assert "color:" not in style
  text = "".join(page.texts)
  assert "<script>alert(1)</script> & co" in text
  assert "epsilon 8 <for all>" in text


def test_the_page_has_the_numbers_of_the_report(attacked, training):
  true = np.arange(Q) % 2 - 1
  known = Examples(np.arange(Q) + 1000, "mislabelled", true)
  report = Report(*attacked, training, None, known)
  page = Page(report._repr_html_())
  assert page.texts[0] == report.verdict
  rows = {" ".join(row[0].split()): row[1:] for row in page.rows}
  # The rows of the text, cell by cell.
  bound = "one example added or removed"
  text = [line.split() for line in report.table().splitlines()]
  for name in ("canaries", bound):
    cells = " ".join(rows[name]).split()
    assert [*name.split(), *cells] in text
  assert rows["Utility"][0].startswith("test accuracy 91.25%")
  assert "accelerator time" in rows["Efficiency"][0]
  exposed = report.per_canary()
  start = [row[0] for row in page.rows].index("Training image") + 1
  shown = page.rows[start:]
  assert [row[0] for row in shown] == [str(i) for i in exposed["index"][:5]]
  assert [row[1] for row in shown] == [str(i) for i in exposed["label"][:5]]
  assert [row[2] for row in shown] == [
    "-0"[1 + true[row] :][:1] for row in exposed["row"][:5]
  ]
  # Four of four models: (0.05 / 2) ** (1 / 4) at the least.
  assert shown[0][3:5] == ["100.0%", "40 to 100%"]
  assert [row[6] for row in shown] == [
    f"{score:.2f}" for score in exposed["score_in"][:5]
  ]


def test_a_broken_guarantee_stands_on_the_page(attacked):
  bound = attacked[0]["epsilon_bound"]["epsilon"]
  assert bound > 1
  kept = Report(*attacked, None, Guarantee(("words",), bound + 0.1))
  broken = Report(*attacked, None, Guarantee(("words",), bound - 0.1))
  assert (kept.guarantee_is_broken, broken.guarantee_is_broken) == (0, 1)
  assert not Report(*attacked).guarantee_is_broken
  for text in ("_repr_html_", "table"):
    words = "The guarantee is broken"
    assert words in getattr(broken, text)()
    assert words not in getattr(kept, text)()


def test_one_model(training):
  file = predictions(models=1)
  report = Report(attack.attack(file, replicates=20), file, training)
  page = Page(report._repr_html_())
  assert page.texts[0] == report.verdict
  assert "40 coins decided which mislabelled images" in report.verdict
  assert "AUC" in [cell for row in page.rows for cell in row]
  assert "-" in page.rows[-1]


def test_its_texts(attacked, training):
  report = Report(*attacked, training)
  assert str(report) == report.table() == render_text(attacked[0], training)
  assert max(map(len, report.table().splitlines())) <= 100
  one_line = " ".join(report.table().split())
  assert " ".join(report.verdict.split()) in one_line
  assert repr(report) == f"<Report: {report.verdict}>"


def test_the_columns_of_the_canaries(attacked):
  report = Report(*attacked)
  columns = report.per_canary()
  assert "index" not in columns
  assert {len(column) for column in columns.values()} == {Q}
  index = np.random.default_rng(0).permutation(1000)[:Q]
  true = np.arange(Q, dtype=np.int32)
  examples = Examples(index, "blank", true)
  whole = Report(*attacked, canaries=examples)
  known = whole.per_canary()
  assert next(iter(known)) == "index"
  np.testing.assert_array_equal(whole.canary_index, index)
  np.testing.assert_array_equal(known["label_true"], known["row"])
  assert set(known["kind"]) == {"blank"}
  assert whole.per_average() == {}
  np.testing.assert_array_equal(known["index"], index[columns["row"]])
  np.testing.assert_array_equal(
    known["label"], attacked[1].canaries.labels[known["row"]]
  )
  assert all(column.ndim == 1 for column in known.values())
  json.dumps({name: column.tolist() for name, column in known.items()})


def test_a_notebook_shows_the_figures(attacked, training, tmp_path):
  report = Report(*attacked, training)
  for draw in (report.roc, report.losses):
    figure = draw()
    assert figure._repr_png_()[:8] == b"\x89PNG\r\n\x1a\n"
    written = draw(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes() == written._repr_png_()
  titles = [axes.get_title() for axes in report.roc().axes]
  assert titles == ["scans, undefended, convnet: 8 models, 40 canaries"]


def test_pictures_of_canaries_are_needed_for_their_sheet(attacked, tmp_path):
  for canaries in (None, Examples(np.arange(Q), "blank")):
    with pytest.raises(UserError, match="no pictures of the canaries"):
      Report(*attacked, canaries=canaries).canary_sheet()
  images = np.zeros((Q, 8, 8, 1), np.uint8)
  canaries = Examples(np.arange(Q), "blank", np.arange(Q), images)
  report = Report(*attacked, canaries=canaries)
  written = report.canary_sheet(tmp_path / "sheet.png")
  assert (tmp_path / "sheet.png").read_bytes() == written._repr_png_()
  assert len(report.canary_sheet().axes[0].texts) == Q


def test_pairs_are_of_a_run_that_makes_images(attacked):
  with pytest.raises(UserError, match="no pairs of images"):
    Report(*attacked).closest_pairs()


def test_the_title_of_logits_from_elsewhere(attacked):
  given = {"title": "Vendor <7>", "facts": {"Noise": 1.3}, "notes": ["odd"]}
  report = Report(*attacked, given=given)
  (axes,) = report.roc().axes
  assert axes.get_title() == "Vendor <7>: 8 models, 40 canaries"
  page = Page(report._repr_html_())
  assert page.texts[0] == "Vendor <7>" and page.texts[1] == report.verdict
  assert "Note: odd" in page.texts
  assert ["Noise", "1.3"] in page.rows
  assert "Vendor <7>" in report.table().splitlines()[0]
