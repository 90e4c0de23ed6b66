"""Killed at any point, a run goes on to the same result, and pays once."""

import numpy as np
import pytest
from evolution_small import HOST_POINTS, Dots, HostDots, records, run

from syndata_jax import files
from syndata_jax.errors import UserError
from syndata_jax.evolution import state, tools
from syndata_jax.evolution.histogram import votes
from syndata_jax.evolution.population import Population
from syndata_jax.privacy import Ledger

OPTIONS = dict(num_iterations=3, look_ahead=1, class_shares="private")


class Killed(BaseException):
  pass


class Mortal(HostDots):
  """Killed at one call, counted from 0; -1 for never."""

  def __init__(self, fatal):
    self.calls, self.fatal = 0, fatal

  def random(self, key, labels):
    self._live()
    return super().random(key, labels)

  def variation(self, key, samples, labels, degree):
    self._live()
    return super().variation(key, samples, labels, degree)

  def _live(self):
    self.calls += 1
    if self.calls == self.fatal + 1:
      raise Killed


@pytest.fixture(scope="module")
def whole():
  return run(Mortal(-1), HOST_POINTS, **OPTIONS)


def _same(one, other):
  np.testing.assert_array_equal(one.rendered, other.rendered)
  np.testing.assert_array_equal(one.labels, other.labels)
  assert one.ledger == other.ledger
  assert one.history == other.history


# Random samples, then look-ahead and variation of three iterations.
@pytest.mark.parametrize("fatal", range(7))
def test_killed_in_a_call_of_the_generator(tmp_path, whole, fatal):
  with pytest.raises(Killed):
    run(Mortal(fatal), HOST_POINTS, folder=tmp_path, **OPTIONS)
  _same(run(Mortal(-1), HOST_POINTS, folder=tmp_path, **OPTIONS), whole)


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("number", range(4))
def test_killed_while_the_state_is_written(
  tmp_path, whole, monkeypatch, number, written
):
  """Before it has its name, and right after; drawn once in either case."""
  saved, drawn = [], []
  save, voted = state.save, tools.voted

  def fatal(folder, now, run):
    if len(saved) == number and not written:
      raise Killed
    save(folder, now, run)
    saved.append(now)
    if len(saved) == number + 1:
      raise Killed

  def counted(*arguments):
    drawn.append(voted(*arguments))
    return drawn[-1]

  monkeypatch.setattr(tools, "voted", counted)
  monkeypatch.setattr(state, "save", fatal)
  with pytest.raises(Killed):
    run(Mortal(-1), HOST_POINTS, folder=tmp_path, **OPTIONS)
  monkeypatch.setattr(state, "save", save)
  _same(run(Mortal(-1), HOST_POINTS, folder=tmp_path, **OPTIONS), whole)
  # Only a histogram that nobody has seen is drawn again, and then the same.
  assert len(drawn) == 3 + (number > 0 and not written)


def test_a_finished_run_is_not_done_again(tmp_path, whole, monkeypatch):
  _same(run(Mortal(-1), HOST_POINTS, folder=tmp_path, **OPTIONS), whole)
  monkeypatch.setattr(tools, "voted", None)
  monkeypatch.setattr(state, "save", None)
  entries = []
  again = run(
    Mortal(-1),
    HOST_POINTS,
    folder=tmp_path,
    on_iteration=lambda entry, population: entries.append(entry.number),
    **OPTIONS,
  )
  _same(again, whole)
  assert entries == [3]


@pytest.mark.slow
def test_a_compiled_run_resumes(tmp_path):
  class Stop(BaseException):
    pass

  def stop(entry, population):
    if entry.number == 2:
      raise Stop

  with pytest.raises(Stop):
    run(folder=tmp_path, on_iteration=stop)
  _same(run(folder=tmp_path), run())


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"num_iterations": 5}, "num_iterations is 3 there and 5 here"),
    ({"epsilon": 5.0}, "epsilon is 4.0 there and 5.0 here"),
    ({"data": records(200)}, "records is 300 there and 200 here"),
    ({"api": Dots()}, "api is 'Mortal' there and 'Dots' here"),
  ],
)
def test_another_run_is_refused(tmp_path, changes, message):
  """A longer schedule, too: it would not be the noise that was paid for."""
  options = dict(num_iterations=3) | changes
  api = options.pop("api", None) or Mortal(-1)
  with pytest.raises(Killed):
    run(Mortal(3), HOST_POINTS, folder=tmp_path, num_iterations=3)
  before = (tmp_path / state.FILE).read_bytes()
  with pytest.raises(UserError, match=message) as caught:
    run(api, HOST_POINTS, folder=tmp_path, **options)
  assert "\n" not in str(caught.value)
  assert (tmp_path / state.FILE).read_bytes() == before


@pytest.mark.parametrize(
  "damage, message",
  [
    (lambda content: content[:100], "damaged"),
    (lambda content: b"", "damaged"),
  ],
)
def test_a_damaged_state_is_one_line(tmp_path, damage, message):
  with pytest.raises(Killed):
    run(Mortal(3), HOST_POINTS, folder=tmp_path)
  path = tmp_path / state.FILE
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(UserError, match=message) as caught:
    run(Mortal(-1), HOST_POINTS, folder=tmp_path)
  assert "\n" not in str(caught.value)


def test_texts_are_stored_as_they_are(tmp_path):
  texts = np.array(
    ["ends in a NUL\0", "", "<|endoftext|>\nü", "x" * 999], object
  )
  rows = np.arange(4, dtype=np.int32)
  begin = Ledger(1e-5)
  now = state.State(begin, sizes=(4,), population=Population(texts, rows, rows))
  state.save(tmp_path, now, {})
  assert (tmp_path / state.FILE).stat().st_size < 5_000
  stored = state.load(tmp_path, begin, {}, lambda sizes: texts)
  assert stored.population.samples.tolist() == texts.tolist()


def test_nothing_clean_is_in_any_file(tmp_path, capfd, caplog):
  """Byte by byte: clean votes and counts in any type; nor the noise's key."""
  import jax

  points, labels = records()
  seen = []
  caplog.set_level(0)
  evolved = run(
    folder=tmp_path,
    seed=0x123456789,
    class_shares="private",
    initial_variations=1,
    keep_selected=True,
    on_iteration=lambda entry, population: seen.append(
      files.read_arrays(tmp_path / state.FILE)
    ),
  )
  assert len(seen) == 3
  content = b"".join(
    path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
  )
  printed = "".join(capfd.readouterr()) + caplog.text
  head = seen[-1]["head"].tobytes().decode()
  noisy = [seen[-1][f"noisy_{number:03}"] for number in range(3)]
  assert all(histogram.tobytes() in content for histogram in noisy)
  counts = np.bincount(labels, minlength=3)
  clean = [("class counts", counts)]
  for stored in seen:
    candidates, classes = stored["population_000"], stored["population_001"]
    for label in range(3):
      mine, theirs = classes == label, labels == label
      clean.append(
        ("votes", np.asarray(votes(points[theirs], candidates[mine])))
      )
  for name, histogram in clean:
    assert histogram.sum() > 50  # there is something to be found
    for kind in ("f4", "f8", "i4", "i8", "u4", "f2", "u2"):
      # Zeros are no secret: from the first vote to the last.
      used = np.trim_zeros(histogram).astype(kind).tobytes()
      assert len(used) > 4 and used not in content, (name, kind)
    for text in (head, printed, str(evolved.history), str(evolved.ledger)):
      for kind in (int, float):
        line = ", ".join(map(str, histogram.astype(kind).tolist()))
        assert line not in text, name
  secret = np.asarray(jax.random.key_data(jax.random.key(0x123456789)))
  assert secret.tobytes() not in content
  assert (tmp_path / state.FILE).stat().st_mode & 0o077 == 0
