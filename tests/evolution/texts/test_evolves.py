"""Private Evolution of texts, against a server of random words."""

import math
import random

import chat_server
import jax
import numpy as np
import pytest
from chat_server import Status

from syndata_jax.errors import UserError
from syndata_jax.evolution import texts
from syndata_jax.evolution.evolve import evolve
from syndata_jax.evolution.options import EvolutionOptions
from syndata_jax.privacy import Ledger

pytest.importorskip("openai")

FOOD = ("soup", "bread", "waiter", "menu", "lunch")
TRAINS = ("platform", "ticket", "delay", "driver", "station")
WORDS = (*FOOD, *TRAINS, *(f"other{row}" for row in range(10)))
OPTIONS = {
  "num_iterations": 5,
  "num_samples": 16,
  "selection": "rank",
  "variations": 3,
  "initial_variations": 3,
  "keep_selected": True,
  "degree_first": 0.6,
  "degree_last": 0.2,
  "api_seconds": 0.0,
}


def _model(prompt, count):
  """Five random words, or random words in the blanks."""
  draw = random.Random(f"{prompt}{count}")
  task, _, text = prompt.partition("|")
  if task == "new":
    return " ".join(draw.choices(WORDS, k=5))
  return " ".join(
    draw.choice(WORDS) if word == "_" else word for word in text.split(" ")
  )


def _task(folder, server, **more):
  draw = np.random.default_rng(0)
  private = np.empty(200, object)
  private[:] = [
    " ".join(draw.choice(TRAINS if row % 2 else FOOD, 5)) for row in range(200)
  ]
  texts.write(folder / "p.jsonl", private, np.arange(200) % 2, ("food", "rail"))
  options = texts.TextOptions(
    server.url,
    "words",
    labels=("food", "rail"),
    random_prompt="new|{label}",
    blank_prompt="fill|{text}",
    cache=str(folder / "answers.jsonl"),
    backoff=0.001,
    retries=1,
    **more,
  )
  return texts.load(folder / "p.jsonl", options)


def _evolve(task, folder=None):
  return evolve(
    task.records,
    task.labels,
    task.embedding,
    task.api,
    Ledger(1e-3),
    jax.random.key(0),
    EvolutionOptions(epsilon=math.inf, **OPTIONS),
    task.num_classes,
    folder,
  )


def _shares(sample, labels):
  """Of words that are those of the label."""
  wanted = [FOOD, TRAINS]
  return np.mean(
    [
      np.mean([word in wanted[label] for word in text.split()])
      for text, label in zip(sample, labels, strict=True)
    ]
  )


def test_texts_get_nearer_and_a_run_that_stopped_goes_on(tmp_path):
  stopped = Status(401)
  requests = []

  def answer(prompt, count):
    requests.append(prompt)
    # In the third iteration.
    return stopped if len(requests) == 160 else _model(prompt, 1)

  state = tmp_path / "state"
  with chat_server.serving(answer) as server:
    with pytest.raises(UserError, match="status 401"):
      _evolve(_task(tmp_path, server), state)
    task = _task(tmp_path, server)
    evolved = _evolve(task, state)
    assert len(evolved.history) == 5
    # No prompt that was answered was asked again, but for the one new text
    # that tells the shape of samples.
    paid = task.api.endpoint.answers.num_requests
    assert len(requests) <= paid + task.api.options.concurrency
    again = _evolve(task, state)
  np.testing.assert_array_equal(again.rendered, evolved.rendered)
  # Of new texts it is 5 of 20 words.
  assert _shares(evolved.rendered, evolved.labels) > 0.5
  file = task.write(tmp_path, evolved.rendered, evolved.labels)
  written, labels = texts.read(file, task.classes)
  np.testing.assert_array_equal(written, evolved.rendered)
  np.testing.assert_array_equal(labels, evolved.labels)


@pytest.mark.slow
def test_money_stops_a_run_and_what_was_paid_for_is_kept(tmp_path):
  with chat_server.serving(lambda prompt, _: _model(prompt, 1)) as server:
    # The bound of a request is 512 tokens of answer, and the start needs 16.
    poor = _task(tmp_path, server, completion_price=1000.0, money=1.0)
    with pytest.raises(UserError, match="money=1: "):
      _evolve(poor, tmp_path / "state")
    assert 0 < poor.api.endpoint.paid <= 1.0
    asked = len(server.requests)
    rich = _task(tmp_path, server, completion_price=1000.0, money=1000.0)
    assert rich.api.endpoint.answers.num_requests == asked
    _evolve(rich, tmp_path / "state")

    assert len(server.requests) == rich.api.endpoint.answers.num_requests
