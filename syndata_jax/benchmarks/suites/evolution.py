"""Private Evolution: votes against Faiss, whole runs against a NumPy loop."""

import importlib.util
import multiprocessing
import pathlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from syndata_jax import keys
from syndata_jax.benchmarks.harness.record import (
  Agenda,
  Case,
  Contender,
  Job,
  NotRun,
  measure,
)
from syndata_jax.evolution import iteration
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.embedding import PIXELS
from syndata_jax.evolution.histogram import Records, group, votes
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.reporting.formats import significant

MODELS = 32
_CLASSES, _SIDE = 10, 8
_STATUS = pathlib.Path("/proc/self/status")
_MISSING = "Faiss is not installed; pip install 'syndata_jax[benchmark]'"
# What ours must reach of a peer's rate, and many runs may cost of one.
_BAR_VOTES, _BAR_RUN, _BAR_MANY = 1.0, 20.0, float(MODELS)


class Search(NamedTuple):
  """Votes of P records among S candidates in D dimensions."""

  records: int
  candidates: int
  width: int

  @property
  def name(self) -> str:
    """Such as `votes: 50,000 x 50,000 x 512`."""
    return f"votes: {self.records:,} x {self.candidates:,} x {self.width:,}"

  def data(self) -> tuple[np.ndarray, np.ndarray]:
    """Random records f32[P,D] and candidates f32[S,D]."""
    draw = keys.generator(0, "benchmarks/evolution")
    shapes = (self.records, self.width), (self.candidates, self.width)
    one, other = (draw.standard_normal(shape, np.float32) for shape in shapes)
    return one, other


class Task(NamedTuple):
  """A whole run of the size of digits; the data are random."""

  records: int = 1797
  options: EvolutionOptions = EvolutionOptions(noise_multiplier=2.0)

  @property
  def name(self) -> str:
    """Such as `run: 10 iterations, 2,000 candidates, 1,797 records`."""
    iterations, size = self.options.num_iterations, self.options.num_samples
    return (
      f"run: {iterations} iterations, {size:,} candidates,"
      f" {self.records:,} records of {_SIDE}x{_SIDE}"
    )

  def data(self) -> tuple[np.ndarray, np.ndarray]:
    """Random images f32[N,64] and labels i32[N]."""
    draw = keys.generator(1, "benchmarks/evolution")
    images = draw.random((self.records, _SIDE * _SIDE), np.float32)
    return images, draw.integers(0, _CLASSES, self.records, np.int32)


def suite(quick: bool, rounds: int) -> Agenda:
  """Votes in two widths, then whole runs of one model and of many."""
  size = 5_000 if quick else 50_000
  searches = [Search(size, size, width) for width in (512, 2048)]
  cases: list[Callable[[], Case]] = [
    partial(of_votes, search, rounds) for search in searches[: 2 - quick]
  ]
  cases.append(partial(of_runs, Task(), MODELS, rounds))
  notes = (
    "Votes a second: of each record for its nearest candidate, in float32;"
    " of a run those of all iterations and models.",
    "Faiss is IndexFlatL2 with all cores, the index built in the round. Memory"
    " is what a process of its own needs beside the data, compiling included.",
    "A run draws affine views of ten shapes, embeds them as pixels, votes"
    " within ten classes, adds noise, selects by votes and varies: ours as one"
    " compiled program, the loop with NumPy, SciPy's affine_transform image by"
    " image, and scikit-learn's brute-force neighbours class by class.",
  )
  return Agenda("Private Evolution", "votes/s", notes, tuple(cases))


def of_votes(search: Search, rounds: int, apart: bool = True) -> Case:
  """Ours and Faiss.

  Args:
    search: what is searched.
    rounds: timed rounds of each.
    apart: whether memory is measured, each in a process of its own.
  """
  contenders = [
    Contender(name, peer, partial(_prepared, prepare, search, apart))
    for name, peer, prepare in (
      ("syndata_jax", False, prepare_votes),
      ("Faiss", True, prepare_faiss),
    )
  ]
  case = measure(search.name, search._asdict(), contenders, rounds)
  return _judged(case, _BAR_VOTES)


def of_runs(task: Task, models: int, rounds: int) -> Case:
  """One model, many, and the loop.

  Args:
    task: the run.
    models: M, the most.
    rounds: timed rounds of each.
  """
  contenders = [
    Contender(f"syndata_jax, M = {m}", False, partial(prepare_runs, task, m), m)
    for m in (1, models)
  ]
  contenders.append(
    Contender("NumPy, scikit-learn", True, partial(prepare_loop, task))
  )
  case = measure(
    task.name, {"records": task.records}, contenders, rounds, "models"
  )
  case = _judged(case, _BAR_RUN)
  one, many = (row.rate for row in case.rows[:2])
  if not one or not many:
    return case
  cost = models * one / many
  return case._replace(
    name=f"{case.name}; {models} models cost {cost:.1f} times one",
    settings=case.settings | {"cost_of_many": cost, "bar_of_many": _BAR_MANY},
  )


def _judged(case: Case, bar: float) -> Case:
  """The case with how many times the peer's rate ours is, and should be."""
  ratio = case.ratio(case.rows[0])
  name = f"{case.name}; {significant(ratio)}x the peer" if ratio else case.name
  settings = case.settings | {"ratio": ratio, "bar": bar}
  return case._replace(name=name, settings=settings)


def prepare_votes(search: Search) -> Job:
  """The clean votes, as they are within an iteration."""
  private, synthetic = map(jax.device_put, search.data())

  def run() -> np.ndarray:
    return np.asarray(votes(private, synthetic))

  return Job(run, search.records)


def prepare_faiss(search: Search) -> Job:
  """The same by Faiss, with all cores."""
  if importlib.util.find_spec("faiss") is None:
    raise NotRun(_MISSING)
  import faiss

  private, synthetic = search.data()

  def run() -> np.ndarray:
    index = faiss.IndexFlatL2(search.width)
    index.add(synthetic)
    _, rows = index.search(private, 1)
    return np.bincount(rows[:, 0], minlength=search.candidates)

  return Job(run, search.records)


def _prepared(
  prepare: Callable[[Search], Job], search: Search, apart: bool
) -> Job:
  job = prepare(search)
  if not apart:
    return job
  return job._replace(peak_bytes=partial(_needed, prepare, search))


def _needed(prepare: Callable[[Search], Job], search: Search) -> float | None:
  """Bytes that one round needs at most beside the data, in a new process.

  None where the system does not say.
  """
  if not _STATUS.exists():
    return None
  context = multiprocessing.get_context("spawn")
  receiver, sender = context.Pipe(duplex=False)
  child = context.Process(target=_report, args=(prepare, search, sender))
  child.start()
  sender.close()
  try:
    return float(receiver.recv())
  except EOFError:  # it was killed
    return None
  finally:
    child.join()


def _report(
  prepare: Callable[[Search], Job], search: Search, sender: Any
) -> None:
  """Sends how far one round raises the most memory that was resident."""
  job = prepare(search)
  before = _highest()
  job.run()
  sender.send(_highest() - before)


def _highest() -> int:
  """The most bytes that were resident; not those of who started the process."""
  fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
  return 1024 * int(fields["VmHWM"].split()[0])


class Shapes(Api):
  """Affine views of ten shapes: rotated, and shifted by pixels."""

  traceable = True

  def random(self, key: jax.Array, labels: jax.Array) -> dict[str, jax.Array]:
    """Any shape, turned and shifted anyhow."""
    which, where = jax.random.split(key)
    count = len(labels)
    return {
      "shape": jax.random.randint(which, (count,), 0, _CLASSES),
      "view": jax.random.uniform(where, (count, 3), minval=-1),
    }

  def variation(
    self,
    key: jax.Array,
    samples: dict[str, jax.Array],
    labels: jax.Array,
    degree: float | jax.Array,
  ) -> dict[str, jax.Array]:
    """Another view, or another shape."""
    drawn, moved, other = jax.random.split(key, 3)
    anew = self.random(drawn, labels)
    step = degree * jax.random.normal(moved, samples["view"].shape)
    changes = jax.random.uniform(other, (len(labels),)) < degree
    return {
      "shape": jnp.where(changes, anew["shape"], samples["shape"]),
      "view": jnp.clip(samples["view"] + step, -1, 1),
    }

  def render(self, samples: dict[str, jax.Array]) -> jax.Array:
    """Images f32[B,8,8,1] in [0, 1]."""
    shapes = jnp.asarray(_shapes())
    grid = jnp.indices((_SIDE, _SIDE), jnp.float32).reshape(2, -1)

    def one(shape: jax.Array, view: jax.Array) -> jax.Array:
      cosine, sine = jnp.cos(view[0]), jnp.sin(view[0])
      turn = jnp.array([[cosine, -sine], [sine, cosine]])
      centre = (_SIDE - 1) / 2
      places = turn @ (grid - centre) + centre + view[1:, None]
      return jax.scipy.ndimage.map_coordinates(shapes[shape], list(places), 1)

    images = jax.vmap(one)(samples["shape"], samples["view"])
    return images.reshape(-1, _SIDE, _SIDE, 1)


def _shapes() -> np.ndarray:
  """Ten random shapes f32[10,8,8]."""
  draw = keys.generator(2, "benchmarks/evolution")
  return draw.random((_CLASSES, _SIDE, _SIDE), np.float32)


def prepare_runs(task: Task, models: int) -> Job:
  """Whole runs of M models as one compiled program.

  Args:
    task: the run; every model owns all records, each in an order of its own.
    models: M.
  """
  images, labels = task.data()
  draw = keys.generator(3, "benchmarks/evolution")
  grouped = [
    group(images, labels, _CLASSES, members=draw.permutation(task.records))
    for _ in range(models)
  ]
  rows = np.stack([records.rows for records in grouped])
  classes = np.stack([records.classes for records in grouped])
  run_one = partial(evolved, Shapes(), task.options)
  program = jax.jit(jax.vmap(run_one, in_axes=(None, 0, 0, 0)))
  roots = keys.model_keys(jax.random.key(0), models)
  given = jax.device_put((images, rows, classes, roots))

  def run() -> None:
    jax.block_until_ready(program(*given))

  return Job(run, models * _votes(task))


def evolved(
  api: Api,
  options: EvolutionOptions,
  images: jax.Array,
  rows: jax.Array,
  classes: jax.Array,
  key: jax.Array,
) -> jax.Array:
  """The released images of one run.

  Args:
    api: the generator.
    options: settings, without growing populations.
    images: private, f32[N,D].
    rows: of `histogram.Records`.
    classes: of `histogram.Records`.
    key: of every draw.
  """
  sizes = options.class_sizes(_CLASSES)
  vote = iteration.vote(api, PIXELS, options, sizes)
  advance = iteration.advance(api, options, sizes)
  records = Records(images, rows, classes)
  degrees = jnp.array(
    [options.degree(step) for step in range(options.num_iterations)]
  )

  def step(number: jax.Array, population: Any) -> Any:
    now, degree = iteration.key_of(key, number), degrees[number]
    noisy = vote(population, records, now, degree, options.noise_multiplier)
    return advance(population, noisy, now, degree)

  population = iteration.begin(api, options, sizes)(key)
  population = lax.fori_loop(0, options.num_iterations, step, population)
  return api.render(population.samples)


def prepare_loop(task: Task) -> Job:
  """The same with NumPy, SciPy and scikit-learn."""
  images, labels = task.data()
  return Job(lambda: loop(task.options, images, labels), _votes(task))


def loop(
  options: EvolutionOptions, private: np.ndarray, labels: np.ndarray
) -> np.ndarray:
  """Private Evolution as it is usually written: image by image.

  Args:
    options: settings; of those the degrees, the noise and the threshold.
    private: f32[N,D].
    labels: i32[N].

  Returns:
    Images f32[S,D].
  """
  from sklearn.neighbors import NearestNeighbors

  draw = np.random.default_rng(0)
  size = options.num_samples
  classes = np.repeat(np.arange(_CLASSES), options.class_sizes(_CLASSES))
  shape = draw.integers(0, _CLASSES, size)
  view = draw.uniform(-1, 1, (size, 3))
  for step in range(options.num_iterations):
    images = render(shape, view)
    parents = np.empty(size, int)
    for label in range(_CLASSES):
      bins = np.flatnonzero(classes == label)
      index = NearestNeighbors(n_neighbors=1, algorithm="brute")
      index.fit(images[bins])
      nearest = index.kneighbors(
        private[labels == label], return_distance=False
      )
      noisy = np.bincount(nearest[:, 0], minlength=len(bins)).astype(float)
      noisy += draw.normal(0, options.noise_multiplier, len(bins))
      weights = np.maximum(noisy - options.threshold, 0)
      chances = weights / weights.sum()
      parents[bins] = draw.choice(bins, len(bins), p=chances)
    degree = options.degree(step)
    shape, view = shape[parents], view[parents]
    anew = draw.integers(0, _CLASSES, size)
    shape = np.where(draw.random(size) < degree, anew, shape)
    view = np.clip(view + degree * draw.normal(size=view.shape), -1, 1)
  return render(shape, view)


def render(shape: np.ndarray, view: np.ndarray) -> np.ndarray:
  """`Shapes.render` with SciPy, f32[B,64].

  Args:
    shape: i32[B].
    view: f64[B,3], an angle and two shifts.
  """
  from scipy import ndimage

  shapes, centre = _shapes(), np.full(2, (_SIDE - 1) / 2)
  images = np.empty((len(shape), _SIDE, _SIDE), np.float32)
  for number, (which, (angle, *shift)) in enumerate(
    zip(shape, view, strict=True)
  ):
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    offset = centre + shift - turn @ centre
    images[number] = ndimage.affine_transform(
      shapes[which], turn, offset, order=1, mode="grid-constant"
    )
  return images.reshape(len(shape), -1)


def _votes(task: Task) -> float:
  return float(task.records * task.options.num_iterations)
