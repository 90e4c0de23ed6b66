"""From texts and an endpoint to the records, API and files of an evolution."""

import chat_server
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.errors import UserError
from syndata_jax.evolution import texts

pytest.importorskip("openai")


def _file(folder):
  private = np.array(["my secret", "another secret"], object)
  path = folder / "private.jsonl"
  texts.write(path, private, np.array([1, 0]), ("good", "bad"))
  return path


def _options(url, **more):
  return texts.TextOptions(
    url,
    "small",
    labels=("good", "bad"),
    random_prompt="a {label} one",
    backoff=0.001,
    **more,
  )


def test_a_task_has_all_that_an_evolution_needs(tmp_path):
  cache = tmp_path / "answers.jsonl"
  with chat_server.serving(lambda prompt, _: f"<{prompt}>") as server:
    options = _options(server.url, cache=str(cache), prompt_price=1e6)
    task = texts.load(_file(tmp_path), options)
    assert task.classes == ("good", "bad") and list(task.labels) == [1, 0]
    labels = jnp.array([0, 1], jnp.int32)
    samples = task.api.random(jax.random.key(0), labels)
    samples = task.api.variation(jax.random.key(1), samples, labels, 1.0)
    written = task.write(tmp_path, task.api.render(samples), labels)
  assert written == tmp_path / "texts.jsonl"
  again, codes = texts.read(written, ("good", "bad"))
  np.testing.assert_array_equal(again, samples)
  np.testing.assert_array_equal(codes, labels)
  assert task.embedding.embed(task.records).shape == (2, 1024)
  tokens = task.api.endpoint.answers.usage.prompt
  assert task.summary()[0].startswith(f"4 requests, {tokens} tokens of prompts")
  assert f"{float(tokens):.4g} paid" in task.summary()[0]
  # Nothing private went out, or to the cache.
  assert "secret" not in str(server.requests) + cache.read_text()


def test_an_endpoint_that_is_not_there_is_one_line(tmp_path):
  with chat_server.serving(lambda *_: "") as server:
    pass
  with pytest.raises(UserError, match="cannot be reached") as error:
    texts.load(_file(tmp_path), _options(server.url))
  assert str(error.value).startswith(f"base_url={server.url}: ")


@pytest.mark.slow  # PyTorch alone takes seconds to import
def test_a_local_sentence_model(tmp_path):
  """A tiny one, made here: nothing is downloaded."""
  pytest.importorskip("sentence_transformers")
  from sentence_transformers import SentenceTransformer
  from sentence_transformers.models import StaticEmbedding
  from tokenizers import Tokenizer, models, pre_tokenizers

  words = {"[UNK]": 0, "good": 1, "fine": 2, "bad": 3}
  tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
  tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
  weights = np.array([[0, 0], [1, 0], [0.9, 0.1], [0, 1]], np.float32)
  folder = tmp_path / "tiny"
  SentenceTransformer(
    modules=[StaticEmbedding(tokenizer, embedding_weights=weights)],
    device="cpu",
  ).save(str(folder))
  with chat_server.serving(lambda *_: "") as server:
    options = _options(server.url, sentence_model=str(folder))
    task = texts.load(_file(tmp_path), options)
  assert task.embedding.name == "tiny" and "tiny" in task.embedding.public
  rows = task.embedding.embed(np.array(["good", "fine", "bad"], object))
  np.testing.assert_allclose(rows, weights[1:], atol=1e-6)
