"""What the synthetic images of every model are worth: a JSON-ready record."""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from syndata_jax.data import Dataset
from syndata_jax.data.training_set import Private, TrainingSet
from syndata_jax.ensemble import Engine, Round, Workspace
from syndata_jax.images import classifier, fidelity
from syndata_jax.images.halves import halves
from syndata_jax.images.spaces import Space, trained
from syndata_jax.keys import host, model_keys, stream

# Images of each model that are compared with real ones at the most: 32 models
# of CIFAR-10 take a few minutes on two cores.
MOST_COMPARED = 2000
MOST_LEARNED = 5000  # images of each model that a classifier learns from
# Models whose members are judged, too: real images differ little among models.
_MEMBERS_OF = 4

_FIGURES = ("frechet_distance", *fidelity.Overlap._fields)


class MakesImages(Protocol):
  """What is read of a paradigm; see `paradigms.Paradigm`."""

  @property
  def queried(self) -> Engine:
    """Layout and precision are taken."""
    ...

  def pixels(self, training_set: TrainingSet, model: int) -> np.ndarray:
    """f32[S,H,W,C] of one model, about in [0, 1]."""
    ...


def quality(
  paradigm: MakesImages,
  training_set: TrainingSet,
  private: Private,
  dataset: Dataset,
  workspace: Workspace,
  spaces: Sequence[Space] = (),
) -> dict[str, Any]:
  """Fidelity in the space of features, and the accuracy of classifiers.

  The real images are the second half of the test images (`halves`), which no
  model and no space has seen: to copy private images earns no more than other
  good images. Members of the first models, as many as a model has synthetic
  images, are judged in the same way: what real images reach at this number.

  Args:
    paradigm: that made the images.
    training_set: of all models; it has entered.
    private: of all models.
    dataset: whose test images are read.
    workspace: trains the space and the classifiers, in the stages "features"
      and "classifier".
    spaces: others to compare images in.

  Returns:
    `spaces`, by name, each with `synthetic` and `members`, and these each with
    `frechet_distance`, `precision`, `recall`, `density` and `coverage`, None
    where there are too few images; `classifier` with `accuracy` and
    `last_accuracy` (fractions of the test images), `chosen_epoch`, and the
    numbers `num_epochs`, `images` and `held_out`; the numbers of images
    `images`, `held_out`, and `matched`, those of either kind behind precision
    and recall; `neighbours`. A figure is a dict of `mean`, `deviation` (the
    sample's, 0 of one model) and `models`, a list.
  """
  root, all_rows = _root(), _rows(training_set)
  size = min(training_set.size, MOST_COMPARED)
  real = halves(dataset).held_out.images
  # A person's test images may be sorted.
  order = host(stream(root, "held out")).permutation(len(real))
  real = real[order].astype(np.float32) / 255
  matched = min(size, private.members.shape[1], len(real))
  synthetic = lambda model: np.clip(
    paradigm.pixels(_part(training_set, model, all_rows[model][:size]), 0), 0, 1
  )

  def members(model: int) -> np.ndarray:
    rows = host(jax.random.fold_in(stream(root, "members"), model)).permutation(
      private.members[model]
    )
    return private.images[rows[:size]].astype(np.float32) / 255

  models = range(training_set.num_models)
  features = trained(dataset, workspace, paradigm.queried.layout)
  figures = {}
  for space in (features, *spaces):
    judge = _judge(space, real, matched)
    judged = []
    for model in models:
      start = time.perf_counter()
      judged.append(judge(synthetic(model)))
      seconds, left = time.perf_counter() - start, len(models) - model - 1
      workspace.on_round(
        Round(
          f"fidelity in {space.name}",
          model + 1,
          len(models),
          seconds,
          size,
          left * size,
          {},
        )
      )
    real_ones = [judge(members(model)) for model in models[:_MEMBERS_OF]]
    figures[space.name] = {
      "synthetic": _figures(judged),
      "members": _figures(real_ones),
    }
  return {
    "spaces": figures,
    "classifier": classified(paradigm, training_set, dataset, workspace),
    "images": size,
    "held_out": len(real),
    "matched": matched,
    "neighbours": fidelity.NEIGHBOURS,
  }


def _root() -> jax.Array:
  """The key of every draw: equal images are judged equally in any run."""
  return stream(jax.random.key(0), "quality")


def _rows(training_set: TrainingSet) -> list[np.ndarray]:
  """The examples of every model in an order without meaning, i[S] each."""
  keys = model_keys(_root(), training_set.num_models)
  return [host(each).permutation(training_set.size) for each in keys]


def _part(
  training_set: TrainingSet, model: int, rows: np.ndarray
) -> TrainingSet:
  """Some examples of one model, as the set of the only one."""
  images, labels = training_set.images, training_set.labels
  assert images is not None and labels is not None
  where: Any = (model, rows)
  if training_set.members is not None:
    where = training_set.members[model][rows]
  return TrainingSet(
    images[where][None],
    labels[where][None],
    None,
    jax.tree.map(lambda leaf: leaf[model][None], training_set.released),
  )


def _judge(
  space: Space, real: np.ndarray, matched: int
) -> Callable[[np.ndarray], dict[str, float | None]]:
  """Compares images f32[P,H,W,C] with the real ones.

  Args:
    space: to compare them in.
    real: f32[R,H,W,C] in [0, 1], in a random order.
    matched: images of either kind for precision and recall.
  """
  normal = around = None
  if len(real) > 1:
    target = space.embed(real)
    normal = fidelity.gaussian(target)
    if matched > fidelity.NEIGHBOURS:
      around = fidelity.manifold(target[:matched])

  def judge(pixels: np.ndarray) -> dict[str, float | None]:
    points = space.embed(pixels)
    result: dict[str, float | None] = dict.fromkeys(_FIGURES)
    if normal is not None and len(points) > 1:
      result["frechet_distance"] = fidelity.frechet_distance(
        fidelity.gaussian(points), normal
      )
    if around is not None:
      surroundings = fidelity.manifold(points[:matched])
      result |= fidelity.overlap(surroundings, around)._asdict()
    return result

  return judge


def _figures(models: Sequence[dict[str, float | None]]) -> dict[str, Any]:
  """Mean and spread of each figure over the models; None where it is none."""
  columns = {name: [one[name] for one in models] for name in _FIGURES}
  return {
    name: None if None in values else _over_models(values)
    for name, values in columns.items()
  }


def _over_models(values: Iterable[Any]) -> dict[str, Any]:
  numbers = [float(value) for value in values]
  spread = statistics.stdev(numbers) if len(numbers) > 1 else 0.0
  return {
    "mean": statistics.fmean(numbers),
    "deviation": spread,
    "models": numbers,
  }


def classified(
  paradigm: MakesImages,
  training_set: TrainingSet,
  dataset: Dataset,
  workspace: Workspace,
) -> dict[str, Any]:
  """Accuracy on the test images of what learned from synthetic ones alone.

  Args:
    paradigm: as in `quality`.
    training_set: as in `quality`.
    dataset: as in `quality`.
    workspace: trains the classifiers, in the stage "classifier".

  Returns:
    `classifier` of `quality`.
  """
  images, labels = [], []
  for model, rows in enumerate(_rows(training_set)):
    part = _part(training_set, model, rows[:MOST_LEARNED])
    pixels, targets = part.of_model(0)
    if pixels.dtype != np.uint8:
      pixels = (paradigm.pixels(part, 0) - dataset.mean) / dataset.std
      pixels = pixels.astype(np.float32)
    images.append(pixels)
    labels.append(targets)
  judged = classifier.judge(
    dataset,
    np.stack(images),
    np.stack(labels),
    workspace,
    paradigm.queried.layout,
    stream(_root(), classifier.STAGE),
    paradigm.queried.dtype,
  )
  return {
    "accuracy": _over_models(judged.accuracy),
    "last_accuracy": _over_models(judged.last),
    "chosen_epoch": _over_models(judged.epoch),
    "num_epochs": judged.num_epochs,
    "images": images[0].shape[0],
    "held_out": judged.held_out,
  }
