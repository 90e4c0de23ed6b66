"""The whole paradigm on a tiny pipeline, and its loss against diffusers'."""

import jax
import numpy as np
import pytest
import small

from syndata_jax import paradigms
from syndata_jax.data.training_set import enter
from syndata_jax.diffusion import pipeline as pipelines
from syndata_jax.ensemble import Workspace, rehearsal
from syndata_jax.errors import UserError
from syndata_jax.paradigms.stable_diffusion import (
  Options,
  adapters,
  fine_tuning,
  synthesize,
)

KEY = jax.random.key(2)


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch):
  """Several rounds of fine-tuning a model."""
  monkeypatch.setattr(fine_tuning, "_STEPS", 2)


# Most of it is the import of the libraries.
pytestmark = pytest.mark.slow


def private(members=6):
  data = small.training_set(2)
  members = data.members[:, :members]
  return paradigms.Private(data.images, data.labels, members, small.CLASSES)


@pytest.fixture
def options(weights):
  def make(**fields):
    chosen = {
      "weights": str(weights),
      "diffusion_epochs": 1,
      "diffusion_batch": 2,
      "diffusion_learning_rate": 0.1,
      "sampling_steps": 2,
      "sampling_batch": 4,
    }
    return Options(**chosen | fields)

  return make


def drawn(options, workspace, data=None, dtype="float32"):
  data = private() if data is None else data
  engine = small.engine(2, dtype=dtype)
  training_set = synthesize(engine, options, KEY, data, workspace)
  return enter(training_set, data)


def test_a_set_for_each_model(options, tmp_path):
  """Labels are the members', and what a model does not own moves nothing."""
  told = []
  before = drawn(options(), Workspace(tmp_path / "0", told.append))
  data = private()
  assert before.images.shape == (2, 6, *small.SHAPE)
  assert before.images.dtype == np.uint8 and before.chosen is None
  np.testing.assert_array_equal(before.labels, data.labels[data.members])
  assert before.images.std() > 0
  stages = [(done.stage, done.number, done.of) for done in told]
  assert stages == [
    *(("fine_tuning", n, 4) for n in range(1, 5)),
    *(("sampling", n, 4) for n in range(1, 5)),
  ]
  others = np.setdiff1d(np.arange(len(data.images)), data.members[1])
  data.images[others] = 255 - data.images[others]
  after = drawn(options(), Workspace(tmp_path / "1"), data)
  np.testing.assert_array_equal(after.images[1], before.images[1])
  assert (after.images[0] != before.images[0]).any()


def test_a_killed_run_continues_to_the_same_bits(options, tmp_path):
  """In the fine-tuning of the second model, then in its sampling."""

  class Stopped(Exception):
    pass

  def stop(stage, number):
    def on_round(done):
      if (done.stage, done.number) == (stage, number):
        raise Stopped

    return on_round

  chosen = options(sampling="image", strength=0.5)
  whole = drawn(chosen, Workspace(tmp_path / "whole"))
  folder = tmp_path / "killed"
  for stage in ("fine_tuning", "sampling"):
    with pytest.raises(Stopped):
      drawn(chosen, Workspace(folder, stop(stage, 4), every=1))
  told = []
  continued = drawn(chosen, Workspace(folder, told.append, every=1))
  np.testing.assert_array_equal(continued.images, whole.images)
  assert [(done.stage, done.number) for done in told] == [("sampling", 4)]
  np.testing.assert_array_equal(whole.chosen, private().members)


def test_half_precision(options, tmp_path):
  """Frozen weights are rounded; the adapters train in float32."""
  chosen = options(diffusion_batch=6, diffusion_learning_rate=1e-4)
  full, half = (
    drawn(chosen, Workspace(tmp_path / dtype), dtype=dtype).images.astype(float)
    for dtype in ("float32", "bfloat16")
  )
  assert 0 < abs(full - half).mean() < 0.3 * full.std()


def test_strength_0_returns_its_input(options, tmp_path):
  chosen = options(sampling="image", strength=0.0)
  result = drawn(chosen, Workspace(tmp_path))
  data = private()
  np.testing.assert_array_equal(result.images, data.images[data.members])
  np.testing.assert_array_equal(result.chosen, data.members)


def test_more_strength_goes_further(options, tmp_path):
  """Beginning at the images that the autoencoder makes of the private ones."""

  def images(strength):
    chosen = options(
      sampling="image",
      strength=strength,
      sampling_steps=10,
      diffusion_batch=6,
      diffusion_learning_rate=1e-6,
      guidance=1.0,
      sampling_batch=6,
    )
    return drawn(chosen, Workspace(tmp_path / str(strength))).images

  least = images(0.1).astype(float)
  little, most = (((images(s) - least) ** 2).mean() for s in (0.3, 1.0))
  assert 0 < little < most


@pytest.mark.parametrize(
  ("gamma", "prediction"),
  [(0.0, "epsilon"), (5.0, "epsilon"), (5.0, "v_prediction")],
)
def test_the_loss(options, gamma, prediction):
  """Against noise, latents and weights that diffusers' own parts compute."""
  import diffusers
  import torch

  chosen = options(min_snr_gamma=gamma)
  pipeline = pipelines.load(chosen.weights, "ddim", np.dtype("float32"))
  pipeline.scheduler.register_to_config(prediction_type=prediction)
  tools = fine_tuning.make_tools(chosen, pipeline, small.CLASSES)
  random = np.random.default_rng(3)
  adapters.put(
    pipeline.unet,
    {
      name: random.normal(size=tuple(each.shape)).astype(np.float32)
      for name, each in adapters.parameters(pipeline.unet).items()
    },
  )
  batch = fine_tuning._batch(tools, KEY, private(), 0, 1)
  with torch.no_grad():
    value = fine_tuning._loss(tools, batch).item()
    scheduler = diffusers.DDPMScheduler.from_config(pipeline.scheduler.config)
    encoded = pipeline.vae.encode(torch.from_numpy(batch.pixels)).latent_dist
    latents = encoded.mean + encoded.std * torch.from_numpy(batch.posterior)
    latents = latents * pipeline.vae.config.scaling_factor
    level = torch.from_numpy(batch.level)
    noise = torch.from_numpy(batch.noise)
    noisy = scheduler.add_noise(latents, noise, level)
    texts = [f"a photo of a {label}" for label in batch.labels]
    tokens = pipeline.tokenizer(
      texts, padding="max_length", truncation=True, return_tensors="pt"
    )
    embedded = pipeline.text_encoder(tokens.input_ids)[0]
    said = pipeline.unet(noisy, level, embedded).sample
    velocity = scheduler.get_velocity(latents, noise, level)
    target = noise if prediction == "epsilon" else velocity
    errors = ((said - target) ** 2).mean((1, 2, 3)).numpy()
  kept = scheduler.alphas_cumprod[level].numpy()
  snr = kept / (1 - kept)
  scale = snr if prediction == "epsilon" else snr + 1
  weight = np.minimum(snr, gamma) / scale if gamma else np.ones(len(snr))
  assert value == pytest.approx((weight * errors).mean(), rel=1e-4)


def test_zero_adapters_are_the_base(options):
  """Fresh ones change nothing, drawn ones do; the base itself stays."""
  import torch

  chosen = options()
  pipeline = pipelines.load(chosen.weights, "ddim", np.dtype("float32"))
  unet = pipeline.unet
  arguments = (
    torch.randn(2, 4, 8, 8),
    torch.tensor([3, 500]),
    torch.randn(2, 8, 8),
  )
  with torch.no_grad():
    base = unet(*arguments).sample
    fine_tuning.make_tools(chosen, pipeline, small.CLASSES)
    fresh = adapters.fresh(unet, 4, np.random.default_rng(0))
    adapters.put(unet, fresh)
    torch.testing.assert_close(unet(*arguments).sample, base)
    adapters.put(unet, {name: array + 1 for name, array in fresh.items()})
    assert (unet(*arguments).sample - base).abs().max() > 1e-3
  trained = [name for name, p in unet.named_parameters() if p.requires_grad]
  assert trained and set(trained) == fresh.keys()


def test_a_dry_run_fine_tunes_a_round(options, tmp_path, monkeypatch):
  monkeypatch.setattr(rehearsal, "_SECONDS", 0.0)
  trial = rehearsal.Rehearsal(tmp_path)
  result = drawn(options(), trial)
  assert result.images.shape == (2, 6, *small.SHAPE)
  names = [(each.stage, each.rounds) for each in trial.estimates]
  assert names == [("fine_tuning", 4), ("sampling", 4)]


def test_other_weights_do_not_continue_a_run(options, tmp_path, weights):
  import shutil

  copy = tmp_path / "weights"
  shutil.copytree(weights, copy)
  chosen = options(weights=str(copy), sampling="image", strength=0.0)
  drawn(chosen, Workspace(tmp_path / "run"))
  config = copy / "unet" / "config.json"
  config.write_text(config.read_text() + " ")
  with pytest.raises(UserError, match="other weights than those"):
    drawn(chosen, Workspace(tmp_path / "run"))


def test_damaged_weights(options, tmp_path, weights):
  import shutil

  copy = tmp_path / "weights"
  shutil.copytree(weights, copy)
  (path,) = copy.glob("unet/*.safetensors")
  path.write_bytes(path.read_bytes()[:100])
  with pytest.raises(UserError) as caught:
    pipelines.load(str(copy), "ddim", np.dtype("float32"))
  assert "does not load" in str(caught.value) and "\n" not in str(caught.value)


def test_the_whole_audit(options, tmp_path):
  """Both steps through the contract, with a batch of the set's size."""
  engine = small.engine(2)
  with pytest.raises(UserError, match="batch_size=7: must not exceed the 6"):
    paradigms.create("stable_diffusion", engine, options(), private())
  chosen, data = options(images_per_class=3, diffusion_batch=12), private(24)
  paradigm = paradigms.create("stable_diffusion", engine, chosen, data)
  outcome = small.run(paradigm, data, KEY, tmp_path)
  labels = np.repeat(np.arange(3), 3)
  np.testing.assert_array_equal(outcome.training_set.labels, [labels, labels])
