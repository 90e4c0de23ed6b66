"""The figures: their data against a loop, their files all or nothing."""

import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection
from PIL import Image

from syndata_jax import files, keys
from syndata_jax.reporting import figures, loss_figure, roc_figure
from syndata_jax.reporting.bands import Band
from syndata_jax.reporting.sheet import draw_sheet


@pytest.fixture
def generator():
  return keys.generator(0, "test/figures")


def curve(generator, label, size=4000, gap=1.0):
  membership = np.arange(size) % 2 == 0
  # Rounding makes ties, which no threshold can tear apart.
  scores = np.round(generator.normal(gap * membership), 1)
  return label, scores, membership


def reached(scores, membership):
  """Every (FPR, TPR) that some threshold gives, one threshold at a time."""
  points = [(0.0, 0.0)]
  for threshold in sorted(set(scores.tolist()), reverse=True):
    called = scores >= threshold
    points.append((called[~membership].mean(), called[membership].mean()))
  return np.array(points)


def test_roc_lines_are_the_points_that_thresholds_reach(generator):
  curves = [curve(generator, "a"), curve(generator, "b", gap=2.0)]
  (axes,) = figures.draw_roc(curves, "title").axes
  for line, (_, scores, membership) in zip(axes.lines, curves, strict=False):
    points = reached(scores, membership)
    # Nothing left of one false positive, where the curve stands already.
    begin = points[points[:, 0] <= 1 / 2000, 1].max()
    points = points[points[:, 0] > 1 / 2000]
    np.testing.assert_allclose(
      line.get_xydata(), [(1 / 2000, begin), *points], atol=1e-12
    )
    assert line.get_drawstyle() == "steps-post"
  np.testing.assert_array_equal(*axes.lines[2].get_data())
  assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
  assert axes.get_title() == "title"


def test_roc_marks_and_names_the_tpr_at_a_thousandth(generator):
  label, scores, membership = curve(generator, "LiRA", gap=3.0)
  (axes,) = figures.draw_roc([(label, scores, membership)], "").axes
  points = reached(scores, membership)
  expected = points[points[:, 0] <= 0.001, 1].max()
  ((_, marked),) = axes.collections[0].get_offsets()
  assert marked == pytest.approx(expected, abs=1e-12)
  legend = axes.get_legend()
  assert legend.get_texts()[0].get_text() == f"LiRA: {expected:.1%}"
  assert legend.get_title().get_text() == "TPR at 0.1% FPR"


def test_roc_marks_nothing_that_is_not_resolved(generator):
  (axes,) = figures.draw_roc([curve(generator, "few", size=1000)], "").axes
  assert not axes.collections
  assert axes.get_legend().get_texts()[0].get_text() == "few"


@pytest.mark.parametrize(
  ("sizes", "most"), [((16000,), 8000), ((2, 400), 200), ((2,), 1)]
)
def test_the_smallest_fpr_is_drawn_and_nothing_left_of_it(
  generator, sizes, most
):
  curves = [curve(generator, f"{size}", size) for size in sizes]
  (axes,) = figures.draw_roc(curves, "").axes
  assert axes.get_xlim() == pytest.approx((0.5 / most, 1))
  *drawn, chance, line = [
    line for line in axes.lines if list(line.get_xdata()) != [0.001, 0.001]
  ]
  assert list(line.get_xdata()) == [1 / most] * 2
  assert list(line.get_ydata()) == [0, 1]
  assert [text.get_text() for text in axes.texts] == [
    f"one false positive in {most:,}"
  ]
  assert chance.get_xdata().min() == pytest.approx(1 / most)
  for line, size in zip(drawn, sizes, strict=True):
    assert line.get_xdata().min() == pytest.approx(2 / size)


def test_a_band_is_drawn_around_its_curve(generator):
  label, scores, membership = curve(generator, "a")
  fpr = np.array([0.001, 0.01, 0.1, 1])
  band = Band(fpr, np.array([0.1, 0.2, 0.3, 1]), np.array([0.3, 0.4, 0.5, 1]))
  (axes,) = figures.draw_roc(
    [figures.Curve(label, scores, membership, band)], ""
  ).axes
  (area,) = [
    each
    for each in axes.collections
    if isinstance(each, FillBetweenPolyCollection)
  ]
  corners = {tuple(point) for point in area.get_paths()[0].vertices}
  assert {(0.001, 0.1), (0.01, 0.1), (0.01, 0.4), (0.1, 0.5)} <= corners


def test_histograms_are_shares_of_each_group(generator):
  membership = generator.random(3000) < 0.2
  losses = 10 ** generator.normal(-2, 4, 3000)  # beyond the axis on both sides
  figure = figures.draw_losses([("one", losses, membership)], "title")
  (axes,) = figure.axes
  assert axes.get_xlim() == pytest.approx((1e-6, 1e2))
  for patch, chosen in zip(
    axes.patches, (~membership, membership), strict=True
  ):
    share, edges, _ = patch.get_data()
    assert share.sum() == pytest.approx(100)
    assert edges[0] == pytest.approx(1e-6)
    assert share[0] == pytest.approx(
      100 * np.mean(losses[chosen] < edges[1]), abs=1e-9
    )
    assert share[-1] == pytest.approx(
      100 * np.mean(losses[chosen] >= edges[-2]), abs=1e-9
    )
    middle = len(share) // 2
    inside = (losses >= edges[middle]) & (losses < edges[middle + 1])
    assert share[middle] == pytest.approx(100 * np.mean(inside[chosen]))


@pytest.mark.parametrize("spread", [0.02, 0.3, 0.8])
def test_the_axis_of_losses_is_as_long_as_the_data(generator, spread):
  membership = generator.random(3000) < 0.5
  groups = 10 ** generator.normal(-1 + 0.5 * membership, spread)
  groups[0] = 1e-12  # a single one does not stretch it
  (axes,) = figures.draw_losses([("one", groups, membership)], "").axes
  left, right = axes.get_xlim()
  ends = [
    np.quantile(groups[chosen], share)
    for chosen in (membership, ~membership)
    for share in (0.005, 0.995)
  ]
  ratio = 10 ** (1 / 6)
  assert min(ends) / ratio < left <= min(ends)
  assert max(ends) <= right < max(ends) * ratio
  edges = axes.patches[0].get_data()[1]
  np.testing.assert_array_equal(edges, axes.patches[1].get_data()[1])
  np.testing.assert_allclose(
    np.diff(np.log(edges)), np.log(edges[1] / edges[0])
  )
  axes.figure.draw_without_rendering()
  ticks = [
    label.get_text()
    for label, at in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)
    if left <= at <= right
  ]
  # Of a short axis not the decades alone.
  assert {"0.1", "1"} <= set(ticks) if spread == 0.8 else "0.2" in ticks


def test_panels_share_their_axes(generator):
  membership = np.arange(200) % 2 == 0
  losses = generator.exponential(1.0, 200)
  populations = [
    ("worst", losses, membership),
    ("mean", losses / 9, membership),
  ]
  left, right = figures.draw_losses(populations, "").axes
  assert left.get_xlim() == right.get_xlim()
  assert left.get_ylim() == right.get_ylim()
  assert [axes.get_title() for axes in (left, right)] == ["worst", "mean"]


@pytest.mark.parametrize(
  ("write", "size"), [(roc_figure, (960, 768)), (loss_figure, (832, 576))]
)
def test_files_are_pictures_with_ink_of_both_colours(
  tmp_path, generator, write, size
):
  label, scores, membership = curve(generator, "a", gap=1.5)
  series = [(label, np.exp(scores), membership)]
  if write is roc_figure:
    series.append(curve(generator, "b", gap=0.0))
  write(tmp_path / "figure.png", series, "title")
  with Image.open(tmp_path / "figure.png") as image:
    assert (image.format, image.size) == ("PNG", size)
    pixels = np.asarray(image.convert("RGB"), int)
  for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
    distance = np.abs(pixels - colour).sum(axis=-1)
    # Inside the axes, above the height where the legends can stand.
    assert (distance[100 : size[1] // 2, 120:] < 30).sum() > 20


def test_a_file_is_written_whole_or_not_at_all(
  tmp_path, generator, monkeypatch
):
  path = tmp_path / "roc.png"
  path.write_bytes(b"before")

  def refuse(*_):
    raise OSError("disk full")

  with monkeypatch.context() as patch:
    patch.setattr(files.os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
      roc_figure(path, [curve(generator, "a")], "")
  assert path.read_bytes() == b"before"
  assert list(tmp_path.iterdir()) == [path]
  roc_figure(str(path), [curve(generator, "a")], "")
  assert path.read_bytes().startswith(b"\x89PNG")
  assert list(tmp_path.iterdir()) == [path]


def test_a_sheet_has_a_row_for_each_class():
  images = np.zeros((24, 20, 30, 3))
  images[:22, ..., 0] = np.linspace(-1, 2, 22)[:, None, None]
  images[22], images[23] = [0, 1, 0], [0, 0, 0.5]
  labels = np.array([0] * 22 + [3] * 2)
  sheet = draw_sheet(images, labels)
  # Enlarged to 60x90; 20 of the 22 of the first class are shown.
  assert sheet.dtype == np.uint8
  assert sheet.shape == (2 * 62 - 2, 20 * 92 - 2, 3)
  first = sheet[30, 45::92]
  want = np.rint(255 * np.clip(np.linspace(-1, 2, 22)[:20], 0, 1))
  np.testing.assert_array_equal(first[:, 0], want)
  assert not first[:, 1:].any()
  assert sheet[62 + 30, 45::92][:3].tolist() == [
    [0, 255, 0],
    [0, 0, 128],
    [255] * 3,
  ]
  assert (sheet[60:62] == 255).all() and (sheet[:, 90:92] == 255).all()


@pytest.mark.parametrize("draw", [figures.draw_roc, figures.draw_losses])
def test_a_long_title_stays_inside_the_picture(generator, draw):
  label, scores, membership = curve(generator, "a")
  title = "An audit of the scans of the radiology department, " * 3
  figure = draw([(label, np.exp(scores), membership)], title)
  figure.draw_without_rendering()
  shown = figure.axes[0].title
  if draw is figures.draw_losses:
    (shown,) = figure.texts
  box = shown.get_window_extent()
  assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
  assert shown.get_text().split() == title.split()
