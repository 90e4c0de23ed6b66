"""The suite of diffusion: every contender does the work that it is timed on."""

import jax
import pytest

from syndata_jax.benchmarks.harness import task
from syndata_jax.benchmarks.harness.record import Compilation
from syndata_jax.benchmarks.pytorch import diffusion as peer
from syndata_jax.benchmarks.suites import diffusion

TINY = diffusion._plan((8, 8, 1), 4, 2, width=4, multipliers=(1,), attention=())


@pytest.fixture(autouse=True)
def compiled_once(monkeypatch):
  """How long it takes is nothing to these tests."""
  once = lambda lower: (lower().compile(), Compilation(0.0, 0.0))
  monkeypatch.setattr(task, "twice", once)


@pytest.mark.slow
def test_a_round_samples_a_batch_of_every_model():
  job = diffusion.prepare_sampling(TINY, 2, jax.local_devices()[:1])
  job.run()
  assert job.work == 2 * 4
  assert job.peak_bytes() > 0 and job.flops > 0


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 2])
def test_a_round_trains_every_model(rank):
  job = diffusion.prepare_training(TINY, 2, jax.local_devices()[:1], rank)
  job.run()
  assert job.work == 2 * 2 * 4


def test_adapters_are_a_small_part_of_the_weights():
  plan = diffusion.plans(True, False)[0]
  whole = diffusion.num_parameters(plan)
  assert 0 < diffusion.num_parameters(plan, rank=4) < 0.3 * whole


def test_every_form_has_a_row(monkeypatch):
  seen = []

  def measure(name, settings, contenders, rounds, axis):
    seen.append([contender.name for contender in contenders])
    raise NotImplementedError

  monkeypatch.setattr(diffusion, "measure", measure)
  for case in diffusion.suite(True, 1).cases:
    with pytest.raises(NotImplementedError):
      case()
  for names in seen[:2]:
    assert names[:2] == ["syndata_jax, M = 1", "syndata_jax, M = 32"]
    assert "PyTorch, eager" in names and "PyTorch, compiled" in names
  assert seen[2][1::2] == ["all weights, M = 32", "LoRA, M = 32"]


def test_pytorch_takes_its_rounds():
  pytest.importorskip("torch")
  options = TINY.options
  job = peer.sampling(options, (8, 8, 1), 10, 4, 2, None)
  job.run()
  assert job.work == 4
  job = peer.training(options, (8, 8, 1), 10, 2, None)
  job.run()
  assert job.work == 2 * options.diffusion_batch
