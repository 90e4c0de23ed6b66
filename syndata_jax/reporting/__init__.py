"""What a person sees of a run: tables, figures, progress."""

from syndata_jax.reporting.exposed import Examples, most_exposed, write_csv
from syndata_jax.reporting.figures import loss_figure, roc_figure
from syndata_jax.reporting.guarantee import Guarantee
from syndata_jax.reporting.pairs import Pairs
from syndata_jax.reporting.progress import stage_progress
from syndata_jax.reporting.report import Report
from syndata_jax.reporting.sheet import image_sheet
from syndata_jax.reporting.stages import Stage, render_stages
from syndata_jax.reporting.table import render, render_text

__all__ = [
  "Examples",
  "Guarantee",
  "Pairs",
  "Report",
  "Stage",
  "image_sheet",
  "loss_figure",
  "most_exposed",
  "render",
  "render_stages",
  "render_text",
  "roc_figure",
  "stage_progress",
  "write_csv",
]
