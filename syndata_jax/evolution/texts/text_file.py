"""Texts as a file, a line of JSON for each.

    {"text": "Came back twice.", "label": "positive"}

Text is opaque: line breaks, special tokens and all of Unicode survive.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from syndata_jax import files
from syndata_jax.errors import UserError


def read(
  path: files.Path, labels: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray]:
  """Reads texts.

  Args:
    path: UTF-8, a JSON object with `text` and, where there are labels, `label`
      in each line; other fields are not read.
    labels: the declared ones.

  Returns:
    Texts object[P], and their labels' places i32[P]; zeros without labels.

  Raises:
    UserError: the file cannot be read, or a line is no such object.
  """
  try:
    content = pathlib.Path(path).read_text(encoding="utf-8-sig")
  except (OSError, UnicodeDecodeError) as error:
    reason = getattr(error, "strerror", None) or "not UTF-8 text"
    raise UserError(f"{path}: {reason}: lines of JSON needed") from error
  places = {label: place for place, label in enumerate(labels)}
  texts, codes = [], []
  # Unlike `splitlines`, which breaks at characters that a text may hold.
  for number, line in enumerate(content.split("\n"), start=1):
    if line.strip():
      text, label = _fields(line, f"{path}: line {number}", places)
      texts.append(text)
      codes.append(label)
  if not texts:
    raise UserError(f"{path}: no lines: at least one text needed")
  array = np.empty(len(texts), object)
  array[:] = texts
  return array, np.array(codes, np.int32)


def write(
  path: files.Path,
  texts: Sequence[str] | np.ndarray,
  codes: np.ndarray,
  labels: Sequence[str] = (),
) -> None:
  """Writes texts whole; `read` reads them.

  Args:
    path: of the file.
    texts: S of them.
    codes: places of their labels, i32[S].
    labels: the declared ones; without them no label is written.
  """
  lines = []
  for text, code in zip(texts, np.asarray(codes), strict=True):
    fields = {"text": str(text)}
    if labels:
      fields["label"] = labels[int(code)]
    lines.append(json.dumps(fields) + "\n")
  files.write(path, "".join(lines))


def _fields(line: str, place: str, places: dict[str, int]) -> tuple[str, int]:
  """Text and label's place of one line."""
  try:
    fields: Any = json.loads(line)
  except ValueError as error:
    raise UserError(f"{place}: no JSON ({error})") from error
  text = fields.get("text") if isinstance(fields, dict) else None
  if not isinstance(text, str):
    raise UserError(f'{place}: must be an object with a "text"')
  if not places:
    return text, 0
  label = fields.get("label")
  if not isinstance(label, str) or label not in places:
    allowed = ", ".join(map(repr, places))
    raise UserError(f"{place}: label {label!r}: must be one of {allowed}")
  return text, places[label]
