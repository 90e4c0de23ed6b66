"""What a language model is asked: templates, and blanks in a text.

After Aug-PE (Xie et al., "Differentially Private Synthetic Data via Foundation
Model APIs 2: Text", arXiv 2403.01749). Text is opaque: whatever it contains,
braces and special tokens too, is passed on as it is.
"""

import re

import numpy as np

from syndata_jax.errors import UserError

OF_RANDOM = ("label", "words", "keyword")
OF_VARIATION = ("label", "words", "text")

BLANK = (
  "In the text below, each _ stands for something that is missing. Fill in"
  " every blank so that the whole reads well, in about {words} words. Answer"
  " with the completed text alone.\n\n{text}"
)
REPHRASE = (
  "Say what the text below says in other words, in about {words} words. Answer"
  " with the new text alone.\n\n{text}"
)

_FIELD = re.compile(r"\{([a-z_]+)\}")
# Scripts without spaces are blanked character by character.
_WORD = re.compile(
  "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]"
  "|[^\\s\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+"
)


def check(
  name: str, template: str, fields: tuple[str, ...], needed: str = ""
) -> None:
  """Makes sure that a template can be filled in.

  Args:
    name: of the setting.
    template: with fields in braces.
    fields: that it may have.
    needed: one that it must have.

  Raises:
    UserError: another field, or none that is needed.
  """
  present = _FIELD.findall(template)
  for field in present:
    if field not in fields:
      allowed = ", ".join(f"{{{each}}}" for each in fields)
      raise UserError(f"{name}: {{{field}}}: must be one of {allowed}")
  if needed and needed not in present:
    raise UserError(f"{name}={template!r}: must have {{{needed}}}")


def filled(template: str, **fields: str) -> str:
  """A template with its fields filled in, once: values are not read again."""
  return _FIELD.sub(lambda match: fields[match[1]], template)


def blanked(
  text: str, probability: float, generator: np.random.Generator
) -> str:
  """A text with some words replaced by `_`; all space stays as it is.

  Args:
    text: any.
    probability: of each word.
    generator: of the draws, one for each word.
  """
  return _WORD.sub(
    lambda match: "_" if generator.random() < probability else match[0], text
  )


def num_words(text: str) -> int:
  """Words of a text; characters, in scripts without spaces."""
  return len(_WORD.findall(text))
