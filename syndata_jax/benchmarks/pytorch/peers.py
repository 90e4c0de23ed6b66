"""What all peers share: the device, a network of equal size, failures."""

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from syndata_jax.benchmarks.harness.record import Contender, Job, NotRun
from syndata_jax.benchmarks.harness.workload import NUM_CLASSES, Workload
from syndata_jax.benchmarks.pytorch import Module, networks

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

  def run_to_the_end() -> None:
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

  return run_to_the_end


def contenders(
  name: str, prepare: Callable[[], Job], on_cpu: bool
) -> list[Contender]:
  """The peer, and on a CPU the same on one thread, too."""
  peer = Contender(name, True, prepare)
  if not on_cpu:
    return [peer]
  one_thread = partial(on_one_thread, prepare)
  return [peer, Contender(f"{name}, one thread", True, one_thread)]


def on_one_thread(prepare: Callable[[], Job]) -> Job:
  """The same on one CPU thread.

  On small or busy machines PyTorch's threads wait for each other at every
  operation, and one is faster than its own choice.
  """
  require_torch()
  import torch

  job = prepare()

  def run() -> None:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
      job.run()
    finally:
      torch.set_num_threads(num_threads)

  return job._replace(run=run)


def network(work: Workload, vmapped: bool = False) -> Module:
  """A fresh network on the device, checked to have our number of parameters.

  Args:
    work: names the network, its options and precision.
    vmapped: whether it is to be vmapped, in mixed precision if need be.

  Raises:
    RuntimeError: it has another number, so the work would not be equal.
  """
  import torch

  module = networks.build(
    work.model,
    NUM_CLASSES,
    work.image_shape,
    mixed=vmapped and work.precision != "float32",
    **work.options,
  )
  images = jax.ShapeDtypeStruct((1, *work.image_shape), "float32")
  ours = jax.eval_shape(work.network().init, jax.random.key(0), images)
  expected = sum(leaf.size for leaf in jax.tree.leaves(ours["params"]))
  count = networks.count_parameters(module)
  if count != expected:
    raise RuntimeError(f"{work.name}: {count} parameters, ours {expected}")
  return module.to(device(), memory_format=torch.channels_last)
