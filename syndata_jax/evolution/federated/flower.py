"""Flower's side: clients as SuperNodes, the server's loop as a ServerApp.

A message is one record of Flower's, `RecordDict({"private_evolution":
ConfigRecord})`; what a client remembers between messages is in its context,
which does not leave its SuperNode; its ledger is a file of its own, since a
budget outlives a run.
"""

from __future__ import annotations

import contextlib
import fcntl
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from syndata_jax.errors import UserError
from syndata_jax.evolution.federated.participant import Message, Participant
from syndata_jax.privacy.ledger import Ledger

if TYPE_CHECKING:
  from flwr.app import Context, RecordDict
  from flwr.clientapp import ClientApp
  from flwr.serverapp import Grid, ServerApp

_RECORD = "private_evolution"
_KIND = "query"
_POLL = 0.5  # seconds


class Home(NamedTuple):
  """What a client has at home.

  Attributes:
    participant: its records and its policy.
    path: of its ledger, JSON; written before a vote leaves.
    ledger: with which it begins where there is no file yet: its budget.
  """

  participant: Participant
  path: pathlib.Path
  ledger: Ledger


def client_app(home: Callable[[Context], Home]) -> ClientApp:
  """The ClientApp of a client.

  Args:
    home: of a node; called for each message, so that it should read records
      only when they are asked for (`Participant.records`).
  """
  _require_flower()
  from flwr.app import ConfigRecord, RecordDict
  from flwr.app import Message as FlowerMessage
  from flwr.clientapp import ClientApp

  app = ClientApp()

  @app.query()
  def answer(message: FlowerMessage, context: Context) -> FlowerMessage:
    reply = _answered(home(context), message.content, context)
    content = RecordDict({_RECORD: ConfigRecord(reply)})
    return FlowerMessage(content, reply_to=message)

  return app


def server_app(
  main: Callable[[FlowerTransport, Context], None],
  expected: int,
  seconds: float = 600.0,
  patience: float = 600.0,
) -> ServerApp:
  """The ServerApp of a run.

  Args:
    main: calls `evolve_federated` with `SecureVoters(transport)`.
    expected: clients to wait for at the start of a round.
    seconds: for the answers to one question.
    patience: seconds to wait for them; then the round begins without.
  """
  _require_flower()
  from flwr.serverapp import ServerApp

  app = ServerApp()

  @app.main()
  def run(grid: Grid, context: Context) -> None:
    main(FlowerTransport(grid, expected, seconds, patience), context)

  return app


class FlowerTransport:
  """Questions and answers through Flower's grid; see `Transport`.

  Attributes:
    grid: of the run.
    expected: clients to wait for at the start of a round.
    seconds: for the answers to one question.
    patience: seconds to wait for clients.
    refusals: the last reason of each client that refused.
  """

  def __init__(
    self, grid: Grid, expected: int, seconds: float, patience: float
  ) -> None:
    """Over a grid.

    Args:
      grid: of the run.
      expected: clients to wait for at the start of a round.
      seconds: for the answers to one question.
      patience: seconds to wait for clients.
    """
    self.grid = grid
    self.seconds = seconds
    self.patience = patience
    self.expected = expected
    self.refusals: dict[int, str] = {}

  def available(self) -> Sequence[int]:
    """Nodes that are connected, after waiting for `expected` of them."""
    end = time.monotonic() + self.patience
    while True:
      nodes = sorted(self.grid.get_node_ids())
      if len(nodes) >= self.expected or time.monotonic() >= end:
        return nodes
      time.sleep(_POLL)

  def ask(self, questions: Mapping[int, Message]) -> Mapping[int, Message]:
    """As `Transport.ask`; who does not answer in time is not waited for."""
    from flwr.app import ConfigRecord, RecordDict
    from flwr.app import Message as FlowerMessage

    messages = [
      FlowerMessage(
        content=RecordDict({_RECORD: ConfigRecord(dict(question))}),
        dst_node_id=node,
        message_type=_KIND,
        # A question that comes too late is not to be answered at all.
        ttl=self.seconds,
      )
      for node, question in questions.items()
    ]
    replies: dict[int, Message] = {}
    for message in self.grid.send_and_receive(messages, timeout=self.seconds):
      node = message.metadata.src_node_id
      if message.has_error():
        self.refusals[node] = str(message.error.reason)
        continue
      reply = _fields(message.content)
      if "refused" in reply:
        self.refusals[node] = str(reply["refused"])
      else:
        replies[node] = reply
    return replies


def _answered(home: Home, content: RecordDict, context: Context) -> Message:
  """The reply; memory goes to the context, the ledger to its file."""
  from flwr.app import ConfigRecord

  records = context.state.config_records
  memory = dict(records[_RECORD]) if _RECORD in records else {}
  with _locked(home.path):
    ledger = home.ledger
    if home.path.exists():
      ledger = Ledger.load(home.path, expected=home.ledger)
    try:
      answer = home.participant.answer(
        context.node_id, _fields(content), memory, ledger
      )
    except UserError as error:
      return {"refused": str(error)}
    if answer.ledger is not ledger:
      answer.ledger.save(home.path)
  records[_RECORD] = ConfigRecord(answer.memory)
  return answer.reply


def _fields(content: RecordDict) -> Message:
  if _RECORD not in content.config_records:
    return {}
  return dict(content.config_records[_RECORD])


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
  """Two runs at once must not spend one budget twice."""
  with path.with_name(f".{path.name}.lock").open("w") as stream:
    fcntl.flock(stream, fcntl.LOCK_EX)
    yield


def _require_flower() -> Any:
  try:
    import flwr
  except ImportError as error:
    raise UserError(
      "flwr: is not installed; pip install 'syndata_jax[federated]'"
    ) from error
  return flwr
