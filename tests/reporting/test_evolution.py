"""Progress and sheet of an evolution: their data, and their files."""

import math

import numpy as np
from PIL import Image

from syndata_jax.reporting.evolution import (
  Progress,
  draw_evolution,
  draw_progress,
  evolution_sheet,
  progress_figure,
)

PROGRESS = Progress(
  signal=[90.0, 120.0, 150.0],
  noise=[80.0, 80.0, 80.0],
  diversity=[0.8, 0.5, 0.25],
  epsilon=[1.0, 1.6, 2.1],
  budget=2.5,
  delta=1e-5,
)


def test_progress_shows_what_was_released():
  signal, diversity, epsilon = draw_progress(PROGRESS, "digits").axes
  iterations = [1, 2, 3]
  for axes, line, expected in (
    (signal, 0, PROGRESS.signal),
    (signal, 1, PROGRESS.noise),
    (diversity, 0, [80, 50, 25]),
    (epsilon, 0, PROGRESS.epsilon),
  ):
    x, y = axes.lines[line].get_data()
    np.testing.assert_array_equal(x, iterations)
    np.testing.assert_allclose(y, expected)
  assert set(epsilon.lines[1].get_ydata()) == {2.5}
  (text,) = epsilon.get_legend().get_texts()
  assert text.get_text() == "budget 2.5 at delta 1e-05"


def test_without_noise_there_is_no_epsilon_to_draw():
  endless = PROGRESS._replace(epsilon=[math.inf] * 3, budget=math.inf)
  _, _, epsilon = draw_progress(endless, "digits").axes
  assert not epsilon.lines
  assert epsilon.texts[0].get_text() == "no noise: no guarantee"


def test_a_sheet_has_a_named_row_for_every_population():
  samples = [np.full((n, 8, 8, 1), 60 * n, np.uint8) for n in (2, 3)]
  sheet = draw_evolution(samples, ["start", "1"])
  # Enlarged to 48 pixels, two between images, and the margin.
  assert sheet.shape == (98, 44 + 148, 3)
  assert (sheet[:48, 44 : 44 + 98] == 120).mean() > 0.9
  assert (sheet[50:, 44:] == 180).mean() > 0.9
  assert (sheet[:48, 44 + 100 :] == 255).all()
  assert (sheet[:48, :44] < 100).any() and (sheet[50:, :44] < 100).any()


def test_the_files_are_pictures(tmp_path):
  progress_figure(tmp_path / "progress.png", PROGRESS, "digits")
  images = np.zeros((2, 4, 4, 3), np.uint8)
  evolution_sheet(tmp_path / "samples.png", [images], ["start"])
  for name in ("progress.png", "samples.png"):
    with Image.open(tmp_path / name) as image:
      assert min(image.size) > 40
