"""Random texts and variations of texts, by prompts."""

from collections.abc import Sequence

import jax
import numpy as np

from syndata_jax import keys
from syndata_jax.errors import UserError
from syndata_jax.evolution.api import Api
from syndata_jax.evolution.texts import prompts
from syndata_jax.evolution.texts.endpoint import Endpoint, Request
from syndata_jax.evolution.texts.options import TextOptions

# How often a new text is asked for before another one stands in its place.
_ATTEMPTS = 3


class TextApi(Api):
  """Asks a language model; prompts follow from noisy votes alone.

  Samples are NumPy arrays of objects, each a string: arrays of strings would
  cut trailing zeros off.

  Attributes:
    endpoint: that is asked.
    options: prompts and labels.
  """

  def __init__(self, endpoint: Endpoint, options: TextOptions) -> None:
    """Takes an endpoint and the settings of its prompts."""
    self.endpoint = endpoint
    self.options = options
    self.public = (
      f"the language model {options.model}, whatever it was trained on",
      "prompts, labels and keywords",
    )

  def random(self, key: jax.Array, labels: jax.Array) -> np.ndarray:
    """New texts of these labels, object[B].

    A text that is refused or empty is asked for anew; after three times
    another one of its label stands in its place.

    Raises:
      UserError: none of a label, or the endpoint fails.
    """
    generator = keys.host(key)
    classes = np.asarray(labels)
    texts = np.full(len(classes), "", object)
    for _ in range(_ATTEMPTS):
      empty = np.flatnonzero(texts == "")
      if not len(empty):
        return texts
      requests = [self._new(int(classes[row]), generator) for row in empty]
      texts[empty] = _objects(self.endpoint.complete(requests))
    for row in np.flatnonzero(texts == ""):
      others = np.flatnonzero((classes == classes[row]) & (texts != ""))
      if not len(others):
        raise UserError(
          f"random_prompt: {self.options.model} answers nothing"
          f"{self._about(int(classes[row]))}"
        )
      texts[row] = texts[generator.choice(others)]
    return texts

  def variation(
    self,
    key: jax.Array,
    samples: np.ndarray,
    labels: jax.Array,
    degree: float | jax.Array,
  ) -> np.ndarray:
    """One other text for each; a refused or empty answer keeps the parent.

    Args:
      key: of blanks, numbers of words and answers.
      samples: object[B].
      labels: i32[B].
      degree: the probability of a blank, in [0, 1]. A text without a blank is
        kept without asking.
    """
    generator = keys.host(key)
    varied = np.array(samples, object)
    rows, requests = [], []
    for row, label in enumerate(np.asarray(labels)):
      request = self._other(varied[row], int(label), float(degree), generator)
      if request is not None:
        rows.append(row)
        requests.append(request)
    for row, text in zip(rows, self.endpoint.complete(requests), strict=True):
      varied[row] = text or varied[row]
    return varied

  def _new(self, label: int, generator: np.random.Generator) -> Request:
    words = self._words(self.options.words, generator)
    options = self.options
    keyword = ""
    if options.keywords:
      keyword = options.keywords[generator.integers(len(options.keywords))]
    prompt = prompts.filled(
      options.random_prompt,
      label=self._name(label),
      words=str(words),
      keyword=keyword,
    )
    return self._request(prompt, words, generator)

  def _other(
    self,
    text: str,
    label: int,
    degree: float,
    generator: np.random.Generator,
  ) -> Request | None:
    """Asks for a variation; None where there is nothing to ask.

    Args:
      text: the parent.
      label: of it.
      degree: of the variation.
      generator: of the draws, as many for each text of one length.
    """
    words = self._words(prompts.num_words(text), generator)
    shown, template = text, self.options.rephrase_prompt
    if self.options.variation == "fill_in_blanks":
      shown = prompts.blanked(text, degree, generator)
      template = self.options.blank_prompt
    prompt = prompts.filled(
      template, label=self._name(label), words=str(words), text=shown
    )
    request = self._request(prompt, words, generator)
    is_same = self.options.variation == "fill_in_blanks" and shown == text
    return None if is_same else request

  def _words(self, mean: float, generator: np.random.Generator) -> int:
    """Words to ask for."""
    drawn = mean + self.options.words_std * generator.standard_normal()
    return max(self.options.min_words, round(drawn))

  def _request(
    self, prompt: str, words: int, generator: np.random.Generator
  ) -> Request:
    tokens = min(
      self.options.max_tokens, round(self.options.tokens_per_word * words)
    )
    return Request(prompt, max(1, tokens), int(generator.integers(2**62)))

  def _name(self, label: int) -> str:
    return self.options.labels[label] if self.options.labels else ""

  def _about(self, label: int) -> str:
    return (
      f" for the label {self._name(label)!r}" if self.options.labels else ""
    )


def _objects(texts: Sequence[str]) -> np.ndarray:
  """object[B]; `np.array` would look into the texts."""
  array = np.empty(len(texts), object)
  array[:] = texts
  return array
