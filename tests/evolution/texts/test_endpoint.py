"""An endpoint that answers slowly, wrongly, not at all, or for money."""

import asyncio
import json
import sys
import time

import chat_server
import pytest
from chat_server import Body, Reply, Slow, Status

from syndata_jax.errors import UserError
from syndata_jax.evolution.texts import Endpoint, EndpointOptions, Request
from syndata_jax.evolution.texts.endpoint import reach

pytest.importorskip("openai")


def _endpoint(server, **options):
  defaults = {"backoff": 0.001, "timeout": 5.0, "retries": 2}
  return Endpoint(
    EndpointOptions(server.url, "small", **{**defaults, **options})
  )


def _requests(count, tokens=10):
  return [Request(f"prompt {row}", tokens, row) for row in range(count)]


def test_answers_come_in_order_and_a_bounded_number_at_once():
  def answer(prompt, count):
    row = int(prompt.split()[1])
    return Slow(0.05 - 0.004 * row, f"answer {row}")

  with chat_server.serving(answer) as server:
    texts = _endpoint(server, concurrency=3).complete(_requests(10))
  assert texts == [f"answer {row}" for row in range(10)]
  assert server.at_once == 3
  body = server.requests[0]
  assert body["model"] == "small" and body["max_tokens"] == 10
  assert body["temperature"] == 1.0


def test_parameters_and_the_key_are_as_set(monkeypatch):
  monkeypatch.setenv("MY_KEY", "secret")
  with chat_server.serving(lambda *_: "yes") as server:
    _endpoint(
      server,
      temperature=None,
      token_limit="max_completion_tokens",
      key_variable="MY_KEY",
    ).complete(_requests(1))
  body = server.requests[0]
  assert body["max_completion_tokens"] == 10
  assert not {"max_tokens", "temperature"} & body.keys()
  assert server.keys == ["Bearer secret"]


FAULTS = {
  "429": Status(429, headers={"retry-after": "0"}),
  "500": Status(500),
  "503": Status(503),
  "not json": Body(b"{"),
  "a page": Body(b"<html></html>", "text/html"),
  "no choices": Body(b'{"choices": []}'),
  "null": Body(b"null"),
  "choices of nothing": Body(b'{"choices": [{}]}'),
  "a number": Reply(7),
  "hanging": Slow(2.0),
  "dripping": Slow(2.0, drips=True),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_is_asked_again(fault):
  hangs = isinstance(FAULTS[fault], Slow)

  def answer(prompt, count):
    return FAULTS[fault] if count == 1 and prompt == "prompt 1" else "good"

  with chat_server.serving(answer) as server:
    endpoint = _endpoint(server, timeout=0.3 if hangs else 5.0)
    assert endpoint.complete(_requests(3)) == ["good"] * 3
    assert len(server.requests) == 4


@pytest.mark.parametrize(
  "fault, message",
  [
    ("500", r"status 500 \("),
    ("not json", "no answer of the protocol"),
    ("hanging", "no answer in 0.1 seconds"),
  ],
)
def test_what_fails_for_good_is_one_line(fault, message):
  with chat_server.serving(lambda *_: FAULTS[fault]) as server:
    endpoint = _endpoint(server, timeout=0.1 if fault == "hanging" else 5.0)
    with pytest.raises(UserError, match=message) as error:
      endpoint.complete(_requests(1))
  assert str(error.value).startswith(f"base_url={server.url}: 1 of 1 requests")
  assert "\n" not in str(error.value)
  assert len(server.requests) == 3


def test_a_few_may_fail_for_good():
  def answer(prompt, count):
    return Status(500) if prompt == "prompt 3" else "good"

  with chat_server.serving(answer) as server:
    endpoint = _endpoint(server, failures_allowed=0.1, retries=1)
    assert endpoint.complete(_requests(10)) == [
      "" if row == 3 else "good" for row in range(10)
    ]
    # It was never answered, so it is asked again.
    asked = len(server.requests)
    endpoint.complete(_requests(10))
    assert len(server.requests) == asked + 2


@pytest.mark.parametrize("status", [400, 401, 404])
def test_what_cannot_succeed_is_not_asked_again(status):
  with chat_server.serving(lambda *_: Status(status)) as server:
    with pytest.raises(UserError, match=f"model=small: status {status}"):
      _endpoint(server, concurrency=1).complete(_requests(5))
    assert len(server.requests) == 1


def test_an_exhausted_account_is_not_asked_again():
  fault = Status(429, "insufficient_quota")
  with chat_server.serving(lambda *_: fault) as server:
    with pytest.raises(UserError, match="status 429"):
      _endpoint(server).complete(_requests(1))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
  "answer",
  [
    Reply(None),
    Reply("  \n"),
    Reply("no", refusal="I cannot"),
    Reply("half", finish_reason="content_filter"),
    Status(400, "content_filter"),
  ],
)
def test_a_refusal_is_an_empty_answer_and_is_kept(answer):
  with chat_server.serving(lambda *_: answer) as server:
    endpoint = _endpoint(server)
    for _ in range(2):
      assert endpoint.complete(_requests(1)) == [""]
    assert len(server.requests) == 1


def test_nobody_listens():
  with chat_server.serving(lambda *_: "yes") as server:
    reach(server.url)
    endpoint = _endpoint(server, retries=1)
  with pytest.raises(UserError, match="cannot be reached") as error:
    endpoint.complete(_requests(20))
  assert str(error.value).startswith(f"base_url={server.url}: ")
  with pytest.raises(UserError, match="cannot be reached"):
    reach(server.url)


def test_the_cache_outlives_the_process(tmp_path):
  path = tmp_path / "deep" / "answers.jsonl"
  weird = "<|endoftext|> {label}\n\n\u2028\x00 \U0001f984 é"
  with chat_server.serving(lambda prompt, _: weird + prompt) as server:
    first = _endpoint(server, cache=str(path))
    texts = first.complete(_requests(3))
    assert texts == [f"{weird}prompt {row}" for row in range(3)]
    # Killed while it wrote a line.
    path.write_bytes(path.read_bytes() + b'{"id": "ab')
    again = _endpoint(server, cache=str(path))
    assert again.complete(_requests(3)) == texts
    assert len(server.requests) == 3
    # Each of them makes another request.
    again.complete([Request("prompt 0", 10, 99)])
    again.complete([Request("prompt 0", 11, 0)])
    again.complete([Request("prompt", 10, 0)])
    _endpoint(server, cache=str(path), temperature=0.5).complete(_requests(1))
    assert len(server.requests) == 7
    assert _endpoint(server, cache=str(path)).answers.num_requests == 7


def test_what_was_answered_is_kept_when_another_request_stops_it(tmp_path):
  path = tmp_path / "answers.jsonl"

  def answer(prompt, count):
    return Status(401) if prompt == "prompt 0" else Slow(0.2, "good")

  with (
    chat_server.serving(answer) as server,
    pytest.raises(UserError, match="status 401"),
  ):
    _endpoint(server, cache=str(path), concurrency=4).complete(_requests(9))
  kept = [json.loads(line) for line in path.read_text().splitlines()]
  assert [each["text"] for each in kept] == ["good"] * 3


def test_cost_is_counted_by_usage(tmp_path):
  path = str(tmp_path / "answers.jsonl")
  usage = {"prompt_tokens": 1000, "completion_tokens": 200}
  with chat_server.serving(lambda *_: Reply("x", usage=usage)) as server:
    prices = {"prompt_price": 2.0, "completion_price": 10.0, "cache": path}
    endpoint = _endpoint(server, **prices)
    endpoint.complete(_requests(5))
    assert endpoint.paid == pytest.approx(5 * 0.004)
    endpoint.complete(_requests(5))
    assert endpoint.paid == pytest.approx(5 * 0.004)
    # An earlier start's answers are paid for too.
    assert _endpoint(server, **prices).paid == pytest.approx(5 * 0.004)


def test_an_endpoint_that_counts_nothing_is_counted_at_the_bound():
  with chat_server.serving(lambda *_: Reply("x", usage=None)) as server:
    endpoint = _endpoint(server, prompt_price=1.0)
    endpoint.complete([Request("é" * 50, 7, 0)])
  assert endpoint.answers.usage == (200, 7)


def test_an_answer_that_never_came_may_have_been_billed():
  def answer(prompt, count):
    return Slow(1.0) if count == 1 else "good"

  with chat_server.serving(answer) as server:
    endpoint = _endpoint(server, timeout=0.1, completion_price=1e6)
    assert endpoint.complete([Request("p", 7, 0)]) == ["good"]
  assert endpoint.paid == 7 + 1


@pytest.mark.parametrize("concurrency", [1, 8])
def test_no_request_goes_out_that_the_money_may_not_cover(
  tmp_path, concurrency
):
  """Ten of money; a request may cost 3 and costs 1: eight fit, a ninth not."""
  path = str(tmp_path / "answers.jsonl")
  usage = {"prompt_tokens": 0, "completion_tokens": 1}
  options = {
    "completion_price": 1e6,
    "money": 10.0,
    "cache": path,
    "concurrency": concurrency,
  }
  with chat_server.serving(lambda *_: Reply("x", usage=usage)) as server:
    endpoint = _endpoint(server, **options)
    with pytest.raises(UserError, match="money=10: 8 is paid and the next"):
      endpoint.complete(_requests(20, tokens=3))
    assert endpoint.paid == 8 and len(server.requests) == 8
    # With more money it goes on from what was paid for.
    again = _endpoint(server, **{**options, "money": 30.0})
    assert again.paid == 8
    assert again.complete(_requests(20, tokens=3)) == ["x"] * 20
    assert len(server.requests) == 20


def test_it_works_inside_a_running_loop():
  async def notebook():
    return _endpoint(server).complete(_requests(2))

  with chat_server.serving(lambda *_: "yes") as server:
    assert asyncio.run(notebook()) == ["yes", "yes"]


@pytest.mark.parametrize(
  "options, message",
  [
    ({"base_url": "localhost:8000"}, "must begin with http"),
    ({"model": ""}, "model=''"),
    ({"money": 3.0}, "money=3: needs prompt_price"),
    ({"timeout": 0}, "timeout=0: must be greater"),
    ({"failures_allowed": 1.0}, "failures_allowed=1.0"),
    ({"token_limit": "tokens"}, "token_limit='tokens'"),
  ],
)
def test_settings_are_checked(options, message):
  with pytest.raises(UserError, match=message):
    EndpointOptions(**{"base_url": "http://x", "model": "m", **options})


def test_without_the_package_it_is_one_line(monkeypatch):
  monkeypatch.setitem(sys.modules, "openai", None)
  with pytest.raises(UserError, match=r"pip install 'syndata_jax\[text\]'"):
    Endpoint(EndpointOptions("http://localhost/v1", "small"))


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path):
  options = EndpointOptions("http://x/v1", "m", cache=str(tmp_path))
  with pytest.raises(UserError, match=f"cache={tmp_path}: "):
    Endpoint(options)


def test_pauses_are_as_long_as_the_endpoint_asks():
  def answer(prompt, count):
    return Status(429, headers={"retry-after": "0.3"}) if count == 1 else "good"

  with chat_server.serving(answer) as server:
    began = time.monotonic()
    _endpoint(server).complete(_requests(1))
  assert time.monotonic() - began >= 0.3
