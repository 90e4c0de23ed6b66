"""From a file of texts and an endpoint to all that an evolution needs."""

import pathlib
from typing import Any

import numpy as np

from syndata_jax import files
from syndata_jax.evolution.task import Task
from syndata_jax.evolution.texts import endpoint as endpoints
from syndata_jax.evolution.texts import text_file
from syndata_jax.evolution.texts.api import TextApi
from syndata_jax.evolution.texts.embeddings import (
  hashed_ngrams,
  sentence_embedding,
)
from syndata_jax.evolution.texts.endpoint import Endpoint
from syndata_jax.evolution.texts.options import TextOptions

FILE = "texts.jsonl"


def load(path: files.Path, options: TextOptions) -> Task:
  """Reads private texts; nothing of them is ever sent to the endpoint.

  Args:
    path: of lines of JSON.
    options: settings.

  Raises:
    UserError: the file is refused, the endpoint cannot be reached, or the
      embedding's model is missing.
  """
  texts, codes = text_file.read(path, options.labels)
  if options.sentence_model:
    embedding = sentence_embedding(options.sentence_model)
  else:
    embedding = hashed_ngrams()
  endpoint = Endpoint(options)
  # Before anything private is released.
  endpoints.reach(options.base_url)

  def write(folder: pathlib.Path, rendered: Any, labels: np.ndarray) -> Any:
    file = folder / FILE
    text_file.write(file, rendered, labels, options.labels)
    return file

  def summary() -> tuple[str, ...]:
    usage = endpoint.answers.usage
    return (
      f"{endpoint.answers.num_requests:,} requests, {usage.prompt:,} tokens of"
      f" prompts and {usage.completion:,} of answers,"
      f" {endpoint.paid:.4g} paid",
    )

  return Task(
    records=texts,
    labels=codes,
    classes=options.labels or ("",),
    api=TextApi(endpoint, options),
    embedding=embedding,
    write=write,
    summary=summary,
  )
