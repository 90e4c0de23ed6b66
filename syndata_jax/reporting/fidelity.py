"""What synthetic images are worth: lines of the report from `quality.json`."""

from collections.abc import Mapping
from typing import Any

from syndata_jax.reporting.facts import Facts
from syndata_jax.reporting.formats import counted, percent


def fidelity(quality: Mapping[str, Any] | None) -> Facts:
  """Distances to held-out real images, and what the images teach.

  Args:
    quality: the contents of `quality.json`: see `images.quality`; None where
      nothing was measured.
  """
  if quality is None:
    return {}
  lines = []
  for space, figures in quality["spaces"].items():
    lines += [
      *_distance(space, figures),
      *_overlap(space, figures, quality["neighbours"]),
    ]
  lines.append(_numbers(quality))
  return {
    "Fidelity": lines,
    "Classifier": _classifier(quality["classifier"]),
  }


def _distance(space: str, figures: Mapping[str, Any]) -> list[str]:
  figure = figures["synthetic"]["frechet_distance"]
  if figure is None:
    return []
  line = f"{space}: FID {figure['mean']:.4g}"
  if len(figure["models"]) > 1:
    line += f", standard deviation {figure['deviation']:.2g}"
  members = figures["members"]["frechet_distance"]
  if members is not None:
    line += f" (members {members['mean']:.4g})"
  return [line]


def _overlap(
  space: str, figures: Mapping[str, Any], neighbours: int
) -> list[str]:
  names = ("precision", "recall", "coverage")
  synthetic, members = figures["synthetic"], figures["members"]
  if any(synthetic[name] is None for name in names):
    return []
  shares = ", ".join(
    f"{name} {percent(synthetic[name]['mean'])}"
    + (
      f" ({percent(members[name]['mean'])})"
      if members[name] is not None
      else ""
    )
    for name in names
  )
  return [f"{space}: {shares}; {neighbours} neighbours"]


def _numbers(quality: Mapping[str, Any]) -> str:
  return (
    f"{counted(quality['images'], 'image')} of each model against"
    f" {counted(quality['held_out'], 'held-out test image')}"
  )


def _classifier(record: Mapping[str, Any]) -> list[str]:
  accuracy = record["accuracy"]
  line = f"test accuracy {accuracy['mean']:.2%}"
  if len(accuracy["models"]) > 1:
    line += f", standard deviation {accuracy['deviation']:.2%}"
  line += f", a small network on {counted(record['images'], 'image')} alone"
  if not record["held_out"]:
    return [f"{line}, last epoch"]
  chosen = f"epoch chosen on {record['held_out']:,} of them that were held out"
  return [line, f"{chosen}; last epoch {record['last_accuracy']['mean']:.2%}"]
