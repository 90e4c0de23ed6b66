"""The result of an audit as a value: numbers, text, a notebook's HTML."""

import dataclasses
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from syndata_jax import files
from syndata_jax.attack import PredictionFile, exposure
from syndata_jax.reporting import curves, figures
from syndata_jax.reporting.formats import counted
from syndata_jax.reporting.guarantee import Guarantee, is_broken
from syndata_jax.reporting.html import render_html
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
    training: what training cost and achieved: `test_accuracy` (a fraction per
      model), `hours` (of accelerator), `images_per_second` and so on; None for
      logits from elsewhere.
    guarantee: what the paradigm promises: `lines` in words, and `epsilon`, to
      be compared with the bound; None without a promise.
    canary_index: i64[Q], the rows of the training images that are canaries;
      None where they are not known.
  """

  attack: dict[str, Any]
  predictions: PredictionFile
  training: dict[str, Any] | None = None
  guarantee: Guarantee | None = None
  canary_index: np.ndarray | None = None

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
    return render_text(self.attack, self.training, self.guarantee)

  def per_canary(self) -> dict[str, np.ndarray]:
    """How exposed each canary is, the most exposed first.

        pandas.DataFrame(report.per_canary())

    Returns:
      Arrays of length Q by name:

      - `index`: row of the training images; absent where it is not known.
      - `row`: row of `predictions.canaries`.
      - `label`: that of training, the wrong one of a mislabelled canary.
      - `models_in`, `models_out`: models that trained on it, and the others.
      - `score_in`, `score_out`: their mean score before LiRA, which is by how
        much the logit of the label exceeds the largest other one, on the
        untouched image.
      - `recognised`: share of `models_in` in which the headline attack
        recognises it, at an FPR of 0.1% over all canaries and models.
      - `recognised_at_1_percent`: the same at an FPR of 1%.

      NaN where there is no such model, as for half of the canaries of a single
      model.
    """
    columns = exposure(self.predictions.canaries)._asdict()
    if self.canary_index is None:
      return columns
    return {"index": self.canary_index[columns["row"]], **columns}

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

  @property
  def _title(self) -> str:
    canaries = self.predictions.canaries
    title = "Logits from a file"
    if self.training:
      title = "{dataset}, {paradigm}, {model}".format_map(self.training)
    models = counted(canaries.membership.shape[1], "model")
    return f"{title}: {models}, {len(canaries.labels)} canaries"

  def __str__(self) -> str:
    return self.table()

  def __repr__(self) -> str:
    return f"<Report: {self.verdict}>"

  def _repr_html_(self) -> str:
    return render_html(
      self.attack, self.training, self.guarantee, self.per_canary()
    )
