"""Prompts, random texts and variations, and their files."""

import json
import re
import sys

import chat_server
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax.errors import UserError
from syndata_jax.evolution import texts
from syndata_jax.evolution.texts import prompts

pytest.importorskip("openai")

KEY = jax.random.key(0)
LABELS = jnp.array([0, 1, 1], jnp.int32)
# What breaks tokenizers, templates and readers of lines.
WEIRD = (
  '<|endoftext|> {text} {{x}}\r\n\tsay "no"\u2028\x85 \U0001f984 e\u0301 \\n'
)


def _objects(*strings):
  array = np.empty(len(strings), object)
  array[:] = strings
  return array


def _api(server, **options):
  defaults = {
    "labels": ("good", "bad"),
    "random_prompt": "A {label} review of {words} words on {keyword}.",
    "keywords": ("food", "rooms"),
    "backoff": 0.001,
  }
  settings = texts.TextOptions(server.url, "small", **{**defaults, **options})
  return texts.TextApi(texts.Endpoint(settings), settings)


def test_random_prompts_are_filled_in():
  with chat_server.serving(lambda prompt, _: f"<{prompt}>") as server:
    samples = _api(server, words=40, words_std=8).random(
      KEY, jnp.repeat(LABELS, 20)
    )
  pattern = r"<A (good|bad) review of (\d+) words on (food|rooms)\.>"
  fields = [re.fullmatch(pattern, text).groups() for text in samples]
  assert [label for label, *_ in fields] == ["good"] * 20 + ["bad"] * 40
  words = np.array([int(each[1]) for each in fields])
  assert words.mean() == pytest.approx(40, abs=4)
  assert words.std() == pytest.approx(8, abs=3)
  assert {each[2] for each in fields} == {"food", "rooms"}
  tokens = [body["max_tokens"] for body in server.requests]
  assert max(tokens) == 5 * words.max()


def test_the_same_key_asks_the_same():
  with chat_server.serving(lambda prompt, count: f"{prompt}{count}") as server:
    api = _api(server)
    one, two = (api.random(KEY, LABELS) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert len(server.requests) == 3
    other = api.random(jax.random.key(1), LABELS)
    assert len(server.requests) == 6
  assert set(other) != set(one)


def test_an_empty_new_text_is_asked_for_anew_and_then_replaced():
  def answer(prompt, count):
    # All but one of the bad ones, ever.
    return "" if "bad" in prompt and "food" in prompt else prompt

  with chat_server.serving(answer) as server:
    labels = jnp.repeat(jnp.arange(2), 12)
    samples = _api(server).random(KEY, labels)
    assert all("bad" in text and "rooms" in text for text in samples[12:])
  with (
    chat_server.serving(lambda *_: "") as server,
    pytest.raises(UserError, match="answers nothing for the label 'good'"),
  ):
    _api(server).random(KEY, LABELS)


def test_rephrasing_shows_the_parent_whole():
  with chat_server.serving(lambda prompt, _: prompt) as server:
    api = _api(server, variation="rephrase", rephrase_prompt="{label}|{text}")
    parents = _objects(WEIRD, "two", "two")
    varied = api.variation(KEY, parents, LABELS, 0.0)
  np.testing.assert_array_equal(
    varied, _objects(f"good|{WEIRD}", "bad|two", "bad|two")
  )
  assert len(server.requests) == 3  # equal parents have variations of their own


def test_the_degree_is_the_probability_of_a_blank():
  parent = " ".join(f"word{row}" for row in range(400))
  with chat_server.serving(lambda prompt, _: prompt) as server:
    api = _api(server, blank_prompt="{text}")
    shares = []
    for degree in (0.25, 0.75, 1.0):
      varied = api.variation(KEY, _objects(parent), LABELS[:1], degree)
      shares.append(varied[0].split().count("_") / 400)
    assert shares == pytest.approx([0.25, 0.75, 1.0], abs=0.06)
    # Nothing to fill in, nothing to pay for.
    asked = len(server.requests)
    varied = api.variation(KEY, _objects(parent), LABELS[:1], 0.0)
    assert varied[0] == parent and len(server.requests) == asked


def test_blanks_keep_all_space():
  generator = np.random.default_rng(0)
  blanked = prompts.blanked(" a\n\n\tb  c\r\n", 1.0, generator)
  assert blanked == " _\n\n\t_  _\r\n"
  assert prompts.blanked("東京に行く", 1.0, generator) == "_____"
  assert prompts.blanked(WEIRD, 0.0, generator) == WEIRD


@pytest.mark.parametrize(
  "answer",
  ["", " \n", chat_server.Reply("x", refusal="no")],
)
def test_a_refused_variation_keeps_the_parent(answer):
  with chat_server.serving(lambda *_: answer) as server:
    parents = _objects(WEIRD, "one two", "three four")
    varied = _api(server).variation(KEY, parents, LABELS, 1.0)
  np.testing.assert_array_equal(varied, parents)


def test_half_a_surrogate_pair_is_replaced():
  body = chat_server.Body(
    json.dumps({"choices": [{"message": {"content": "a\ud800b"}}]}).encode()
  )
  with chat_server.serving(lambda *_: body) as server:
    samples = _api(server).random(KEY, LABELS)
  assert set(samples) == {"a?b"}


@pytest.mark.parametrize(
  "options, message",
  [
    ({"random_prompt": "{subject}"}, r"random_prompt: {subject}: must be one"),
    ({"blank_prompt": "fill in"}, "blank_prompt='fill in': must have {text}"),
    ({"keywords": ()}, "random_prompt names {keyword}"),
    ({"random_prompt": " "}, "random_prompt=''"),
    ({"labels": ("a", "a")}, "labels: 'a'"),
    ({"variation": "shuffle"}, "variation='shuffle'"),
  ],
)
def test_prompts_are_checked(options, message):
  fields = {"labels": ("a",), "keywords": ("k",)}
  fields["random_prompt"] = "{label} {keyword}"
  with pytest.raises(UserError, match=message):
    texts.TextOptions("http://x", "m", **{**fields, **options})


def test_texts_survive_their_file(tmp_path):
  strings = _objects(WEIRD, "", "\u2029\x1c\n", "a\ud800", "x\x00")
  codes = np.array([0, 1, 1, 0, 1], np.int32)
  texts.write(tmp_path / "texts.jsonl", strings, codes, ("good", "bad"))
  again, labels = texts.read(tmp_path / "texts.jsonl", ("good", "bad"))
  assert list(again) == list(strings)
  np.testing.assert_array_equal(labels, codes)
  fields = json.loads((tmp_path / "texts.jsonl").read_text().splitlines()[0])
  assert fields == {"text": WEIRD, "label": "good"}


@pytest.mark.parametrize(
  "line, message",
  [
    ("{", "line 2: no JSON"),
    ("[1]", 'line 2: must be an object with a "text"'),
    ('{"text": 3, "label": "good"}', "line 2: must be an object"),
    ('{"text": "x"}', "line 2: label None: must be one of 'good', 'bad'"),
    ('{"text": "x", "label": "meh"}', "line 2: label 'meh': must be one of"),
  ],
)
def test_a_line_that_is_no_text_is_named(tmp_path, line, message):
  path = tmp_path / "texts.jsonl"
  path.write_text(f'{{"text": "x", "label": "good"}}\n{line}\n')
  with pytest.raises(UserError, match=message) as error:
    texts.read(path, ("good", "bad"))
  assert str(error.value).startswith(f"{path}: ")


def test_hashed_ngrams_put_alike_texts_near():
  embedding = texts.hashed_ngrams()
  assert embedding.name == "hashed n-grams" and not embedding.traceable
  rows = embedding.embed(
    _objects(
      "the soup was cold and the waiter rude",
      "the soup was cold, the waiter was rude",
      "gradient descent converges in convex problems",
      WEIRD,
      "a\ud800",
      "",
    )
  )
  assert rows.shape == (6, 1024) and rows.dtype == np.float32
  np.testing.assert_allclose(
    np.linalg.norm(rows, axis=1), [1, 1, 1, 1, 1, 0], atol=1e-5
  )
  distances = np.linalg.norm(rows[:3] - rows[0], axis=1)
  assert distances[0] == 0 and distances[1] < 0.8 < 1.2 < distances[2]


def test_a_sentence_model_that_is_not_there_is_one_line(tmp_path, monkeypatch):
  with pytest.raises(UserError, match="no such folder"):
    texts.sentence_embedding(tmp_path / "none")
  monkeypatch.setitem(sys.modules, "sentence_transformers", None)
  with pytest.raises(UserError, match=r"pip install 'syndata_jax\[text\]'"):
    texts.sentence_embedding(tmp_path)
