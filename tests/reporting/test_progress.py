"""Progress: plain lines with exact numbers, a live bar in a terminal."""

import io

import numpy as np
import pytest
from rich.console import Console

from syndata_jax.ensemble import Round
from syndata_jax.reporting import stage_progress


def done(stage, number, of, seconds, images=0, left=0, **metrics):
  """A round of two models whose means are the metrics."""
  both = {name: np.array([v - 0.01, v + 0.01]) for name, v in metrics.items()}
  return Round(stage, number, of, seconds, images, left, both)


def run(total, seconds, first=0, **options):
  """What is printed when round after round takes `seconds`."""
  console = Console(file=io.StringIO(), **options)
  with stage_progress(console) as show:
    for n, each in enumerate(seconds, first + 1):
      left = 6000 * (total - n)
      metrics = {"loss": 1 / n, "accuracy": n / total}
      show(done("[b]models", n, total, each, 6000, left, **metrics))
  return console.file.getvalue()


def test_a_log_gets_a_line_per_tenth_without_the_compilation():
  text = run(40, [62.0] + [2.0] * 39, width=40)
  lines = text.splitlines()
  assert [line.split(",")[0] for line in lines] == [
    f"[b]models: round {4 * i}/40" for i in range(1, 11)
  ]
  assert lines[4] == (
    "[b]models: round 20/40, 3,000 images/s, 40 s left, loss 0.05, "
    "accuracy 50.0%"
  )
  assert lines[-1].endswith("0.0 s left, loss 0.025, accuracy 100.0%")


def test_the_first_report_counts_what_there_is():
  (line,) = run(10, [3.0]).splitlines()
  assert "round 1/10, 2,000 images/s, 27 s left" in line


def test_a_resumed_stage_counts_its_own_work():
  lines = run(100, [5.0] * 10, first=85).splitlines()
  assert [line.split(",")[0][-6:] for line in lines] == ["90/100"]
  assert "1,200 images/s, 50 s left" in lines[0]


@pytest.mark.parametrize(("total", "lines"), [(1, 1), (3, 3), (7, 7), (25, 10)])
def test_few_rounds_have_a_line_each(total, lines):
  text = run(total, [1.0] * total)
  assert len(text.splitlines()) == lines
  assert f"round {total}/{total}" in text.splitlines()[-1]


def test_rounds_that_grow_are_expected_to():
  """Round n presents 100 n images at 50 images/s: 14 s are left after two."""
  console = Console(file=io.StringIO())
  with stage_progress(console) as show:
    for n in (1, 2, 3, 4):
      left = 100 * sum(range(n + 1, 5))
      show(done("pool", n, 4, 90.0 if n == 1 else 2.0 * n, 100 * n, left))
  lines = console.file.getvalue().splitlines()
  assert lines[1] == "pool: round 2/4, 50 images/s, 14 s left"
  assert lines[2] == "pool: round 3/4, 50 images/s, 8.0 s left"


def test_a_terminal_gets_one_live_bar():
  text = run(40, [2.0] * 40, force_terminal=True, width=70, color_system=None)
  numbers = "3,000 images/s, 0.0 s left, loss 0.025, accuracy 100.0%"
  assert "[b]models ━" in text
  assert "40/40" in text
  assert numbers in text
  assert "round" not in text


def test_an_error_inside_leaves_the_terminal_usable():
  file = io.StringIO()
  console = Console(file=file, force_terminal=True, width=80)
  with pytest.raises(RuntimeError), stage_progress(console) as show:
    show(done("stage", 1, 5, 1.0))
    raise RuntimeError
  assert file.getvalue().rfind("\x1b[?25h") > file.getvalue().rfind("\x1b[?25l")


def show(stages, **options):
  """What is printed of stages (name, rounds): 2 s each, 30 s the first."""
  console = Console(file=io.StringIO(), **options)
  with stage_progress(console) as shown:
    for name, rounds in stages:
      for number in range(1, rounds + 1):
        seconds = 30.0 if number == 1 else 2.0
        shown(done(name, number, rounds, seconds, loss=1 / number))
  return console.file.getvalue()


def test_a_log_gets_about_ten_lines_a_stage():
  text = show([("[b]experts", 200), ("distil", 47), ("embed", 3)], width=30)
  lines = text.splitlines()
  assert [line.split(",")[0] for line in lines] == (
    [f"[b]experts: round {20 * i}/200" for i in range(1, 11)]
    + [f"distil: round {-(-47 * i // 10)}/47" for i in range(1, 11)]
    + [f"embed: round {i}/3" for i in (1, 2, 3)]
  )
  assert lines[4] == "[b]experts: round 100/200, 3 min 20 s left, loss 0.01"
  assert lines[-1].endswith("0.0 s left, loss 0.333")


def test_a_terminal_gets_a_bar_a_stage():
  text = show(
    [("[b]experts", 40), ("distil", 20)],
    force_terminal=True,
    width=70,
    color_system=None,
  )
  last = text[text.rfind("[b]experts ━") :]
  assert "40/40" in last and "distil" in last and "20/20" in last
  assert "0.0 s left, loss 0.05" in last
  assert "round" not in text
