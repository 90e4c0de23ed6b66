"""Settings of texts: the endpoint, its prices, prompts and the embedding."""

import dataclasses
import math

from syndata_jax import validate
from syndata_jax.errors import UserError
from syndata_jax.evolution.texts import prompts

LIMITS = ("max_tokens", "max_completion_tokens")
VARIATIONS = ("fill_in_blanks", "rephrase")


@dataclasses.dataclass(frozen=True)
class EndpointOptions:
  """An endpoint that speaks OpenAI's chat-completions protocol.

  Attributes:
    base_url: such as http://localhost:8000/v1.
    model: as the endpoint calls it.
    key_variable: of the environment, with the key that the endpoint asks for;
      one that asks for none needs none.
    temperature: of sampling; None to leave it to the model.
    max_tokens: of an answer at most.
    token_limit: what the endpoint calls this limit; models that reason before
      they answer know "max_completion_tokens" alone.
    concurrency: requests under way at once.
    timeout: for one answer, in seconds.
    retries: of a request that failed, each after a longer pause.
    backoff: the first pause, in seconds; doubled each time, up to a minute.
    failures_allowed: share of a batch's requests that may fail for good; what
      fails counts as an empty answer.
    prompt_price: of a million tokens of prompts,
    completion_price: and of answers, in any currency.
    money: what may be spent in all, earlier starts with one cache included.
    cache: file of answers that were paid for, read by the next start; "" to
      keep them in memory.

  Raises:
    UserError: a value out of range, or money without a price.
  """

  base_url: str = "https://api.openai.com/v1"
  model: str = ""
  key_variable: str = "OPENAI_API_KEY"
  temperature: float | None = 1.0
  max_tokens: int = 512
  token_limit: str = "max_tokens"
  concurrency: int = 8
  timeout: float = 60.0
  retries: int = 5
  backoff: float = 1.0
  failures_allowed: float = 0.05
  prompt_price: float = 0.0
  completion_price: float = 0.0
  money: float = math.inf
  cache: str = ""

  def __post_init__(self) -> None:
    if not self.base_url.startswith(("http://", "https://")):
      raise UserError(
        f"base_url={self.base_url!r}: must begin with http:// or https://"
      )
    if not self.model:
      raise UserError("model='': must be the name of a model of the endpoint")
    if self.temperature is not None:
      validate.not_negative(temperature=self.temperature)
    validate.whole(1, max_tokens=self.max_tokens, concurrency=self.concurrency)
    validate.whole(0, retries=self.retries)
    validate.one_of(LIMITS, token_limit=self.token_limit)
    validate.positive(timeout=self.timeout)
    validate.not_negative(
      backoff=self.backoff,
      prompt_price=self.prompt_price,
      completion_price=self.completion_price,
    )
    validate.within(0, 1, "[)", failures_allowed=self.failures_allowed)
    if self.money == math.inf:
      return
    validate.not_negative(money=self.money)
    if not self.prompt_price and not self.completion_price:
      raise UserError(
        f"money={self.money:g}: needs prompt_price or completion_price above 0"
      )


@dataclasses.dataclass(frozen=True)
class TextOptions(EndpointOptions):
  """All settings of texts, flat.

  In a prompt, words in braces are filled in: `{label}` and `{words}`, how many
  to write; in `random_prompt` also `{keyword}`, in the others `{text}`, the
  parent.

  Attributes:
    labels: the K labels, declared; () for texts without labels.
    random_prompt: asks for a new text.
    variation: "fill_in_blanks" leaves out each word of the parent with the
      degree as probability; "rephrase" shows it whole, whatever the degree.
    blank_prompt: asks to fill in blanks.
    rephrase_prompt: asks for another wording.
    keywords: of which one is drawn for each new text, so that they differ.
    words: of a new text, mean.
    words_std: standard deviation of the number of words asked for, about
      `words` or about those of the parent.
    min_words: asked for at least.
    tokens_per_word: an answer may have as many times the words asked for, and
      at most `max_tokens`.
    sentence_model: folder of a sentence-transformers model that embeds; "" for
      hashed n-grams, which know words and no meaning.

  Raises:
    UserError: a value out of range, or a prompt without what it needs.
  """

  labels: tuple[str, ...] = ()
  random_prompt: str = ""
  variation: str = "fill_in_blanks"
  blank_prompt: str = prompts.BLANK
  rephrase_prompt: str = prompts.REPHRASE
  keywords: tuple[str, ...] = ()
  words: float = 50.0
  words_std: float = 10.0
  min_words: int = 5
  tokens_per_word: float = 5.0
  sentence_model: str = ""

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in ("labels", "keywords"):  # JSON and configs have lists
      object.__setattr__(self, name, tuple(getattr(self, name)))
    validate.one_of(VARIATIONS, variation=self.variation)
    validate.not_negative(words_std=self.words_std)
    validate.positive(words=self.words, tokens_per_word=self.tokens_per_word)
    validate.whole(1, min_words=self.min_words)
    for label in self.labels:
      if not isinstance(label, str) or self.labels.count(label) > 1:
        raise UserError(f"labels: {label!r}: must be a text of its own")
    if not self.random_prompt.strip():
      raise UserError("random_prompt='': must say what to write")
    prompts.check("random_prompt", self.random_prompt, prompts.OF_RANDOM)
    for name in ("blank_prompt", "rephrase_prompt"):
      prompts.check(name, getattr(self, name), prompts.OF_VARIATION, "text")
    if "{keyword}" in self.random_prompt and not self.keywords:
      raise UserError(
        "keywords=(): must have one, random_prompt names {keyword}"
      )
    if "{label}" in self.random_prompt and not self.labels:
      raise UserError("labels=(): must have one, random_prompt names {label}")
