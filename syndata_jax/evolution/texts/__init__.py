"""Private Evolution of texts, by any OpenAI-compatible endpoint."""

from syndata_jax.evolution.texts.api import TextApi
from syndata_jax.evolution.texts.embeddings import (
  hashed_ngrams,
  sentence_embedding,
)
from syndata_jax.evolution.texts.endpoint import Endpoint, Request
from syndata_jax.evolution.texts.options import EndpointOptions, TextOptions
from syndata_jax.evolution.texts.task import load
from syndata_jax.evolution.texts.text_file import read, write

__all__ = [
  "Endpoint",
  "EndpointOptions",
  "Request",
  "TextApi",
  "TextOptions",
  "hashed_ngrams",
  "load",
  "read",
  "sentence_embedding",
  "write",
]
