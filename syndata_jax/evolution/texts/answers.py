"""Answers that were paid for, in a file that outlives the process.

A line of JSON for each: id, text and tokens. Lines are only ever added, each in
one write, so that what was paid for is not lost when the process is killed. A
line without an id is an attempt whose answer never came, and which may have
been billed. A line cut short is passed over.
"""

import json
import os
import pathlib
from typing import Any, NamedTuple

from syndata_jax import files
from syndata_jax.errors import UserError


class Usage(NamedTuple):
  """Tokens that an endpoint bills."""

  prompt: int = 0
  completion: int = 0

  def plus(self, other: "Usage") -> "Usage":
    """Both together."""
    return Usage(self.prompt + other.prompt, self.completion + other.completion)


class Answers:
  """Answers by id, and the tokens of all of them.

  Attributes:
    usage: tokens of all lines.
    num_requests: lines.
  """

  def __init__(self, path: files.Path = "") -> None:
    """Reads what an earlier process has left.

    Args:
      path: of the file; "" keeps answers in memory.

    Raises:
      UserError: the file cannot be read, or not be written.
    """
    self.path = pathlib.Path(path).expanduser() if path else None
    self.usage = Usage()
    self.num_requests = 0
    self._texts: dict[str, str] = {}
    if self.path is None:
      return
    try:
      self.path.parent.mkdir(parents=True, exist_ok=True)
      content = self.path.read_bytes() if self.path.exists() else b""
      self._append(b"" if content[-1:] in (b"", b"\n") else b"\n")
    except OSError as error:
      raise UserError(
        f"cache={path}: {error.strerror}: a file that can be written needed"
      ) from error
    for line in content.split(b"\n"):
      self._recall(line)

  def get(self, identity: str) -> str | None:
    """The answer of that id; None if it was never given."""
    return self._texts.get(identity)

  def add(self, identity: str | None, text: str, usage: Usage) -> None:
    """Keeps an answer.

    Args:
      identity: of the request; None for an attempt that has no answer.
      text: of the answer; "" for a refusal.
      usage: of the request.

    Raises:
      UserError: the file cannot be written.
    """
    self._count(identity, text, usage)
    fields: dict[str, Any] = {"id": identity, "text": text, **usage._asdict()}
    try:
      self._append(json.dumps(fields).encode() + b"\n")
    except OSError as error:
      raise UserError(f"cache={self.path}: {error.strerror}") from error

  def _append(self, content: bytes) -> None:
    if self.path is None:
      return
    mode = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    handle = os.open(self.path, mode, files.COMMON)
    try:
      os.write(handle, content)
    finally:
      os.close(handle)

  def _recall(self, line: bytes) -> None:
    try:
      fields = json.loads(line)
      usage = Usage(int(fields["prompt"]), int(fields["completion"]))
      self._count(fields["id"], str(fields["text"]), usage)
    except (KeyError, TypeError, ValueError):
      return

  def _count(self, identity: str | None, text: str, usage: Usage) -> None:
    self.usage = self.usage.plus(usage)
    self.num_requests += 1
    if identity is not None:
      self._texts[identity] = text
