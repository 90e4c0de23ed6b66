"""White-box audits of DP-SGD from one end to the other, honest and broken."""

import json
import re

import jax
import numpy as np
import pytest
from variants import others_slow

from syndata_jax.privacy import SubsampledGaussian

K = 300


@pytest.fixture
def private(config):
  return config(
    "dpsgd",
    num_train=250,
    num_canaries=40,
    num_average=0,
    model_options={"width": 8, "depth": 1},
    batch_size=125,
    num_epochs=30,
    learning_rate=1.0,
    schedule="constant",
    warmup_epochs=0.0,
    momentum=0.0,
    weight_decay=0.0,
    augment=False,
    augmentation_multiplicity=1,
    epsilon=8.0,
    delta=1e-5,
    white_box_canaries=K,
  )


@pytest.fixture
def noise(monkeypatch):
  """`noise(factor)`: a bug that the accounting does not know of."""
  real = SubsampledGaussian.noise

  def scale(factor):
    monkeypatch.setattr(
      SubsampledGaussian,
      "noise",
      lambda self, key, tree: jax.tree.map(
        lambda leaf: factor * leaf, real(self, key, tree)
      ),
    )

  return scale


def found(workdir):
  record = json.loads((workdir / "attack.json").read_text())
  return record["white_box_bound"]["epsilon"], record


@pytest.mark.slow
def test_an_honest_run(start, private, tmp_path):
  workdir = tmp_path / "run"
  arguments = (f"--config={private}", f"--workdir={workdir}")
  ended = start(*arguments, "--config.audit=one_run")
  assert ended.code == 0, ended.err
  epsilon, record = found(workdir)
  assert 4 < epsilon < 8  # where the black box finds nothing
  assert record["epsilon_bound"]["epsilon"] < 1
  assert record["white_box_bound"]["coins"] == K
  report = (workdir / "report.txt").read_text()
  assert re.search(
    r"white-box gradient canaries +8 +[4-7]\.\d+ +no limit", report
  )
  assert (
    "300 coins of gradient canaries show an epsilon of at least"
    in " ".join(report.split())
  )
  with np.load(workdir / "predictions.npz") as arrays:
    scores, included = arrays["white_box_scores"], arrays["white_box_included"]
  assert scores.shape == included.shape == (K, 1)
  assert scores[included].mean() > scores[~included].mean()
  for name in ("attack.json", "predictions.npz"):
    (workdir / name).rename(tmp_path / name)
  assert start(*arguments, "--config.audit=one_run").code == 0
  for name in ("attack.json", "predictions.npz"):
    assert (workdir / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("factor", others_slow([0.25, 0.0]))
def test_too_little_noise_is_caught(start, private, tmp_path, noise, factor):
  noise(factor)
  ended = start(
    f"--config={private}",
    f"--workdir={tmp_path / 'run'}",
    "--config.audit=one_run",
  )
  epsilon, record = found(tmp_path / "run")
  assert record["epsilon_bound"]["epsilon"] < 8 < epsilon
  assert ended.code == 3
  assert "white-box gradient canaries, 300 coins" in ended.err
  assert "The guarantee is broken" in ended.out


@pytest.mark.slow
def test_several_models_toss_more_coins(start, private, tmp_path):
  """Pairs speak of replacing; the white box of adding or removing."""
  workdir = tmp_path / "run"
  ended = start(
    f"--config={private}",
    f"--workdir={workdir}",
    "--config.white_box_canaries=50",
  )
  assert ended.code == 0, ended.err
  epsilon, record = found(workdir)
  assert record["epsilon_bound"]["neighbours"] == "replace_one"
  assert record["white_box_bound"]["neighbours"] == "add_or_remove_one"
  assert record["white_box_bound"]["coins"] == 6 * 50
  assert 2 < epsilon < 8
  with np.load(workdir / "predictions.npz") as arrays:
    assert arrays["white_box_scores"].shape == (50, 6)
  text = (workdir / "report.txt").read_text()
  assert re.search(r"one example replaced +1\d\.\d+", text)
  assert re.search(r"white-box gradient canaries +8 ", text)


@pytest.mark.slow
@pytest.mark.parametrize("claim", [2.5, 8.0, 13.7])
@pytest.mark.parametrize("factor", [1.0, 0.5, 0.0])
def test_claims_of_any_size_on_digits(start, tmp_path, noise, claim, factor):
  """The shipped config: claims that the black box cannot refute."""
  noise(factor)
  ended = start(
    "--config=digits/dpsgd",
    f"--workdir={tmp_path / 'run'}",
    "--config.audit=one_run",
    "--config.white_box_canaries=1000",
    f"--config.epsilon={claim}",
  )
  epsilon, record = found(tmp_path / "run")
  print(claim, factor, epsilon, record["epsilon_bound"]["epsilon"])
  assert ended.code == (0 if factor == 1 else 3)
  assert (epsilon > claim) == (factor < 1)
  assert epsilon > claim / 2
