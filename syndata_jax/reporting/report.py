"""The result of an audit as a value: numbers, text, a notebook's HTML."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from syndata_jax import files
from syndata_jax.attack import PredictionFile, exposure
from syndata_jax.errors import UserError
from syndata_jax.reporting import canary_sheet, curves, exposed, figures
from syndata_jax.reporting.exposed import Examples
from syndata_jax.reporting.formats import counted
from syndata_jax.reporting.guarantee import Guarantee, is_broken
from syndata_jax.reporting.html import render_html
from syndata_jax.reporting.pairs import Pairs, draw_pairs, pairs_sheet
from syndata_jax.reporting.table import render_text, verdict_sentence


# Compared by identity: equality of arrays is not one truth value.
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Report:
  """What an audit has found.

  `print(report)` shows the table; a notebook shows a summary in HTML.

  Attributes:
    attack: every figure, as `attack.json` holds them. For example
      `attack["canaries"]["attacks"][0]["tpr_at_fpr"]["0.001"]` is the leakage,
      a dict of the fractions `value`, `low` and `high` (a 95% interval), and
      `attack["epsilon_bound"]["epsilon"]` the lower bound on epsilon, in nats.
    predictions: what was attacked: `predictions.canaries` has `logits`
      f32[Q,M,A,K], `labels` i32[Q] and `membership` bool[Q,M].
    training: how the models were made, what that cost and achieved:
      `test_accuracy` (a fraction per model), `hours` (device-hours), `settings`
      and so on, see `render`; None for logits from elsewhere.
    guarantee: what the paradigm promises: `lines` in words, and `epsilon`, to
      be compared with the bound; None without a promise.
    canaries: what the owner of the data knows of them: `rows` i64[Q] of the
      training images, `label_true` and so on; None where they are not known.
    average: the same of the average case.
    given: `title`, `facts` and `notes` that came with logits from elsewhere.
    near_copies: shares of the released images that are close to private ones,
      as `near_copies.json` holds them; None where there are no images.
    pairs: the closest of them beside their private neighbours, by the space.
  """

  attack: dict[str, Any]
  predictions: PredictionFile
  training: dict[str, Any] | None = None
  guarantee: Guarantee | None = None
  canaries: Examples | None = None
  average: Examples | None = None
  given: Mapping[str, Any] | None = None
  near_copies: Mapping[str, Any] | None = None
  pairs: Mapping[str, Pairs] = dataclasses.field(default_factory=dict)

  @property
  def canary_index(self) -> np.ndarray | None:
    """i64[Q], the rows of the training images that are canaries, if known."""
    return None if self.canaries is None else self.canaries.rows

  @property
  def verdict(self) -> str:
    """The result in one or two sentences."""
    return verdict_sentence(self.attack, self.training)

  @property
  def guarantee_is_broken(self) -> bool:
    """Whether the attack refutes the epsilon that was promised."""
    white_box = self.attack.get("white_box_bound")
    return is_broken(self.attack["epsilon_bound"], self.guarantee, white_box)

  def table(self) -> str:
    """The whole report as plain text of 100 columns."""
    return render_text(
      self.attack,
      self.training,
      self.guarantee,
      self.given,
      self.near_copies,
    )

  def per_canary(self) -> dict[str, np.ndarray]:
    """How exposed each canary is, the most exposed first.

        pandas.DataFrame(report.per_canary())

    Returns:
      Arrays of length Q by name:

      - `index`: row of the training images; absent where it is not known.
      - `kind`: of canary; absent like `index`.
      - `label_true`: -1 where the picture is of no class, as noise is; absent
        where it is not known.
      - `row`: row of `predictions.canaries`.
      - `label`: that of training, the wrong one of a mislabelled canary.
      - `models_in`, `models_out`: models that trained on it, and the others.
      - `score_in`, `score_out`: their mean score before LiRA, which is by how
        much the logit of the label exceeds the largest other one, on the
        untouched image.
      - `recognised`: share of `models_in` in which the headline attack
        recognises it, at an FPR of 0.1% over all canaries and models.
      - `recognised_low`, `recognised_high`: its 95% interval.
      - `recognised_at_1_percent`: the same at an FPR of 1%.
      - `pixels_recognised`, `pixels_distance_in`, `pixels_distance_out`, and
        the same of `features`: share of `models_in` whose released images alone
        give it away at an FPR of 0.1%; its mean distance to the nearest image
        of those models, and of the others. Absent where there are no images.

      NaN where there is no such model, as for half of the canaries of a single
      model.
    """
    return dict(self._per_canary)

  def per_average(self) -> dict[str, np.ndarray]:
    """`per_canary` of the average case; empty where there is none."""
    if self.predictions.average is None:
      return {}
    return self._columns("average", self.average)

  @functools.cached_property
  def _per_canary(self) -> dict[str, np.ndarray]:
    return self._columns("canaries", self.canaries)

  def _columns(
    self, field: str, examples: Examples | None
  ) -> dict[str, np.ndarray]:
    """Those of one population.

    Args:
      field: of the predictions.
      examples: what is known of them.
    """
    predictions = getattr(self.predictions, field)
    columns = exposed.columns(exposure(predictions), examples)
    for space, closeness in self.predictions.closeness.items():
      values = getattr(closeness, field)
      if values is not None:
        columns |= exposed.through_images(
          space, values, predictions.membership, columns["row"]
        )
    return columns

  def roc(self, path: files.Path | None = None) -> Figure:
    """The ROC curves on logarithmic axes; a notebook shows them.

    Of a single model they have too few points to show low rates.

    Args:
      path: of a PNG to write as well.
    """
    shown = curves.roc_curves(self.predictions)
    if path is None:
      return figures.draw_roc(shown, self._title)
    return figures.roc_figure(path, shown, self._title)

  def losses(self, path: files.Path | None = None) -> Figure:
    """Histograms of the losses of members and non-members, untouched images.

    Args:
      path: of a PNG to write as well.
    """
    shown = curves.losses(self.predictions)
    if path is None:
      return figures.draw_losses(shown, self._title)
    return figures.loss_figure(path, shown, self._title)

  def canary_sheet(self, path: files.Path | None = None) -> Figure:
    """The most exposed canaries as pictures, with both labels: private.

    Args:
      path: of a PNG to write as well, which its owner alone may read.

    Raises:
      UserError: the pictures are not known, as with logits from elsewhere.
    """
    if self.canaries is None or self.canaries.images is None:
      raise UserError("no pictures of the canaries: only a run of its own has")
    images, table = self.canaries.images, self._per_canary
    if path is None:
      return canary_sheet.draw_canaries(images, table)
    return canary_sheet.canary_sheet(path, images, table)

  def closest_pairs(self, path: files.Path | None = None) -> Figure:
    """The released images closest to private ones, beside them: private.

    Args:
      path: of a PNG to write as well, which its owner alone may read.

    Raises:
      UserError: there are no such pairs, as with logits from elsewhere, or of a
        paradigm that releases no images.
    """
    if not self.pairs:
      raise UserError("no pairs of images: only a run that makes images has")
    if path is None:
      return draw_pairs(self.pairs)
    return pairs_sheet(path, self.pairs)

  @property
  def _title(self) -> str:
    canaries = self.predictions.canaries
    title = "Logits from a file"
    if self.training:
      title = "{dataset}, {paradigm}, {model}".format_map(self.training)
      method = self.training.get("settings", {}).get("method")
      if method:
        title = f"{title}, {method}"
    if self.given and self.given["title"]:
      title = self.given["title"]
    models = counted(canaries.membership.shape[1], "model")
    return f"{title}: {models}, {len(canaries.labels)} canaries"

  def __str__(self) -> str:
    return self.table()

  def __repr__(self) -> str:
    return f"<Report: {self.verdict}>"

  def _repr_html_(self) -> str:
    return render_html(
      self.attack,
      self.training,
      self.guarantee,
      self._per_canary,
      self.given,
      self.near_copies,
    )
