"""Progress: plain lines with exact numbers, a live bar in a terminal."""

import io

import pytest
from rich.console import Console

from syndata_jax.reporting import progress, stage_progress


def run(total, seconds, first_epoch=0, **options):
  """What is printed when epoch after epoch takes `seconds`."""
  console = Console(file=io.StringIO(), **options)
  with progress("[b]models", total, console) as advance:
    for done, each in enumerate(seconds, first_epoch + 1):
      advance(done, each, 6000, 1 / done, done / total)
  return console.file.getvalue()


def test_a_log_gets_a_line_per_tenth_without_the_compilation():
  text = run(40, [62.0] + [2.0] * 39, width=40)
  lines = text.splitlines()
  assert [line.split(",")[0] for line in lines] == [
    f"[b]models: epoch {4 * i}/40" for i in range(1, 11)
  ]
  assert lines[4] == (
    "[b]models: epoch 20/40, 3,000 images/s, 40 s left, loss 0.05, "
    "accuracy 50.0%"
  )
  assert lines[-1].endswith("0.0 s left, loss 0.025, accuracy 100.0%")


def test_the_first_report_counts_what_there_is():
  (line,) = run(10, [3.0]).splitlines()
  assert "epoch 1/10, 2,000 images/s, 27 s left" in line


def test_a_resumed_stage_counts_its_own_work():
  lines = run(100, [5.0] * 10, first_epoch=85).splitlines()
  assert [line.split(",")[0][-6:] for line in lines] == ["90/100"]
  assert "1,200 images/s, 50 s left" in lines[0]


@pytest.mark.parametrize(("total", "lines"), [(1, 1), (3, 3), (7, 7), (25, 10)])
def test_few_epochs_have_a_line_each(total, lines):
  text = run(total, [1.0] * total)
  assert len(text.splitlines()) == lines
  assert f"epoch {total}/{total}" in text.splitlines()[-1]


def test_a_terminal_gets_one_live_bar():
  text = run(40, [2.0] * 40, force_terminal=True, width=70, color_system=None)
  numbers = "3,000 images/s, 0.0 s left, loss 0.025, accuracy 100.0%"
  assert "[b]models ━" in text
  assert "40/40" in text
  assert numbers in text
  assert "epoch" not in text


def test_an_error_inside_leaves_the_terminal_usable():
  file = io.StringIO()
  console = Console(file=file, force_terminal=True, width=80)
  with pytest.raises(RuntimeError), progress("stage", 5, console) as advance:
    advance(1, 1.0, 6, 0.5, 0.5)
    raise RuntimeError
  assert file.getvalue().rfind("\x1b[?25h") > file.getvalue().rfind("\x1b[?25l")


def show(stages, **options):
  """What is printed of stages (name, rounds): 2 s each, 30 s the first."""
  console = Console(file=io.StringIO(), **options)
  with stage_progress(console) as shown:
    for name, rounds in stages:
      for number in range(1, rounds + 1):
        shown(name, number, rounds, 30.0 if number == 1 else 2.0, 1 / number)
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
