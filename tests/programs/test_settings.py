"""Settings of a paradigm beside the others, and those that exclude others."""

import dataclasses
import json
import pathlib
import runpy

import numpy as np
import pytest

from syndata_jax.errors import UserError
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.paradigms import coreset, data_free, dpsgd
from syndata_jax.paradigms.distillation import METHODS
from syndata_jax.programs import evolving
from syndata_jax.programs.settings import defaults, from_config, identity

_CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def private_config(**fields):
  config = defaults("dpsgd")
  config.update({"epsilon": 8.0, "delta": 1e-5} | fields)
  return config


def test_a_paradigm_brings_its_own_settings():
  settings = from_config(private_config())
  assert settings.options == dpsgd.Options(epsilon=8.0, delta=1e-5)
  assert identity(settings)["epsilon"] == 8.0
  assert "options" not in identity(settings)
  assert "epsilon" not in defaults()


def test_what_the_command_line_gives_replaces_the_alternative():
  config = private_config(noise_multiplier=2.0)
  options = from_config(config, ["noise_multiplier", "seed"]).options
  assert (options.epsilon, options.noise_multiplier) == (0.0, 2.0)
  options = from_config(config, ["epsilon"]).options
  assert (options.epsilon, options.noise_multiplier) == (8.0, 0.0)


@pytest.mark.parametrize("given", [[], ["epsilon", "noise_multiplier"]])
def test_both_alternatives_are_refused(given):
  config = private_config(noise_multiplier=2.0)
  with pytest.raises(UserError, match="epsilon=8, noise_multiplier=2: set one"):
    from_config(config, given)


def test_a_number_replaces_a_fraction():
  config = defaults("coreset")
  config.update({"fraction": 0.4, "images_per_class": 10})
  options = from_config(config, ["images_per_class"]).options
  assert options == coreset.Options(images_per_class=10)


@pytest.mark.parametrize(
  ("dataset", "arguments"),
  [
    ("digits", METHODS),
    ("fashion_mnist", [f"{m},{h}" for m in METHODS for h in ("cpu", "gpu")]),
    ("cifar10", [f"{m},{n}" for m in METHODS for n in (1, 10, 50)]),
  ],
)
def test_every_distillation_of_the_configs_is_allowed(dataset, arguments):
  path = _CONFIGS / dataset / "distillation.py"
  get_config = runpy.run_path(str(path))["get_config"]
  for argument in arguments:
    settings = from_config(get_config(argument))
    assert settings.dataset == dataset
    assert settings.options.images_per_class in (1, 10, 50)
  with pytest.raises(ValueError, match="config argument"):
    get_config("sre2l,7")


@pytest.mark.parametrize(
  ("dataset", "arguments"),
  [
    ("digits", data_free.METHODS),
    (
      "fashion_mnist",
      [f"{m},{h}" for m in data_free.METHODS for h in ("cpu", "gpu")],
    ),
    ("cifar10", data_free.METHODS),
  ],
)
def test_every_data_free_distillation_of_the_configs_is_allowed(
  dataset, arguments
):
  """All rounds of the student's cosine are there."""
  path = _CONFIGS / dataset / "data_free.py"
  get_config = runpy.run_path(str(path))["get_config"]
  for argument in arguments:
    settings = from_config(get_config(argument))
    assert settings.dataset == dataset
    assert settings.options.cosine_epochs <= settings.num_epochs
    assert "options" not in identity(settings)
  with pytest.raises(ValueError, match="config argument"):
    get_config("cmi")


@pytest.mark.parametrize(
  ("dataset", "hardware"), [("digits", [""]), ("fashion_mnist", ["", ",cpu"])]
)
def test_every_evolution_of_the_configs_is_allowed(dataset, hardware):
  epsilons = {"epsilon1": 1, "epsilon4": 4, "epsilon10": 10, "infinity": np.inf}
  folder = _CONFIGS / dataset
  audit = runpy.run_path(str(folder / "private_evolution.py"))["get_config"]
  release = runpy.run_path(str(folder / "evolve.py"))["get_config"]
  for name, epsilon in epsilons.items():
    for size in hardware:
      settings = from_config(audit(name + size))
      assert settings.paradigm == "private_evolution"
      assert settings.options.epsilon == epsilon
      json.dumps(identity(settings), allow_nan=False)
      other = evolving.from_config(release(name + size))
      assert other.epsilon == epsilon and other.seed == evolving.SECRET
      json.dumps(evolving.identity(other), allow_nan=False)
      # The audit is of what would be released.
      for field in dataclasses.fields(EvolutionOptions):
        here = getattr(settings.options, field.name)
        assert here == getattr(other, field.name), field.name
  for make in (audit, release):
    with pytest.raises(ValueError, match="config argument"):
      make("epsilon0")


def test_an_unset_epsilon_gives_way_to_a_given_noise():
  config = defaults("private_evolution")
  config.paradigm = "private_evolution"
  config.epsilon = 2.0
  config.noise_multiplier = 3.0
  options = from_config(config, {"noise_multiplier"}).options
  assert options.epsilon == 0 and options.noise_multiplier == 3
  config.epsilon = float("inf")
  assert from_config(config, {"epsilon"}).options.is_noiseless
  config.learning_rate = float("inf")
  with pytest.raises(UserError, match="learning_rate=inf: must be finite"):
    from_config(config, {"epsilon"})
