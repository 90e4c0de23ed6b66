"""The same votes through Flower's messages, and in processes of their own."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from federated_small import (
  CLASSES,
  DIMENSION,
  SIZES,
  ballot,
  mechanism,
  records,
)

flwr = pytest.importorskip("flwr")

from flwr.app import ConfigRecord, Context, Message, Metadata, RecordDict  # noqa: E402
from flwr.serverapp import Grid  # noqa: E402
from flwr.supercore import task_identity  # noqa: E402

from syndata_jax import keys  # noqa: E402
from syndata_jax.evolution.api import Api  # noqa: E402
from syndata_jax.evolution.embedding import Embedding  # noqa: E402
from syndata_jax.evolution.federated.evolve import (  # noqa: E402
  evolve_federated,
)
from syndata_jax.evolution.federated.federation import (  # noqa: E402
  Federation,
)
from syndata_jax.evolution.federated.flower import (  # noqa: E402
  FlowerTransport,
  Home,
  client_app,
)
from syndata_jax.evolution.federated.participant import (  # noqa: E402
  Participant,
)
from syndata_jax.evolution.federated.policy import Policy  # noqa: E402
from syndata_jax.evolution.federated.server import (  # noqa: E402
  SecureVoters,
  histogram,
)
from syndata_jax.evolution.federated.simulated import (  # noqa: E402
  SimulatedVoters,
)
from syndata_jax.evolution.options import EvolutionOptions  # noqa: E402
from syndata_jax.privacy import Ledger  # noqa: E402


class _Nodes(Grid):
  """Flower's grid in this process: each message through its own bytes."""

  def __init__(self, app, folders):
    self.app = app
    self.contexts = {
      2**60 + node: Context(
        1, 2**60 + node, {"folder": str(folder)}, RecordDict(), {}
      )
      for node, folder in enumerate(folders)
    }
    self.silent = set()

  run = property(lambda self: None)

  def set_run(self, run):
    del run

  def create_message(self, *arguments, **fields):
    raise NotImplementedError

  def push_messages(self, messages):
    raise NotImplementedError

  def pull_messages(self, message_ids):
    raise NotImplementedError

  def get_node_ids(self):
    return list(self.contexts)

  def send_and_receive(self, messages, *, timeout=None):
    replies = []
    for message in messages:
      node = message.metadata.dst_node_id
      if node in self.silent:
        continue
      content = RecordDict(
        {
          name: ConfigRecord.inflate(record.deflate())
          for name, record in message.content.config_records.items()
        }
      )
      arrived = Message(metadata=_metadata(message), content=content)
      replies.append(self.app(arrived, self.contexts[node]))
    return replies


def _metadata(message):
  metadata = message.metadata
  return Metadata(
    1,
    "m",
    0,
    metadata.dst_node_id,
    "",
    "",
    metadata.created_at,
    metadata.ttl,
    metadata.message_type,
  )


@pytest.fixture
def identity(monkeypatch):
  """What Flower's runtime sets before a ServerApp runs."""
  for name, number in (("run_id", 1), ("node_id", 1), ("task_id", 1)):
    monkeypatch.setattr(task_identity.TaskIdentity, f"_{name}", number)


def _home(context):
  folder = pathlib.Path(context.node_config["folder"])

  def read():
    with np.load(folder / "records.npz") as data:
      return data["embeddings"], data["labels"]

  policy = Policy(num_classes=CLASSES, dimension=DIMENSION)
  return Home(
    Participant(read, policy),
    folder / "ledger.json",
    Ledger(1e-5, budget=1e8),
  )


def _folders(path, count=4):
  folders = []
  for one in range(count):
    folder = path / str(one)
    folder.mkdir()
    rows, labels = records(one)
    np.savez(folder / "records.npz", embeddings=rows, labels=labels)
    folders.append(folder)
  return folders


def _expected(rule, count=4):
  people = [records(one) for one in range(count)]
  voters = SimulatedVoters(
    np.concatenate([rows for rows, _ in people]),
    np.concatenate([labels for _, labels in people]),
    np.repeat(np.arange(count), 10),
    count,
    np.random.default_rng(0),
  )
  return histogram(voters.tally(rule, ballot(), lambda: None), rule).votes


@pytest.mark.usefixtures("identity")
def test_votes_travel_in_flowers_messages(tmp_path):
  folders = _folders(tmp_path)
  grid = _Nodes(client_app(_home), folders)
  transport = FlowerTransport(grid, 4, 5.0, 0.0)
  rule = mechanism(clip_norm=100.0, scale=2, noise_multiplier=0.001)
  for round_number in range(2):
    tally = SecureVoters(transport).tally(rule, ballot(), lambda: None)
    assert (tally.num_clients, tally.void) == (4, "")
    votes = histogram(tally, rule).votes
    np.testing.assert_allclose(votes, _expected(rule), atol=2)
    for folder in folders:
      ledger = Ledger.load(folder / "ledger.json")
      assert len(ledger.releases) == round_number + 1
  # The third exceeds what each client allows itself: refused, in a sentence.
  for folder in folders:
    ledger = Ledger(1e-5, budget=1e8)
    ledger.save(folder / "ledger.json")
  costly = mechanism(noise_multiplier=0.0)
  tally = SecureVoters(transport).tally(costly, ballot(), lambda: None)
  assert tally.total is None
  assert all("budget" in reason for reason in transport.refusals.values())


@pytest.mark.usefixtures("identity")
def test_who_is_gone_is_left_out_and_comes_back(tmp_path):
  grid = _Nodes(client_app(_home), _folders(tmp_path))
  voters = SecureVoters(FlowerTransport(grid, 4, 5.0, 0.0))
  rule = mechanism(noise_multiplier=3.0)
  gone = next(iter(grid.contexts))
  grid.silent = {gone}
  assert voters.tally(rule, ballot(), lambda: None).num_clients == 3
  grid.silent = set()
  # Its SuperNode was started anew: it remembers nothing but its ledger.
  grid.contexts[gone].state = RecordDict()
  assert voters.tally(rule, ballot(), lambda: None).num_clients == 4


class _Points(Api):
  """Points in space, on the host."""

  def random(self, key, labels):
    return keys.host(key).random((len(labels), DIMENSION), np.float32)

  def variation(self, key, samples, labels, degree):
    step = degree * keys.host(key).normal(size=samples.shape)
    return (samples + step).astype(np.float32)


@pytest.mark.usefixtures("identity")
def test_the_whole_loop_over_flower(tmp_path):
  folders = _folders(tmp_path)
  grid = _Nodes(client_app(_home), folders)
  options = EvolutionOptions(
    num_iterations=2, num_samples=12, noise_multiplier=2.0, noise="discrete"
  )
  evolved = evolve_federated(
    SecureVoters(FlowerTransport(grid, 4, 5.0, 0.0)),
    Embedding("points", np.asarray, traceable=False),
    _Points(),
    Ledger(1e-5),
    jax.random.key(0),
    options,
    Federation(max_clients=4, min_honest=3),
    CLASSES,
    tmp_path / "state",
  )
  assert len(evolved.history) == 2
  # What the clients have paid is what the server says it cost.
  for folder in folders:
    paid = Ledger.load(folder / "ledger.json")
    assert paid.releases == evolved.ledger.releases


_SHARED = f"""
import sys
sys.path.insert(0, {str(pathlib.Path(__file__).parents[2])!r})
"""

_PROJECT = """
[project]
name = "votes"
version = "1.0.0"
dependencies = []
[tool.flwr.app]
publisher = "test"
[tool.flwr.app.components]
serverapp = "server:app"
clientapp = "clients:app"
[tool.flwr.app.config]
result = ""
"""

_CLIENTS = (
  _SHARED
  + """
import pathlib
import numpy as np
from federated_small import CLASSES, DIMENSION
from syndata_jax.evolution.federated.flower import Home, client_app
from syndata_jax.evolution.federated.participant import Participant
from syndata_jax.evolution.federated.policy import Policy
from syndata_jax.privacy import Ledger

def home(context):
  folder = pathlib.Path(context.node_config["folder"])
  def read():
    with np.load(folder / "records.npz") as data:
      return data["embeddings"], data["labels"]
  policy = Policy(num_classes=CLASSES, dimension=DIMENSION)
  ledger = Ledger(1e-5, budget=1e8)
  return Home(Participant(read, policy), folder / "ledger.json", ledger)

app = client_app(home)
"""
)

_SERVER = (
  _SHARED
  + """
import json
import pathlib
from federated_small import ballot, mechanism
from syndata_jax.evolution.federated.flower import server_app
from syndata_jax.evolution.federated.server import SecureVoters, histogram

def main(transport, context):
  rule = mechanism(clip_norm=100.0, scale=2, noise_multiplier=0.001)
  tally = SecureVoters(transport).tally(rule, ballot(), lambda: None)
  votes = [] if tally.total is None else histogram(tally, rule).votes.tolist()
  fields = {"votes": votes, "void": tally.void, "clients": tally.num_clients,
            "refusals": {str(k): v for k, v in transport.refusals.items()}}
  path = pathlib.Path(context.run_config["result"])
  path.with_suffix(".new").write_text(json.dumps(fields))
  path.with_suffix(".new").rename(path)

app = server_app(main, expected=4, seconds=300.0, patience=300.0)
"""
)


@pytest.mark.slow
def test_clients_in_processes_of_their_own(tmp_path):
  """Flower's deployment on one machine: a SuperLink and four SuperNodes.

  One of them drops out when it should vote.
  """
  project = tmp_path / "project"
  project.mkdir()
  (project / "pyproject.toml").write_text(_PROJECT)
  (project / "clients.py").write_text(_CLIENTS)
  (project / "server.py").write_text(_SERVER)
  home = tmp_path / "flower"
  home.mkdir()
  ports = _free_ports(5)
  (home / "config.toml").write_text(
    f'[superlink]\ndefault = "here"\n[superlink.here]\n'
    f'address = "127.0.0.1:{ports[0]}"\ninsecure = true\n'
  )
  environment = {
    **os.environ,
    "FLWR_HOME": str(home),
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
  }
  result = tmp_path / "result.json"
  folders = _folders(tmp_path)
  (folders[3] / "records.npz").unlink()
  processes = []

  def start(*command):
    log = (tmp_path / f"{len(processes)}.log").open("w")
    processes.append(
      subprocess.Popen(
        command, env=environment, stdout=log, stderr=log, cwd=tmp_path
      )
    )

  try:
    start(
      "flower-superlink",
      "--insecure",
      "--host=127.0.0.1",
      f"--port={ports[0]}",
      "--disable-runtime-dependency-installation",
    )
    _wait_for(lambda: _answers(ports[0]), 60, tmp_path)
    for folder, port in zip(folders, ports[1:], strict=True):
      start(
        "flower-supernode",
        "--insecure",
        f"--superlink=127.0.0.1:{ports[0]}",
        "--host=127.0.0.1",
        f"--port={port}",
        f'--node-config=folder="{folder}"',
      )
    start(
      "flwr", "run", str(project), "here", f'--run-config=result="{result}"'
    )
    _wait_for(result.exists, 1500, tmp_path)
  finally:
    for process in reversed(processes):
      process.terminate()
    for process in processes:
      process.wait(timeout=30)
  fields = json.loads(result.read_text())
  assert (fields["clients"], fields["void"]) == (3, "")
  rule = mechanism(clip_norm=100.0, scale=2, noise_multiplier=0.001)
  expected = _expected(rule, 3)
  np.testing.assert_allclose(fields["votes"], expected, atol=2)
  assert len(fields["votes"]) == sum(SIZES)
  (reason,) = fields["refusals"].values()
  assert reason == "records: this client cannot read its own"
  for folder in folders[:3]:
    assert len(Ledger.load(folder / "ledger.json").releases) == 1
  assert not (folders[3] / "ledger.json").exists()


def _free_ports(count):
  sockets = [socket.socket() for _ in range(count)]
  for one in sockets:
    one.bind(("127.0.0.1", 0))
  ports = [one.getsockname()[1] for one in sockets]
  for one in sockets:
    one.close()
  return ports


def _answers(port):
  with socket.socket() as client:
    client.settimeout(1)
    return client.connect_ex(("127.0.0.1", port)) == 0


def _wait_for(happened, seconds, folder):
  end = time.monotonic() + seconds
  while not happened():
    if time.monotonic() > end:
      logs = "\n".join(path.read_text() for path in folder.glob("*.log"))
      pytest.fail(f"nothing after {seconds} seconds:\n{logs[-8000:]}")
    time.sleep(0.2)
