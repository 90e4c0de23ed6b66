"""The methods of distillation by name; each has a module, DSA that of DC."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from syndata_jax import validate

# Where each method is: a module of this package, and its name there.
_PLACES = {
  "datm": ("datm", "METHOD"),
  "dc": ("dc", "METHOD"),
  "dm": ("dm", "METHOD"),
  "dsa": ("dc", "DSA"),
  "mtt": ("mtt", "METHOD"),
  "tesla": ("tesla", "METHOD"),
}
NAMES = tuple(_PLACES)


class Method(NamedTuple):
  """One way to move synthetic images.

  Attributes:
    make: `(setup) -> Step`, one iteration of one model's set; see
      `syndata_jax.paradigms.distillation.setup`.
    follows_experts: whether an iteration is given a segment of an expert's
      training, and learns the learning rate with the images; otherwise it
      draws a batch of private images of every class.
    begins_right: whether private images to begin with are among those that an
      expert classifies as labelled.
    reads_embedding: whether it reads what the last layer of a network reads.
    unread: settings of the matching that this method does not read.
  """

  make: Callable[[Any], Callable[..., Any]]
  follows_experts: bool = False
  begins_right: bool = False
  reads_embedding: bool = False
  unread: tuple[str, ...] = ()


def find(name: str) -> Method:
  """The method called `name`.

  Raises:
    UserError: no method has this name.
  """
  validate.one_of(NAMES, method=name)
  module, attribute = _PLACES[name]
  # Imported when asked for: the methods themselves import the settings.
  return getattr(importlib.import_module(f"{__package__}.{module}"), attribute)
