"""Where texts are compared."""

import pathlib

import numpy as np

from syndata_jax import files
from syndata_jax.errors import UserError
from syndata_jax.evolution.embedding import Embedding

_FEATURES = 512  # of words, and as many of characters
_BATCH = 64


def hashed_ngrams() -> Embedding:
  """Hashed counts of words and of characters: a formula that knows no meaning.

  Words and pairs of words, and three to five characters within a word, each
  hashed to 512 signed counts of length 1 (scikit-learn's HashingVectorizer). No
  model and no file are needed. Synonyms are as far apart as any two words: a
  `sentence_embedding` serves better wherever one is at hand.

  Returns:
    An embedding of D = 1024, rows of length 1; zeros for a text without words.
  """
  from sklearn.feature_extraction.text import HashingVectorizer

  vectorizers = [
    HashingVectorizer(
      n_features=_FEATURES,
      analyzer=analyzer,
      ngram_range=ngrams,
      token_pattern=r"(?u)\b\w+\b" if analyzer == "word" else None,
      dtype=np.float32,
    )
    for analyzer, ngrams in (("word", (1, 2)), ("char_wb", (3, 5)))
  ]

  def embed(texts: np.ndarray) -> np.ndarray:
    clean = _clean(texts)
    counts = [each.transform(clean).toarray() for each in vectorizers]
    return np.concatenate(counts, axis=1) / np.float32(np.sqrt(2))

  return Embedding("hashed n-grams", embed, traceable=False)


def sentence_embedding(path: files.Path) -> Embedding:
  """A model of the package sentence-transformers, from its folder.

  Args:
    path: as the package saves a model; nothing is downloaded.

  Raises:
    UserError: no package, no folder, or no model in it.
  """
  folder = pathlib.Path(path).expanduser()
  if not folder.is_dir():
    raise UserError(
      f"sentence_model={path}: no such folder; one with a model of"
      " sentence-transformers needed"
    )
  try:
    from sentence_transformers import SentenceTransformer
  except ImportError as error:
    raise UserError(
      f"sentence_model={path}: the package sentence-transformers is needed;"
      " pip install 'syndata_jax[text]'"
    ) from error
  try:
    model = SentenceTransformer(str(folder), local_files_only=True)
  except Exception as error:  # Damaged files raise nearly anything.
    lines = str(error).strip().splitlines() or [type(error).__name__]
    raise UserError(
      f"sentence_model={path}: no model of sentence-transformers ({lines[0]})"
    ) from error

  def embed(texts: np.ndarray) -> np.ndarray:
    rows = model.encode(
      _clean(texts),
      batch_size=_BATCH,
      convert_to_numpy=True,
      show_progress_bar=False,
    )
    return np.asarray(rows, np.float32)

  return Embedding(
    folder.name,
    embed,
    traceable=False,
    public=f"the sentence model {folder.name}, whatever it was trained on",
  )


def _clean(texts: np.ndarray) -> list[str]:
  """Texts that have an encoding: JSON may hold halves of surrogate pairs."""
  return [str(text).encode("utf-8", "replace").decode() for text in texts]
