"""PyTorch as a contender: sequential and vmapped training of the workload."""

import importlib.util
from collections.abc import Callable
from typing import Any

import jax

from syndata_jax.benchmarks import torch_networks, torch_training
from syndata_jax.benchmarks.peak import peak
from syndata_jax.benchmarks.record import Job, NotRun
from syndata_jax.benchmarks.torch_training import Step
from syndata_jax.benchmarks.workload import NUM_CLASSES, Workload
from syndata_jax.ensemble.recipe import learning_rate

MISSING = "PyTorch is not installed; pip install 'syndata_jax[benchmark]'"


def require_torch() -> None:
  """Raises `NotRun` where PyTorch is missing or lacks the device JAX has."""
  if importlib.util.find_spec("torch") is None:
    raise NotRun(MISSING)
  if jax.default_backend() == "tpu":
    raise NotRun("PyTorch has no TPU here")
  if jax.default_backend() == "gpu":
    import torch

    if not torch.cuda.is_available():
      raise NotRun("this build of PyTorch sees no GPU")


def device() -> Any:
  """The PyTorch device that JAX computes on."""
  import torch

  return torch.device("cuda" if jax.default_backend() == "gpu" else "cpu")


def finish() -> None:
  """Waits until the device has done all that it was told."""
  import torch

  if device().type == "cuda":
    torch.cuda.synchronize()


def guarded(run: Callable[[], None]) -> Callable[[], None]:
  """`run` until the device is done; PyTorch's own failures are `NotRun`."""

  def done() -> None:
    import torch

    try:
      run()
      finish()
    except torch.OutOfMemoryError as error:
      raise NotRun("out of memory") from error
    except RuntimeError as error:
      # The compiler's failures are RuntimeErrors, too. The others' rows are
      # worth more than this one's traceback.
      line = (str(error).strip() or type(error).__name__).splitlines()[0]
      raise NotRun(f"PyTorch failed: {line}") from error

  return done


def module(work: Workload, vmapped: bool = False) -> Any:
  """A fresh network on the device, checked to have our number of parameters.

  Raises:
    RuntimeError: it has another number, so the work would not be equal.
  """
  import torch

  made = torch_networks.build(
    work.model,
    NUM_CLASSES,
    work.image_shape,
    mixed=vmapped and work.precision != "float32",
    **work.options,
  )
  images = jax.ShapeDtypeStruct((1, *work.image_shape), "float32")
  ours = jax.eval_shape(work.network().init, jax.random.key(0), images)
  expected = sum(leaf.size for leaf in jax.tree.leaves(ours["params"]))
  count = torch_networks.count_parameters(made)
  if count != expected:
    raise RuntimeError(f"{work.name}: {count} parameters, ours {expected}")
  return made.to(device(), memory_format=torch.channels_last)


def sequential(
  work: Workload, num_models: int, steps: int, compiler: str | None
) -> Job:
  """A round trains one model after another for `steps` steps each."""
  require_torch()
  import torch

  rates, pool, members = _material(work, num_models, steps)
  # One module takes all the models' turns: computing does not depend on the
  # weights, and a compiled module is compiled once.
  step = torch_training.sequential_step(
    module(work), work.recipe, work.precision, compiler
  )
  train = _training(step, work, compiler)

  def epoch(rows: Any) -> None:
    order = rows[torch.randperm(len(rows), device=rows.device)]
    for index, rate in zip(order.split(work.batch_size), rates, strict=True):
      train(pool, index, rate)

  def run() -> None:
    for rows in members:
      epoch(rows)

  return _job(run, work, num_models * steps)


def on_one_thread(prepare: Callable[[], Job]) -> Job:
  """The same on one CPU thread.

  On small or busy machines PyTorch's threads wait for each other at every
  operation, and one is faster than its own choice.
  """
  require_torch()
  import torch

  job = prepare()

  def run() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
      job.run()
    finally:
      torch.set_num_threads(before)

  return job._replace(run=run)


def vmapped(
  work: Workload, num_models: int, steps: int, compiler: str | None
) -> Job:
  """A round trains all models at once, through `torch.func`."""
  require_torch()
  import torch

  rates, pool, members = _material(work, num_models, steps)
  modules = [module(work, vmapped=True) for _ in range(num_models)]
  step = torch_training.vmapped_step(
    modules, work.recipe, work.precision, compiler
  )
  train = _training(step, work, compiler)

  def run() -> None:
    order = torch.stack(
      [rows[torch.randperm(len(rows), device=rows.device)] for rows in members]
    )
    for index, rate in zip(
      order.split(work.batch_size, dim=1), rates, strict=True
    ):
      train(pool, index, rate)

  return _job(run, work, num_models * steps)


def _material(work: Workload, num_models: int, steps: int):
  """Learning rates, pool, and i64[M,n] the rows of each model."""
  import torch

  data = work.data(num_models, steps)
  schedule = learning_rate(work.recipe, steps)
  rates = [float(schedule(step)) for step in range(steps)]
  pool = torch_training.make_pool(data, work.recipe.shift, device())
  return rates, pool, torch.from_numpy(data.members).long().to(device())


def _training(
  step: Step, work: Workload, compiler: str | None
) -> Callable[[torch_training.Pool, Any, float], None]:
  """A step on rows i64[B] or i64[M,B] of the pool."""
  import torch

  recipe = work.recipe
  gather = torch_training.gather_augmented
  if compiler:
    gather = torch.compile(gather, dynamic=False)

  def train(pool, index, rate):
    rows = index.reshape(-1)
    images = gather(pool.images, rows, recipe.shift, recipe.flip)
    images = images.reshape(*index.shape, *images.shape[1:])
    step(images, pool.labels[index], rate)

  return train


def _job(run: Callable[[], None], work: Workload, steps: int) -> Job:
  import torch

  on_gpu = device().type == "cuda"
  highest = 0

  def observed() -> None:
    nonlocal highest
    if not on_gpu:
      return run()
    torch.cuda.reset_peak_memory_stats()
    run()
    highest = max(highest, torch.cuda.max_memory_allocated())

  return Job(
    guarded(observed),
    steps * work.batch_size,
    work.flops,
    peak(jax.local_devices()[:1], jax.numpy.dtype(work.precision)),
    lambda: float(highest) if on_gpu else None,
  )
