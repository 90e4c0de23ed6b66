"""Two real processes against one: the same models, with and without a stop."""

import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import one_of_two
import pytest

from syndata_jax.ensemble import hosts, make_layout
from syndata_jax.errors import UserError

SCRIPT = pathlib.Path(one_of_two.__file__)


def free_port():
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    return probe.getsockname()[1]


def run_two(folder, epochs):
  """Starts both processes, waits for them, and reads what they wrote."""
  flags = [
    flag
    for flag in os.environ["XLA_FLAGS"].split()
    if "device_count" not in flag
  ]
  environment = os.environ | {"XLA_FLAGS": " ".join(flags)}
  port = str(free_port())
  running = [
    subprocess.Popen(
      [sys.executable, SCRIPT, str(i), port, folder, str(epochs)],
      env=environment,
      stderr=subprocess.PIPE,
      text=True,
    )
    for i in range(2)
  ]
  try:
    for process in running:
      _, errors = process.communicate(timeout=300)
      assert process.returncode == 0, errors
  finally:
    for process in running:
      process.kill()  # one that waits for a dead one ignores SIGTERM
  with np.load(folder / "result.npz") as archive:
    return dict(archive)


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
  """The second start continues from the first one's checkpoint."""
  run_two(tmp_path, epochs=1)
  together = run_two(tmp_path, epochs=2)
  alone = one_of_two.train_and_query(tmp_path / "alone", epochs=2)
  assert together.keys() == alone.keys()
  for name, expected in alone.items():
    np.testing.assert_allclose(together[name], expected, rtol=0, atol=2e-4)


def test_one_process_agrees_with_itself():
  assert hosts.is_lead()
  hosts.agree(3, "anything")


class RemoteDevice:
  """A device of another process."""

  platform, process_index = "cpu", 1


@pytest.mark.parametrize(
  ("num_models", "axis", "message"),
  [
    (1, "shard_map", "num_models=1: must be at least 2"),
    (2, "pmap", "--device_axis=pmap: must be shard_map"),
  ],
)
def test_what_several_processes_cannot_do(num_models, axis, message):
  devices = [jax.devices()[0], RemoteDevice()]
  with pytest.raises(UserError, match=message):
    make_layout(num_models, axis, devices=devices)
