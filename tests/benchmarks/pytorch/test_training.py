"""PyTorch does the same work: same parameters, same loss curves."""

import functools

import jax
import numpy as np
import pytest

from syndata_jax.benchmarks.harness.task import engine, task
from syndata_jax.benchmarks.harness.workload import NUM_CLASSES, Workload
from syndata_jax.benchmarks.pytorch import networks, training
from syndata_jax.ensemble import sgd, variables
from syndata_jax.ensemble.recipe import learning_rate
from syndata_jax.ensemble.stages import place

torch = pytest.importorskip(
  "torch", reason="the peers need PyTorch (extra `benchmark`)"
)

STEPS = 3


def _workload(model, **options):
  # Batch norm amplifies rounding from step to step, and the more the larger
  # the steps are; in float64 the curves agree to 1e-8 at any rate.
  return Workload(
    model,
    options,
    (16, 16, 3),
    batch_size=16,
    augment=False,
    learning_rate=0.001,
  )


WORKLOADS = [
  _workload("convnet", width=4),
  _workload("resnet18", width=4),
  _workload("wide_resnet", depth=10, width=1),
]


def _ours(work, num_models):
  """Starting variables, losses f32[STEPS, M], and what the models saw.

  An epoch is one step on one model's whole data, so that the order in which
  it is drawn does not matter.
  """
  tools = engine(work, num_models, jax.local_devices()[:1])
  data, layout = work.data(num_models, 1), tools.layout
  _, rounds = task(layout, sgd(tools, data), data)
  placed, losses = place(layout, rounds), []
  trained = placed.init(None, placed.own, placed.shared)
  fresh = layout.gather(trained)  # the run takes its memory
  for number in range(STEPS):
    given = placed.fed(rounds, number)
    trained, metrics, _ = placed.run(trained, given, placed.shared)
    losses.append(layout.gather(metrics)["loss"])
  return fresh, np.array(losses), data


def _modules(work, fresh, num_models):
  modules = []
  for m in range(num_models):
    module = networks.build(
      work.model, NUM_CLASSES, work.image_shape, **work.options
    )
    one = jax.tree.map(lambda leaf, m=m: leaf[m], fresh)
    networks.port(module, variables(one))
    modules.append(module.to(memory_format=torch.channels_last))
  return modules


def _marked(work):
  """The deep networks, which take long to compile, by request."""
  marks = () if work.model == "convnet" else pytest.mark.slow
  return pytest.param(work, marks=marks, id=work.model)


@pytest.mark.parametrize("work", map(_marked, WORKLOADS))
def test_loss_curves_agree(work):
  """Sequential and vmapped PyTorch against the engine, weights ported."""
  num_models = 2 if work.model == "convnet" else 1  # time to compile
  fresh, losses, data = _ours(work, num_models)
  images = torch.from_numpy(data.images[data.members])
  labels = torch.from_numpy(data.labels[data.members]).long()
  schedule = learning_rate(work.recipe, 1)
  rates = [float(schedule(step)) for step in range(STEPS)]

  sequential = []
  for m, module in enumerate(_modules(work, fresh, num_models)):
    step = training.sequential_step(module, work.recipe, "float32", None)
    sequential.append([float(step(images[m], labels[m], r)) for r in rates])
  np.testing.assert_allclose(np.transpose(sequential), losses, atol=1e-4)

  modules = _modules(work, fresh, num_models)
  step = training.vmapped_step(modules, work.recipe, "float32", None)
  vmapped = [step(images, labels, rate).detach().numpy() for rate in rates]
  np.testing.assert_allclose(vmapped, losses, atol=1e-4)
  assert losses[0].max() > losses[-1].min()  # something was learnt


@pytest.mark.parametrize("name", ["convnet", "resnet18", "wide_resnet"])
def test_both_forms_of_a_norm_agree(name):
  one, other = (
    networks.build(name, 10, (16, 16, 3), mixed=mixed, width=4)
    for mixed in (False, True)
  )
  state = one.state_dict()
  other.load_state_dict({n: state[n] for n in other.state_dict()})
  images = torch.randn(5, 3, 16, 16)
  torch.testing.assert_close(one(images), other(images))
  # Running statistics, too.
  torch.testing.assert_close(one.eval()(images), other.eval()(images))


@pytest.mark.parametrize("form", ["sequential", "vmapped"])
def test_the_path_of_a_gpu(form, monkeypatch):
  """Compiled (by a backend that needs no C++ compiler) and in bfloat16."""
  compile_with = functools.partial(torch.compile, backend="eager")
  monkeypatch.setattr(torch, "compile", compile_with)
  work = Workload(
    "convnet", {"width": 4, "depth": 1}, (8, 8, 3), 4, precision="bfloat16"
  )
  job = getattr(training, form)(work, 2, 2, "default")
  job.run()
  assert job.work == 16


@pytest.mark.parametrize(
  "model, parameters",
  [("convnet", 320_010), ("resnet18", 11_173_962), ("wide_resnet", 2_751_146)],
)
def test_published_parameter_counts(model, parameters):
  module = networks.build(model, 10, (32, 32, 3))
  assert networks.count_parameters(module) == parameters


def test_every_augmented_image_is_a_shift_or_its_mirror():
  shift, side = 1, 4
  draw = np.random.default_rng(0)
  images = draw.integers(1, 256, (3, side, side, 2), np.uint8)
  padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)))
  index = np.repeat(np.arange(3), 200)
  batch = training.gather_augmented(
    torch.from_numpy(padded), torch.from_numpy(index), shift, True
  ).numpy()
  seen = set()
  for row, image in zip(index, batch, strict=True):
    views = {
      (top, left, flip): padded[row, top : top + side, left : left + side][
        :, :: -1 if flip else 1
      ]
      for top in range(3)
      for left in range(3)
      for flip in (False, True)
    }
    matches = [v for v, view in views.items() if (view == image).all()]
    assert matches
    seen.add(matches[0])
  assert len(seen) == 18


def test_normalised_pixels_are_ours():
  work = WORKLOADS[0]
  tools = engine(work, 1, jax.local_devices()[:1])
  images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
  theirs = training.normalise(torch.from_numpy(images))
  assert theirs.is_contiguous(memory_format=torch.channels_last)
  np.testing.assert_allclose(
    theirs.permute(0, 2, 3, 1), tools.normalise(images), atol=1e-6
  )
