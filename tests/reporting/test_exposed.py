"""Who leaks: the CSV and the terminal against numbers made by hand."""

import csv
import io
import stat

import numpy as np
import pytest
from rich.console import Console

from syndata_jax.attack import Exposure
from syndata_jax.reporting import Examples, most_exposed, write_csv
from syndata_jax.reporting.canary_sheet import canary_sheet, draw_canaries
from syndata_jax.reporting.exposed import columns

NAN = float("nan")
HEADER = (
  "index,kind,label_given,label_true,models_in,models_out,score_in,score_out,"
  "recognised,recognised_low,recognised_high,recognised_at_1_percent"
)


def exposure():
  return Exposure(
    row=np.array([2, 0, 1]),
    label=np.array([7, 0, 3], np.int32),
    models_in=np.array([4, 4, 0]),
    models_out=np.array([4, 4, 8]),
    score_in=np.array([5.25, 1 / 3, NAN]),
    score_out=np.array([-2.5, 0.0, 1e-7]),
    recognised=np.array([1.0, 0.5, NAN]),
    recognised_low=np.array([0.39763, 0.067586, NAN]),
    recognised_high=np.array([1.0, 0.932414, NAN]),
    recognised_at_1_percent=np.array([1.0, 0.75, NAN]),
  )


def examples(images=None):
  rows, true = np.array([40, 50, 60]), np.array([9, -1, 8], np.int32)
  return Examples(rows, "mislabelled", true, images)


def test_the_csv_has_a_line_for_each_example(tmp_path):
  path = tmp_path / "canaries.csv"
  write_csv(path, columns(exposure(), examples()))
  assert path.read_bytes().decode() == (
    f"{HEADER}\n"
    "60,mislabelled,7,8,4,4,5.25,-2.5,1,0.39763,1,1\n"
    "40,mislabelled,0,9,4,4,0.333333,0,0.5,0.067586,0.932414,0.75\n"
    "50,mislabelled,3,,0,8,,1e-07,,,,\n"
  )
  assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_rows_of_the_file_stand_for_those_that_are_not_known(tmp_path):
  path = tmp_path / "canaries.csv"
  write_csv(path, columns(exposure(), None))
  first, *rest = csv.reader(io.StringIO(path.read_text()))
  assert ",".join(first) == HEADER
  assert [line[:4] for line in rest] == [
    ["2", "", "7", ""],
    ["0", "", "0", ""],
    ["1", "", "3", ""],
  ]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_ten_lines_on_the_terminal(width):
  many = Exposure(*(np.tile(column, 9) for column in exposure()))
  for known in (examples(), None):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    table = columns(many, known)
    console.print(most_exposed(table, console), highlight=False, crop=False)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    shown = [line for line in lines if line[:1].isdigit()]
    assert len(shown) == 10
    if known:
      assert shown[0] == "60 7 8 4 of 4 40 to 100% 5.25 -2.50"
      assert shown[2] == "50 3 - - - - 0.00"
    flat = " ".join(lines)
    assert "for the owner of the data alone" in flat
    assert "none of this is in report.txt" in flat


def many(count, shape=(8, 8, 1)):
  """Each image has the shade of its row; the most exposed is the last."""
  order = np.arange(count)[::-1]
  shade = np.arange(count, dtype=np.uint8)[:, None, None, None]
  images = np.broadcast_to(shade, (count, *shape))
  ones = np.ones(count)
  table = columns(
    Exposure(
      order,
      order % 10,
      *[np.full(count, 4)] * 2,
      *[ones] * 2,
      np.where(order % 2, 0.75, 0.0),
      *[ones] * 3,
    ),
    Examples(order, "mislabelled", np.arange(count) % 7 - 1, images),
  )
  return images, table


@pytest.mark.parametrize(
  ("count", "shown", "shape"),
  [(60, 50, (8, 8, 1)), (12, 12, (8, 8, 3)), (2, 2, (4, 16, 1))],
)
def test_a_sheet_shows_both_labels_of_the_most_exposed(count, shown, shape):
  images, table = many(count, shape)
  (axes,) = draw_canaries(images, table).axes
  assert len(axes.images) == len(axes.texts) == shown
  for place in range(shown):
    row = count - 1 - place
    pixels = axes.images[place].get_array()
    assert pixels.shape == (*shape[:2], 3) and (pixels == row).all()
    true = row % 7 - 1
    assert axes.texts[place].get_text() == (
      f"given {row % 10}, true {'-' if true < 0 else true}\n"
      f"found in {3 if row % 2 else 0} of 4"
    )
  # Pictures keep their proportions, stand in lines of ten, and never overlap.
  boxes = [image.get_extent() for image in axes.images]
  for left, right, bottom, top in boxes:
    assert (right - left) / (bottom - top) == pytest.approx(shape[1] / shape[0])
  assert len({round(box[3], 6) for box in boxes}) == -(-shown // 10)
  box = axes.get_window_extent()
  across, down = (
    abs(np.diff(lim())[0]) for lim in (axes.get_xlim, axes.get_ylim)
  )
  assert box.width / across == pytest.approx(box.height / down)
  for text in axes.texts:
    extent = text.get_window_extent()
    assert extent.width < box.width / across


def test_a_sheet_is_its_owners_alone(tmp_path):
  path = tmp_path / "canaries.png"
  canary_sheet(path, *many(3))
  assert path.read_bytes().startswith(b"\x89PNG")
  assert stat.S_IMODE(path.stat().st_mode) == 0o600
