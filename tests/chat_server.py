"""A local server of the chat-completions protocol, with every fault asked for.

    with chat_server.serving(answer) as server:
      ... f"{server.url}" ...

`answer(prompt, count)` gets the prompt and how often it has come, and gives the
text of an answer, or one of the faults below.
"""

import contextlib
import http.server
import json
import threading
import time
from typing import Any, NamedTuple


class Status(NamedTuple):
  """An answer of that status."""

  status: int
  code: str = ""
  headers: dict[str, str] = {}  # noqa: RUF012


class Body(NamedTuple):
  """An answer whose body is this, whatever the protocol says."""

  content: bytes
  kind: str = "application/json"


class Slow(NamedTuple):
  """An answer after some seconds; then the text."""

  seconds: float
  text: str = ""
  drips: bool = False  # a byte of its head now and then


class Reply(NamedTuple):
  """An answer with these fields."""

  content: Any
  finish_reason: str = "stop"
  refusal: str | None = None
  usage: Any = True


class Server:
  """What has been asked.

  Attributes:
    url: to give to a client.
    requests: bodies, in order.
    at_once: the most under way together.
  """

  def __init__(self, answer):
    self.answer = answer
    self.requests = []
    self.keys = []
    self.at_once = 0
    self._under_way = 0
    self._counts = {}
    self._lock = threading.Lock()

  def handle(self, handler):
    length = int(handler.headers["content-length"])
    body = json.loads(handler.rfile.read(length))
    prompt = body["messages"][-1]["content"]
    with self._lock:
      self.requests.append(body)
      self.keys.append(handler.headers["authorization"])
      self._counts[prompt] = self._counts.get(prompt, 0) + 1
      count = self._counts[prompt]
      self._under_way += 1
      self.at_once = max(self.at_once, self._under_way)
    try:
      self._send(handler, self.answer(prompt, count), prompt, body["model"])
    except (BrokenPipeError, ConnectionResetError):
      pass  # whoever asked has gone
    finally:
      with self._lock:
        self._under_way -= 1

  def _send(self, handler, answer, prompt, model):
    match answer:
      case Slow(seconds, text, drips):
        if drips:
          handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(20):
          time.sleep(seconds / 20)
          if drips:
            handler.wfile.write(b"x: y\r\n")
            handler.wfile.flush()
        if not drips:
          self._send(handler, text, prompt, model)
      case Status(status, code, headers):
        error = {"error": {"message": "as asked\nfor", "code": code or None}}
        _write(handler, status, json.dumps(error).encode(), headers)
      case Body(content, kind):
        _write(handler, 200, content, {"content-type": kind})
      case Reply(content, finish_reason, refusal, usage):
        reply = {
          "id": "chatcmpl-1",
          "object": "chat.completion",
          "created": 0,
          "model": model,
          "choices": [
            {
              "index": 0,
              "finish_reason": finish_reason,
              "message": {
                "role": "assistant",
                "content": content,
                "refusal": refusal,
              },
            }
          ],
        }
        if usage is True:
          reply["usage"] = {
            "prompt_tokens": len(prompt.split()),
            "completion_tokens": len((content or "").split()),
            "total_tokens": 0,
          }
        elif usage:
          reply["usage"] = usage
        _write(handler, 200, json.dumps(reply).encode(), {})
      case text:
        self._send(handler, Reply(text), prompt, model)


def _write(handler, status, content, headers):
  handler.send_response(status)
  headers = {"content-type": "application/json", **headers}
  for name, value in {**headers, "content-length": len(content)}.items():
    handler.send_header(name, str(value))
  handler.end_headers()
  handler.wfile.write(content)


@contextlib.contextmanager
def serving(answer):
  """Yields a `Server` that listens on a port of its own."""
  state = Server(answer)

  class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
      if self.path != "/v1/chat/completions":
        _write(self, 404, b"{}", {})
      else:
        state.handle(self)

    def log_message(self, *_):
      pass

  class Threads(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

  server = Threads(("127.0.0.1", 0), Handler)
  state.url = f"http://127.0.0.1:{server.server_port}/v1"
  thread = threading.Thread(target=server.serve_forever, args=(0.02,))
  thread.start()
  try:
    yield state
  finally:
    server.shutdown()
    thread.join()
    server.server_close()
