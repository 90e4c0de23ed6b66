"""Reviews, Private Evolution: texts with a guarantee, from a language model.

    syndata-evolve --config=texts/reviews --data_dir=reviews.jsonl --out=DIR \
      --config.base_url=http://localhost:8000/v1 --config.model=MODEL

Any endpoint that speaks OpenAI's chat-completions protocol writes and rewrites;
it never sees a private text. A line of the file is {"text": ..., "label": ...}.
What it may cost: `--config.prompt_price`, `--config.completion_price` (of a
million tokens) and `--config.money`. Answers that were paid for stay in
`--config.cache=FILE`. `--config.sentence_model=DIR` compares meanings, where
the default compares words. Not run against a real model.
"""

from syndata_jax.programs.evolving import defaults


def get_config():
  """1,000 texts, and three variations of each, ten times."""
  config = defaults("texts")
  config.labels = ("negative", "positive")
  config.random_prompt = (
    "Write a {label} customer review of about {words} words about {keyword}."
  )
  config.keywords = (
    "a restaurant",
    "a hotel",
    "a shop",
    "a doctor",
    "a garage",
  )
  config.epsilon = 4.0
  config.num_samples = 1000
  config.selection = "rank"
  config.variations = 3
  config.initial_variations = 3
  config.keep_selected = True
  config.degree_first = 0.6
  config.degree_last = 0.2
  config.api_seconds = 0.0  # the endpoint has a time limit of its own
  return config
