"""Renyi divergences that are lines, against dp-accounting."""

import math

import dp_accounting
import pytest
from dp_accounting import rdp

from syndata_jax.errors import UserError
from syndata_jax.privacy import Ledger, Release, gaussian_epsilon
from syndata_jax.privacy.concentrated import concentrated_epsilon


@pytest.mark.parametrize("rho, xi", [(0.02, 0.0), (0.3, 0.1), (2.0, 0.0)])
def test_against_dp_accounting(rho, xi):
  peer = rdp.RdpAccountant(orders=range(2, 2000))
  peer.compose(dp_accounting.ZCDpEvent(rho, xi))
  epsilon = concentrated_epsilon(rho, xi, 1e-5)
  assert epsilon == pytest.approx(peer.get_epsilon(1e-5), rel=1e-9)


@pytest.mark.parametrize("mu", [0.05, 0.27, 0.92, 2.0])
def test_a_little_above_the_exact_epsilon_of_a_gaussian(mu):
  exact = gaussian_epsilon(mu, 1e-5)
  bound = concentrated_epsilon(mu**2 / 2, 0.0, 1e-5)
  assert exact < bound < 1.12 * exact


def test_nothing_and_everything():
  assert concentrated_epsilon(0.0, 0.0, 1e-5) == 0
  assert concentrated_epsilon(math.inf, 0.0, 1e-5) == math.inf
  with pytest.raises(UserError, match="rho=-1"):
    concentrated_epsilon(-1.0, 0.0, 1e-5)


def test_a_ledger_composes_it_with_gaussian_releases():
  line = Release("Skellam", "votes", dp_accounting.ZCDpEvent(0.02, 1e-4))
  normal = Release("Gaussian", "counts", dp_accounting.GaussianDpEvent(10.0))
  ledger = Ledger(1e-5).add(line).add(line).add(normal)
  assert ledger.epsilon() == concentrated_epsilon(0.045, 2e-4, 1e-5)
  # Twice the sensitivity, four times both.
  assert ledger.epsilon("replace_one") == pytest.approx(
    concentrated_epsilon(0.18, 8e-4, 1e-5)
  )


def test_replacing_by_the_declared_sensitivity():
  event = dp_accounting.ZCDpEvent(0.02, 1e-4)
  release = Release(
    "Skellam", "votes", event, replace_one_sensitivity=math.sqrt(2)
  )
  epsilon = Ledger(1e-5, releases=(release,)).epsilon("replace_one")
  assert epsilon == pytest.approx(concentrated_epsilon(0.04, 2e-4, 1e-5))


def test_beside_mechanisms_without_a_line_epsilons_add_up():
  line = Release("Skellam", "votes", dp_accounting.ZCDpEvent(0.02))
  laplace = Release("Laplace", "counts", dp_accounting.LaplaceDpEvent(5.0))
  ledger = Ledger(1e-5, releases=(line, laplace))
  alone = concentrated_epsilon(0.02, 0.0, 1e-5)
  assert ledger.epsilon() == pytest.approx(alone + 0.2)


def test_it_is_remembered(tmp_path):
  release = Release("Skellam", "votes", dp_accounting.ZCDpEvent(0.02, 1e-4))
  ledger = Ledger(1e-5, budget=2.0).add(release)
  ledger.save(tmp_path / "ledger.json")
  assert Ledger.load(tmp_path / "ledger.json") == ledger
  with pytest.raises(UserError, match="rho"):
    Release("Skellam", "votes", dp_accounting.ZCDpEvent(0.0))
