"""Looking at the layers of a network while it runs, and moving what they say.

Works on any Flax module: nothing in the network knows of it.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from flax import linen as nn


class Call(NamedTuple):
  """One call of a layer.

  Attributes:
    module: the layer; its path and variables can be read inside the block.
    inputs: all that it was given; the first is what it read.
    output: what it returned.
  """

  module: nn.Module
  inputs: tuple[Any, ...]
  output: Any


@contextlib.contextmanager
def calls(
  types: Collection[type[nn.Module]],
  change: Callable[[Call], Any] | None = None,
) -> Iterator[list[Call]]:
  """Records the calls of layers inside the block, in their order.

      with watch.calls([nn.BatchNorm]) as seen:
        logits = model.apply(variables, images, True)

  Args:
    types: of the layers, exactly: a subclass may compute something else.
    change: of a call, what the network goes on with instead of its output; it
      has not been recorded yet.

  Yields:
    The list that is filled while the network runs. Under `jit` or `grad` it
    holds tracers: use them inside the same function.
  """
  seen: list[Call] = []

  def interceptor(
    method: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: nn.module.InterceptorContext,
  ) -> Any:
    output = method(*args, **kwargs)
    module = context.module
    if context.method_name != "__call__" or type(module) not in types:
      return output
    call = Call(module, (*args, *kwargs.values()), output)
    changed = output if change is None else change(call)
    seen.append(call)
    return changed

  with nn.intercept_methods(interceptor):
    yield seen
