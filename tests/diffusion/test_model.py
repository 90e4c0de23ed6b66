"""The loss, hidden labels, the learner and its average."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.data.training_set import TrainingSet
from syndata_jax.diffusion import edm, model
from syndata_jax.ensemble import Own, Pool
from syndata_jax.errors import UserError

SHAPE, CLASSES = (2, 2, 1), 3
OPTIONS = model.DiffusionOptions(
  width=4,
  multipliers=(1,),
  attention=(),
  diffusion_batch=6,
  diffusion_epochs=3,
  diffusion_learning_rate=0.01,
  diffusion_ema=0.5,
)
MODULE = model.make_network(OPTIONS, SHAPE, CLASSES)


def training_set(size=6):
  rng = np.random.default_rng(0)
  return TrainingSet(
    rng.integers(0, 256, (size, *SHAPE), np.uint8),
    rng.integers(0, CLASSES, size).astype(np.int32),
    np.arange(size, dtype=np.int32)[None],
  )


def test_the_loss_is_the_papers():
  """Of a network that says w + label: section 5's weighted square."""
  rng = np.random.default_rng(0)
  images = rng.uniform(-1, 1, (4, 2, 2, 1)).astype(np.float32)
  labels, key = np.array([0, 1, 2, 3]), jax.random.key(5)
  seen = {}

  def network(w, x, noise, labels):
    seen.update(x=x, noise=noise)
    return w + labels[:, None, None, None] + 0 * x

  got = model.loss(network, 0.25, key, images, labels)
  sigma = np.exp(4 * np.asarray(seen["noise"], np.float64))
  s = sigma[:, None, None, None]
  noisy = np.asarray(seen["x"]) * np.sqrt(s**2 + 0.25)
  # The noise is normal of deviation sigma.
  assert abs((noisy - images) / s).max() < 4
  denoised = 0.25 / (s**2 + 0.25) * noisy + (
    s * 0.5 / np.sqrt(s**2 + 0.25) * (0.25 + labels[:, None, None, None])
  )
  squares = ((denoised - images) ** 2).mean((1, 2, 3))
  want = (sigma**2 + 0.25) / (0.5 * sigma) ** 2 * squares
  np.testing.assert_allclose(got, want, rtol=1e-3)
  assert len(set(sigma.tolist())) == 4


def test_labels_are_hidden_at_their_rate():
  labels = jnp.zeros(5000, jnp.int32)
  hidden = model.hidden(jax.random.key(0), labels, 0.2, CLASSES)
  assert set(np.unique(hidden)) == {0, CLASSES}
  assert (hidden == CLASSES).mean() == pytest.approx(0.2, abs=0.03)
  assert not model.hidden(jax.random.key(0), labels, 0.0, CLASSES).any()


def test_pixels_come_back():
  pixels = jnp.arange(256, dtype=jnp.uint8)
  images = model.signed(pixels)
  assert (images.min(), images.max()) == (-1, 1)
  np.testing.assert_array_equal(model.unsigned(images), pixels)
  np.testing.assert_array_equal(
    model.unsigned(jnp.array([-3.0, 3.0])), [0, 255]
  )


@pytest.mark.slow
def test_what_is_released_is_the_average_of_the_weights():
  """One step an epoch, and the average by a loop."""
  data = training_set()
  learner = model.learner(MODULE, OPTIONS, data)
  assert learner.images(1) == 6 and learner.num_epochs == 3
  own = Own(jax.random.key(0), data.members[0])
  pool = Pool(data.images, data.labels)
  state = learner.init(own, pool)
  epoch = jax.jit(learner.epoch)
  average = jax.tree.map(np.asarray, state.params)
  for t in range(3):
    state, metrics = epoch(state, own, pool)
    decay = min(0.5, (1 + t) / (10 + t))
    average = jax.tree.map(
      lambda a, p, d=decay: d * a + (1 - d) * np.asarray(p),
      average,
      state.params,
    )
    assert np.isfinite(metrics["loss"])
  released = learner.release(state)["params"]
  for got, want in zip(
    jax.tree.leaves(released), jax.tree.leaves(average), strict=True
  ):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
  moved = jax.tree.map(
    lambda a, b: float(abs(a - b).max()), released, state.params
  )
  assert max(jax.tree.leaves(moved)) > 1e-3


def test_the_denoiser_is_the_network_preconditioned_and_guided():
  shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), MODULE, SHAPE))
  rng = np.random.default_rng(1)
  draw = lambda s: rng.normal(0, 0.3, s.shape).astype(np.float32)
  params = jax.tree.map(draw, shapes)
  x, sigma = jnp.ones((2, *SHAPE)), jnp.array([0.3, 2.0])

  @jax.jit
  def all_of_them(labels):
    network = lambda x, noise: MODULE.apply(
      {"params": params}, x, noise, labels
    )
    plain, guided = (
      model.denoiser(MODULE, params, labels, w)(x, sigma) for w in (1.0, 3.0)
    )
    return edm.precondition(network, x, sigma), plain, guided

  want, plain, guided = all_of_them(jnp.array([0, 2]))
  none, _, _ = all_of_them(jnp.full(2, CLASSES))
  np.testing.assert_allclose(plain, want, atol=1e-5)
  np.testing.assert_allclose(guided, none + 3 * (want - none), atol=1e-4)
  assert abs(want - none).max() > 0.01


@pytest.mark.slow
def test_a_fine_tune_begins_at_its_base():
  shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), MODULE, SHAPE))
  base = jax.tree.map(lambda s: np.full(s.shape, 0.5, np.float32), shapes)
  data = training_set()
  own, pool = Own(jax.random.key(0), None), Pool(None, None, base)
  full = model.learner(MODULE, OPTIONS, data, base=base)
  for part in full.init(own, pool)[1:3]:
    for leaf in jax.tree.leaves(part):
      assert (leaf == 0.5).all()
  adapted = model.learner(MODULE, OPTIONS, data, base=base, rank=2)
  first = adapted.init(own, pool).params["Conv_0"]
  assert first["down"].shape == (3, 3, 1, 2) and not first["up"].any()
  assert full.shared is base and adapted.shared is base
  assert full.identity["base"] == adapted.identity["base"]
  assert (full.identity["rank"], adapted.identity["rank"]) == (0, 2)


@pytest.mark.parametrize(
  ("fields", "said"),
  [
    ({"label_drop": 1.0}, "label_drop=1.0: must be in [0, 1)"),
    ({"diffusion_ema": 1.0}, "diffusion_ema=1.0: must be in [0, 1)"),
    ({"diffusion_epochs": 0}, "diffusion_epochs=0"),
    ({"diffusion_learning_rate": -1.0}, "diffusion_learning_rate=-1.0"),
  ],
)
def test_settings_out_of_range_are_refused(fields, said):
  with pytest.raises(UserError) as error:
    model.DiffusionOptions(**fields)
  assert said in str(error.value)


def test_a_batch_larger_than_the_data_is_refused():
  with pytest.raises(
    UserError, match="diffusion_batch=6: must not exceed the 5"
  ):
    model.learner(MODULE, OPTIONS, training_set(5))
