"""A network of plain Flax layers, and what each paradigm asks of one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from flax import linen as nn

from syndata_jax import models, paradigms
from syndata_jax.ensemble import Workspace
from syndata_jax.errors import UserError
from syndata_jax.paradigms.distillation import distribution_loss
from syndata_jax.paradigms.dpsgd import clipping

KEY = jax.random.key(2)
FILE = """
from flax import linen as nn

class Network(nn.Module):
  num_classes: int
  width: int = 4
  mixing: bool = False

  @nn.compact
  def __call__(self, images, train=False):
    x = nn.relu(nn.Conv(self.width, (3, 3))(images))
    x = nn.BatchNorm(not train)(x) if self.mixing else x
    return nn.Dense(self.num_classes)(x.mean((1, 2)))

make = Network
"""


@pytest.fixture
def path(tmp_path):
  """A file with a network, as `--config.model` takes it."""
  file = tmp_path / "network.py"
  file.write_text(FILE)
  return str(file)


def engine(network, num_models=2):
  tools = small.engine(num_models, devices=jax.devices()[:1])
  return tools._replace(model=network)


def private():
  return paradigms.Private(*small.training_set(2)[:3], small.CLASSES)


def images(count):
  rng = np.random.default_rng(0)
  return rng.normal(size=(count, *small.SHAPE)).astype(np.float32)


class Linear(nn.Module):
  """Known layers, put together in one of several ways."""

  way: str = "plain"

  @nn.compact
  def __call__(self, x, train=False):
    first = nn.Dense(70)
    x = first(x.reshape(len(x), -1))
    if self.way == "mixing":
      x = x - x.mean(0)
    if self.way == "tied":
      x = x @ first.variables["params"]["kernel"].T
    if self.way == "rematerialised":
      x = nn.remat(Linear)()(x)
    if self.way == "scaled":
      return nn.Dense(3)(x) * 0.5
    if self.way == "twice":
      return nn.Dense(3)(x) + nn.Dense(3)(x)
    return nn.Dense(3)(x)


def test_its_options_are_its_fields(path):
  network = models.create(path, 3, width=5)
  assert (network.num_classes, network.width) == (3, 5)
  wanted = {"dtype": 1, "lowering": 2, "width": 3, "name": 4}
  assert models.accepted(path, **wanted) == {"width": 3}
  assert models.accepted("convnet", **wanted) == {
    "dtype": 1,
    "lowering": 2,
    "width": 3,
  }
  with pytest.raises(
    UserError, match=r"option 'dtype': .*network.py accepts width, mixing$"
  ):
    models.create(path, 3, dtype=jnp.dtype("float32"))


@pytest.mark.parametrize(
  ("make", "message"),
  [
    ("make = lambda classes: 0", r"make takes \(classes\): must take num_cl"),
    ("def make(num_classes):\n  return 1", "make returned int: must be a flax"),
  ],
)
def test_a_file_that_makes_no_network(tmp_path, make, message):
  file = tmp_path / "network.py"
  file.write_text(make + "\n")
  with pytest.raises(UserError, match=f"^model='{file}': {message}"):
    models.create(str(file), 3)


@pytest.mark.parametrize("mixing", [False, True])
def test_what_the_engine_asks_holds(path, mixing):
  network = models.create(path, 3, mixing=mixing)
  models.check(network, small.SHAPE, 3, jnp.dtype("bfloat16"))


class Asks(nn.Module):
  """Breaks one of the engine's conditions."""

  what: str

  @nn.compact
  def __call__(self, x, train=False):
    x = x.reshape(len(x), -1)
    if self.what == "nothing":
      return x[:, :3]
    if self.what == "cache":
      self.variable("cache", "seen", lambda: jnp.zeros(2))
    dtype = jnp.dtype("bfloat16" if self.what == "bfloat16" else "float32")
    y = nn.Dense(4 if self.what == "four" else 3)(x).astype(dtype)
    return (y, y) if self.what == "pair" else y


class NoTrain(nn.Module):
  """Cannot be told whether it trains."""

  @nn.compact
  def __call__(self, x):
    return nn.Dense(3)(x.reshape(len(x), -1))


@pytest.mark.parametrize(
  ("network", "message"),
  [
    (NoTrain(), r"model='NoTrain': its __call__ must take \(images, train\)"),
    (Asks("nothing"), "model='Asks': must have parameters"),
    (Asks("cache"), "keeps variables cache: must keep only params and batch"),
    (Asks("four"), r"returns float32\[2,4\] .* must be logits float32\[2,3\]"),
    (Asks("bfloat16"), r"returns bfloat16\[2,3\] .* logits float32\[2,3\]"),
    (Asks("pair"), "returns tuple for two images: must be logits"),
  ],
)
def test_what_the_engine_asks_is_named(network, message):
  with pytest.raises(UserError, match=message):
    models.check(network, small.SHAPE, 3, jnp.dtype("float32"))


@pytest.mark.slow
def test_undefended(path, tmp_path):
  """Two models that differ, and fit their members better than at the start."""
  tools = engine(models.create(path, small.CLASSES, mixing=True))
  paradigm = paradigms.create("undefended", tools, None, private())
  _, variables = small.run(paradigm, private(), KEY, tmp_path)
  params = variables["params"]
  assert set(params) == {"Conv_0", "BatchNorm_0", "Dense_0"}
  kernel = params["Conv_0"]["kernel"]
  assert kernel.shape == (2, 3, 3, 1, 4)
  assert (kernel[0] != kernel[1]).all() and np.isfinite(kernel).all()


@pytest.mark.slow
def test_coreset(path, tmp_path):
  tools = engine(models.create(path, small.CLASSES))
  options = paradigms.options_type("coreset")(
    method="el2n", fraction=0.5, selection_epochs=1, selection_networks=1
  )
  paradigm = paradigms.create("coreset", tools, options, private())
  rows = paradigm.synthesize(KEY, private(), Workspace(tmp_path)).members
  assert rows.shape == (2, 12)
  for kept, members in zip(rows, private().members, strict=True):
    assert set(kept) <= set(members)


@pytest.mark.slow
def test_distribution_matching_reads_what_the_last_layer_reads(path):
  network = models.create(path, 3)
  variables = network.init(KEY, images(1))
  embed = lambda params, x: models.outputs(network, {"params": params}, x)[0]
  real, synthetic = images(12).reshape(3, 4, *small.SHAPE), images(6)
  synthetic = synthetic.reshape(3, 2, *small.SHAPE)
  loss = lambda x: distribution_loss(embed, variables["params"], real, x)

  def by_hand(x):
    conv = nn.Conv(4, (3, 3))
    own = {"params": variables["params"]["Conv_0"]}
    read = lambda x: nn.relu(conv.apply(own, x)).mean((0, 1, 2))
    gaps = [read(a) - read(b) for a, b in zip(real, x, strict=True)]
    return sum((gap**2).sum() for gap in gaps)

  found, want = (jax.value_and_grad(f)(synthetic) for f in (loss, by_hand))
  assert found[0] > 1e-4
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7),
    found,
    want,
  )


def test_outputs_are_what_the_last_layer_reads_and_writes(path):
  network = models.create(path, 3, mixing=True)
  variables = network.init(KEY, images(1))
  read = jax.jit(lambda v, x: models.outputs(network, v, x))
  embedding, logits = read(variables, images(5))
  want = network.apply(variables, images(5), False)
  last = variables["params"]["Dense_0"]
  assert embedding.shape == (5, 4)
  np.testing.assert_allclose(logits, want, atol=1e-6)
  np.testing.assert_allclose(
    embedding @ last["kernel"] + last["bias"], want, atol=1e-5
  )


@pytest.mark.parametrize("way", ["scaled", "twice"])
def test_an_embedding_needs_a_linear_last_layer(way):
  network = Linear(way)
  variables = network.init(KEY, images(1))
  want = network.apply(variables, images(2), False)
  found = models.logits(network, variables, images(2))
  np.testing.assert_array_equal(found, want)
  message = (
    "model=Linear: method='herding' needs a network whose last layer is"
    " nn.Dense or syndata_jax.models.layers.Classifier"
  )
  with pytest.raises(UserError, match=f"^{message}"):
    models.check_embedding(network, small.SHAPE, "method='herding'")


@pytest.mark.parametrize("name", models.NAMES)
def test_every_network_of_the_package_has_an_embedding(name):
  models.check_embedding(models.create(name, 3), (8, 8, 1), "a test")


def batch():
  rng = np.random.default_rng(1)
  shape = (4, 2, *small.SHAPE)
  pixels = rng.integers(0, 256, shape, dtype=np.uint8)
  return jnp.asarray(pixels), jnp.asarray(rng.integers(0, 3, 4))


def clipped(network, params, method):
  run = jax.jit(clipping.clipped_sum, static_argnums=(0, 5, 6))
  valid = jnp.array([True, True, False, True])
  return run(engine(network), params, *batch(), valid, 0.7, method)


def by_hand(network, params):
  """Norms of the four gradients, and the sum of the clipped valid ones."""

  def loss(params, views, label):
    logits = network.apply({"params": params}, (views / 255 - 0.5) / 0.25, True)
    return (jax.nn.logsumexp(logits, -1) - logits[:, label]).mean()

  gradient_of = jax.jit(jax.grad(loss))
  total, norms = 0.0, []
  for i, (views, label) in enumerate(zip(*batch(), strict=True)):
    gradient = gradient_of(params, views, label)
    flat = jax.flatten_util.ravel_pytree(gradient)[0]
    norms.append(np.linalg.norm(flat))
    total += (i != 2) * min(1, 0.7 / norms[-1]) * flat
  return np.array(norms), total


@pytest.mark.slow
@pytest.mark.parametrize(
  ("way", "chosen"),
  [
    ("plain", "ghost"),
    pytest.param("mixing", "formed", marks=pytest.mark.slow),
    pytest.param("conv", "formed", marks=pytest.mark.slow),
    pytest.param("tied", "formed", marks=pytest.mark.slow),
    pytest.param("rematerialised", "formed", marks=pytest.mark.slow),
  ],
)
def test_dpsgd_never_clips_by_a_wrong_norm(path, way, chosen):
  """Also where the layers are known, but a network uses them unusually."""
  network = models.create(path, 3) if way == "conv" else Linear(way)
  params = network.init(KEY, images(1))["params"]
  tools = engine(network)
  assert clipping.choose(tools, params, small.SHAPE) == chosen
  norms, total = by_hand(network, params)
  assert norms.max() > 0.7
  found = clipped(network, params, "auto")
  flat = jax.flatten_util.ravel_pytree(found.total)[0]
  np.testing.assert_allclose(found.norms, norms, rtol=2e-4)
  np.testing.assert_allclose(flat, total, atol=2e-5)


@pytest.mark.parametrize(
  ("way", "message"),
  [
    (
      "conv",
      r"method='ghost': parameter Conv_0/\w+ is of no known layer; must",
    ),
    ("mixing", "method='ghost': norms of Linear differ from those of formed"),
  ],
)
def test_ghost_norms_that_are_asked_for_in_vain(path, way, message):
  network = models.create(path, 3) if way == "conv" else Linear(way)
  params = network.init(KEY, images(1))["params"]
  with pytest.raises(UserError, match=message):
    clipped(network, params, "ghost")


def test_dpsgd_learns_with_it_and_refuses_batch_norm(path, tmp_path):
  options = paradigms.options_type("dpsgd")(
    noise_multiplier=0.5, delta=0.01, augmentation_multiplicity=1
  )
  tools = engine(models.create(path, small.CLASSES))
  paradigm = paradigms.create("dpsgd", tools, options, private())
  _, variables = small.run(paradigm, private(), KEY, tmp_path)
  kernel = variables["params"]["Conv_0"]["kernel"]
  assert (kernel[0] != kernel[1]).all() and np.isfinite(kernel).all()
  mixing = engine(models.create(path, small.CLASSES, mixing=True))
  with pytest.raises(UserError, match="batch norm mixes examples"):
    paradigms.create("dpsgd", mixing, options, private())
