"""Money: what requests may cost at most, and what they have cost."""

import asyncio

from syndata_jax.errors import UserError
from syndata_jax.evolution.texts.answers import Answers, Usage
from syndata_jax.evolution.texts.options import EndpointOptions

# Tokens of a chat's frame, which an endpoint adds to a prompt.
_FRAME = 100


def price(options: EndpointOptions, usage: Usage) -> float:
  """What tokens cost, in the currency of the prices."""
  cost = options.prompt_price * usage.prompt
  return (cost + options.completion_price * usage.completion) / 1e6


def bound(prompt: str, max_tokens: int) -> Usage:
  """Tokens of a request at most: no token is shorter than a byte."""
  return Usage(len(prompt.encode("utf-8", "replace")) + _FRAME, max_tokens)


class Purse:
  """Lets a request out only where the worst it may cost is left.

  For the requests of one event loop. What is under way is reserved at its
  bound, and settled at what the endpoint says it has used.
  """

  def __init__(self, options: EndpointOptions, answers: Answers) -> None:
    """Takes the settings, and the answers that count what was paid."""
    self._options = options
    self._answers = answers
    self._reserved = 0.0
    self._settled = asyncio.Condition()

  @property
  def paid(self) -> float:
    """For all answers so far."""
    return price(self._options, self._answers.usage)

  async def reserve(self, cost: float) -> None:
    """Waits until a cost is covered.

    Raises:
      UserError: nothing is under way any more, and it is not.
    """
    money = self._options.money
    async with self._settled:
      while self.paid + self._reserved + cost > money:
        if not self._reserved:
          raise UserError(
            f"money={money:g}: {self.paid:.4g} is paid and the next request"
            f" may cost {cost:.4g}; {self._answers.num_requests} requests are"
            " kept: raise it to go on"
          )
        await self._settled.wait()
      self._reserved += cost

  async def settle(self, cost: float) -> None:
    """Gives back what was reserved; what was used is among the answers."""
    async with self._settled:
      self._reserved -= cost
      if self._reserved < 1e-12:  # rounding; nothing is under way
        self._reserved = 0.0
      self._settled.notify_all()
