"""Any endpoint that speaks OpenAI's chat-completions protocol.

Requests go out together, a bounded number at once. What fails is asked again
after a pause; what was answered is kept in the cache and never asked again.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import hashlib
import json
import os
import random
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from syndata_jax.errors import UserError
from syndata_jax.evolution.texts import purse as purses
from syndata_jax.evolution.texts.answers import Answers, Usage
from syndata_jax.evolution.texts.options import EndpointOptions

_LONGEST_PAUSE = 60.0  # seconds
_REACH = 5.0  # seconds to connect
# Of the others, those of the server's side, 500 and above.
_TEMPORARY = (408, 409, 425, 429)
# Codes that come with a temporary status and are not temporary.
_FINAL = ("insufficient_quota", "billing_hard_limit_reached")
# Of the content alone: asked again, it would be refused again.
_REFUSALS = (
  "content_filter",
  "content_policy_violation",
  "context_length_exceeded",
)


class Request(NamedTuple):
  """A prompt; equal ones with different keys are different requests."""

  prompt: str
  max_tokens: int
  key: int


class Endpoint:
  """Completes prompts.

  Attributes:
    options: where and how.
    answers: all that were ever paid for.
  """

  def __init__(self, options: EndpointOptions) -> None:
    """Takes settings and reads the cache; asks nothing yet.

    Raises:
      UserError: no package `openai`, or a cache that cannot be used.
    """
    _openai(options)
    self.options = options
    self.answers = Answers(options.cache)

  @property
  def paid(self) -> float:
    """For all answers in the cache, in the currency of the prices."""
    return purses.price(self.options, self.answers.usage)

  def complete(self, requests: Sequence[Request]) -> list[str]:
    """The answer of each request; "" for one refused, empty or failed.

    May be called from a running event loop, as in a notebook.

    Raises:
      UserError: the endpoint cannot be reached, refuses the key, the model or
        the parameters, or too many requests fail; or the money is spent. What
        was answered by then is in the cache.
    """
    batch = _Batch(self.options, self.answers, requests)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
      future = pool.submit(lambda: asyncio.run(batch.run()))
      try:
        return future.result()
      except BaseException:
        # Interrupted: what is under way is paid for, and waited for.
        batch.stop(UserError("interrupted"))
        raise


def reach(base_url: str) -> None:
  """Makes sure that something listens at an address; sends nothing.

  Raises:
    UserError: nothing does.
  """
  url = urllib.parse.urlsplit(base_url)
  host = url.hostname or ""
  is_direct = urllib.request.proxy_bypass(host)
  if url.scheme in urllib.request.getproxies() and not is_direct:
    return
  port = url.port or (443 if url.scheme == "https" else 80)
  try:
    socket.create_connection((host, port), timeout=_REACH).close()
  except OSError as error:
    raise _unreachable(base_url, error.strerror or str(error)) from error


class _Batch:
  """The requests of one call."""

  def __init__(
    self,
    options: EndpointOptions,
    answers: Answers,
    requests: Sequence[Request],
  ) -> None:
    self._options = options
    self._answers = answers
    self._requests = requests
    self._texts = [""] * len(requests)
    self._failures = 0
    self._problem: UserError | None = None
    self._openai = _openai(options)

  def stop(self, problem: UserError) -> None:
    """Lets nothing more out."""
    self._problem = self._problem or problem

  async def run(self) -> list[str]:
    """All answers."""
    missing = []
    for place, request in enumerate(self._requests):
      text = self._answers.get(self._identity(request))
      if text is None:
        missing.append(place)
      else:
        self._texts[place] = text
    if not missing:
      return self._texts
    self._purse = purses.Purse(self._options, self._answers)
    places = iter(missing)
    async with self._openai.AsyncOpenAI(
      base_url=self._options.base_url,
      api_key=os.environ.get(self._options.key_variable) or "none",
      max_retries=0,  # they are made here, where they are counted
      timeout=self._options.timeout,
    ) as client:
      workers = min(self._options.concurrency, len(missing))
      await asyncio.gather(
        *(self._work(client, places) for _ in range(workers))
      )
    if self._problem is not None:
      raise self._problem
    return self._texts

  async def _work(self, client: Any, places: Iterator[int]) -> None:
    for place in places:
      if self._problem is not None:
        return
      try:
        self._texts[place] = await self._answer(client, self._requests[place])
      except UserError as error:
        self.stop(error)

  async def _answer(self, client: Any, request: Request) -> str:
    """The text of one answer, asked for until it comes."""
    most = purses.bound(request.prompt, request.max_tokens)
    cost = purses.price(self._options, most)
    failure = _Failure("not asked")
    for attempt in range(self._options.retries + 1):
      if attempt:
        await asyncio.sleep(self._pause(attempt, failure.pause))
      await self._purse.reserve(cost)
      try:
        if self._problem is not None:
          return ""
        return await self._attempt(client, request, most)
      except _Failure as error:
        failure = error
        if failure.is_billed:
          self._answers.add(None, "", most)
      finally:
        await self._purse.settle(cost)
    if failure.is_unreachable:
      raise _unreachable(self._options.base_url, str(failure))
    self._failures += 1
    if self._failures > self._options.failures_allowed * len(self._requests):
      raise UserError(
        f"base_url={self._options.base_url}: {self._failures} of"
        f" {len(self._requests)} requests failed, each"
        f" {self._options.retries + 1} times: {failure};"
        f" {self._answers.num_requests} requests are kept"
      )
    return ""

  async def _attempt(self, client: Any, request: Request, most: Usage) -> str:
    """Asks once, and keeps the answer.

    Args:
      client: of the package.
      request: to send.
      most: tokens that it may use, where the endpoint does not say.

    Raises:
      _Failure: there may be an answer the next time.
      UserError: there will be none.
    """
    openai = self._openai
    try:
      async with asyncio.timeout(self._options.timeout):
        reply = await client.chat.completions.create(
          messages=[{"role": "user", "content": request.prompt}],
          **self._parameters(request),
        )
      text, usage = _read(reply, most)
    except (TimeoutError, openai.APITimeoutError):
      raise _Failure(
        f"no answer in {self._options.timeout:g} seconds", is_billed=True
      ) from None
    except openai.APIConnectionError as error:
      reason = _line(error.__cause__ or error)
      raise _Failure(reason, is_unreachable=True) from error
    except openai.APIStatusError as error:
      text, usage = self._refused(error), Usage()
    except (openai.OpenAIError, ValueError, TypeError) as error:
      raise _Failure(
        f"no answer of the protocol ({_line(error)})", is_billed=True
      ) from error
    self._answers.add(self._identity(request), text, usage)
    return text

  def _refused(self, error: Any) -> str:
    """The text "" of an answer that was refused by its content.

    Raises:
      _Failure: the status is temporary.
      UserError: it is not.
    """
    code = str(error.code or "")
    if code in _REFUSALS:
      return ""
    status = error.status_code
    problem = f"status {status} ({_line(error)})"
    is_temporary = status in _TEMPORARY or status >= 500
    if is_temporary and code not in _FINAL:
      raise _Failure(problem, pause=_retry_after(error.response)) from error
    raise UserError(
      f"base_url={self._options.base_url}, model={self._options.model}:"
      f" {problem}; {self._answers.num_requests} requests are kept"
    ) from error

  def _parameters(self, request: Request) -> dict[str, Any]:
    parameters: dict[str, Any] = {
      "model": self._options.model,
      self._options.token_limit: request.max_tokens,
    }
    if self._options.temperature is not None:
      parameters["temperature"] = self._options.temperature
    return parameters

  def _identity(self, request: Request) -> str:
    """Of model, prompt, parameters and key."""
    fields = [request.prompt, request.key, self._parameters(request)]
    text = json.dumps(fields, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]

  def _pause(self, attempt: int, asked_for: float) -> float:
    """Seconds before an attempt; those at once must not come back at once."""
    pause = self._options.backoff * 2 ** (attempt - 1)
    pause = max(pause * random.uniform(0.5, 1.0), asked_for)
    return min(pause, _LONGEST_PAUSE)


class _Failure(Exception):
  """One attempt without an answer."""

  def __init__(
    self,
    problem: str,
    is_billed: bool = False,
    is_unreachable: bool = False,
    pause: float = 0.0,
  ) -> None:
    super().__init__(problem)
    self.is_billed = is_billed
    self.is_unreachable = is_unreachable
    self.pause = pause  # seconds, as the endpoint asks


def _read(reply: Any, most: Usage) -> tuple[str, Usage]:
  """Text and tokens of a reply.

  Args:
    reply: of the package, whose fields nobody has checked.
    most: tokens, where the reply does not say.

  Raises:
    ValueError: it is no reply of the protocol.
  """
  choices = getattr(reply, "choices", None)
  if not isinstance(choices, list) or not choices:
    raise ValueError("no choices")
  message = getattr(choices[0], "message", None)
  if message is None:
    raise ValueError("no message")
  content = getattr(message, "content", None)
  if content is not None and not isinstance(content, str):
    raise ValueError("content is no text")
  usage = _usage(getattr(reply, "usage", None)) or most
  is_refused = (
    getattr(message, "refusal", None)
    or getattr(choices[0], "finish_reason", None) in _REFUSALS
  )
  if is_refused or not content or not content.strip():
    return "", usage
  # Half of a surrogate pair is a character of no encoding.
  return content.encode("utf-8", "replace").decode(), usage


def _usage(reported: Any) -> Usage | None:
  counts = []
  for name in ("prompt_tokens", "completion_tokens"):
    count = getattr(reported, name, None)
    if not isinstance(count, int) or count < 0:
      return None
    counts.append(count)
  return Usage(*counts)


def _retry_after(response: Any) -> float:
  try:
    return max(0.0, float(response.headers.get("retry-after", 0)))
  except (AttributeError, TypeError, ValueError):
    return 0.0


def _line(error: BaseException) -> str:
  lines = str(error).strip().splitlines()
  return lines[0][:200] if lines else type(error).__name__


def _unreachable(base_url: str, reason: str) -> UserError:
  return UserError(
    f"base_url={base_url}: cannot be reached ({reason}): the address of an"
    " endpoint that speaks the chat-completions protocol needed"
  )


def _openai(options: EndpointOptions) -> ModuleType:
  try:
    import openai
  except ImportError as error:
    raise UserError(
      f"base_url={options.base_url}: the package openai is needed; pip install"
      " 'syndata_jax[text]'"
    ) from error
  return openai
