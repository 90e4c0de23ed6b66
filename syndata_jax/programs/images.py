"""What the images give away that models learned from: the stage `closeness`.

The sets of all models are compared with the private images, one set after the
other, so that never more than one is held. No network of the paradigm is asked,
but for those in `Paradigm.others`, which serve as spaces of their own.
"""

import collections
import dataclasses
import pathlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from syndata_jax import files
from syndata_jax.attack import Closeness
from syndata_jax.data.training_set import TrainingSet
from syndata_jax.ensemble import Round, Workspace
from syndata_jax.ensemble.predict import one_by_one, querier
from syndata_jax.ensemble.stages import OnRound
from syndata_jax.errors import UserError
from syndata_jax.images import PIXELS, Space, halves, near_copies, trained
from syndata_jax.images.closeness import closeness, closeness_of_label
from syndata_jax.images.near_copies import Members, Nearness
from syndata_jax.paradigms import Queried
from syndata_jax.programs.plan import Plan
from syndata_jax.reporting import Pairs

STAGE = "closeness"
# After the name of a space where only images of an example's label count.
OF_LABEL = "_of_label"
_RECORD, _PAIRS = "near_copies.json", "near_copies.npz"
_EVERY = 10  # epochs of the feature network between two checkpoints, at least
# Pairs of a space that are shown.
_MOST = 20


class Trial(NamedTuple):
  """A part of the sets, to see what all of them will take."""

  models: int
  images: int  # of each


class Compared(NamedTuple):
  """What the sets of all models show."""

  closeness: dict[str, Closeness]  # by the space
  record: dict[str, Any]  # of `near_copies.json`
  pairs: dict[str, Pairs]  # the closest, by the space: private


class _Audited(NamedTuple):
  """Audited images u8[P,H,W,C], and where each population of them is."""

  images: np.ndarray
  labels: np.ndarray  # i32[P], those of training
  parts: dict[str, slice]  # by the field of `Closeness`

  def split(self, values: np.ndarray) -> Closeness:
    """[P,M] by the population."""
    return Closeness(
      **{name: values[part] for name, part in self.parts.items()}
    )


def spaces(plan: Plan, workspace: Workspace) -> tuple[Space, ...]:
  """Those in which images are compared.

  Args:
    plan: the audit.
    workspace: trains the network of the features, once a run.
  """
  layout = plan.paradigm.queried.layout
  # Its epochs take less time than a checkpoint of them.
  every = max(workspace.every, _EVERY)
  workspace = dataclasses.replace(workspace, every=every)
  return PIXELS, trained(plan.dataset, workspace, layout)


def compare(
  plan: Plan,
  training_set: TrainingSet,
  spaces: tuple[Space, ...],
  others: Mapping[str, Queried],
  on_round: OnRound = lambda done: None,
  trial: Trial | None = None,
) -> Compared:
  """Compares each model's images with the private ones.

  Args:
    plan: the audit.
    training_set: with images that are not the private data as they are.
    spaces: to take distances in.
    others: networks of each model, by name: the space of its own logits.
    on_round: is told of every model.
    trial: to compare only so many; None for all.
  """
  audited = _audited(plan)
  networks = {
    name: _Network(other, audited.images) for name, other in others.items()
  }
  measured = {space.name: _Measured(plan, space, audited) for space in spaces}
  columns: dict[str, list[np.ndarray]] = collections.defaultdict(list)
  count, most = trial or (training_set.num_models, training_set.size)
  for model in range(count):
    start = time.perf_counter()
    pixels = plan.paradigm.pixels(training_set, model)[:most]
    # What can be shown and kept; and towards any real image, never away.
    pixels = np.clip(pixels, 0, 1).astype(np.float32)
    labels = training_set.of_model(model)[1][:most]
    labels = labels.argmax(-1) if labels.ndim > 1 else labels
    for name, space in measured.items():
      of_any, of_label = space.add(model, pixels, labels)
      columns[name].append(of_any)
      columns[name + OF_LABEL].append(of_label)
    for name, network in networks.items():
      columns[name].append(network.closeness(model, pixels))
    seconds, size = time.perf_counter() - start, len(pixels)
    left = (count - model - 1) * size
    on_round(Round(STAGE, model + 1, count, seconds, size, left, {}))
  return Compared(
    {
      name: audited.split(np.stack(of_models, axis=1))
      for name, of_models in columns.items()
    },
    {
      "images": training_set.size,
      "models": count,
      "heldout": len(_heldout(plan)),
      "expected": near_copies.expected(len(_heldout(plan))),
      "audited": len(_members(plan, 0).owned),
      "spaces": {name: each.record() for name, each in measured.items()},
    },
    {name: each.pairs for name, each in measured.items()},
  )


def keep(workdir: pathlib.Path, compared: Compared) -> None:
  """Writes what is no closeness: that is kept with the predictions."""
  with files.write_stream(workdir / _PAIRS, files.PRIVATE) as stream:
    np.savez_compressed(
      stream,
      **{
        f"{space}.{field}": array
        for space, pairs in compared.pairs.items()
        for field, array in pairs._asdict().items()
      },
    )
  files.write_json(workdir / _RECORD, compared.record)


def read(
  workdir: pathlib.Path,
) -> tuple[dict[str, Any] | None, dict[str, Pairs]]:
  """The record and the pairs; None and none where there are no images.

  Raises:
    UserError: a file is damaged, or lacks an array.
  """
  if not (workdir / _RECORD).exists():
    return None, {}
  record = files.read_json(workdir / _RECORD)
  if not (workdir / _PAIRS).exists():  # its owner may have taken it away
    return record, {}
  arrays = files.read_arrays(workdir / _PAIRS)
  pairs = {}
  for space in record["spaces"]:
    fields = {name: f"{space}.{name}" for name in Pairs._fields}
    missing = fields.values() - arrays.keys()
    if missing:
      raise UserError(
        f"{workdir / _PAIRS}: {min(missing)} is missing; delete it"
      )
    pairs[space] = Pairs(**{n: arrays[each] for n, each in fields.items()})
  return record, pairs


class _Network:
  """The logits of another network of each model as a space of its own."""

  def __init__(self, networks: Queried, audited: np.ndarray) -> None:
    """Asks all models about the audited images u8[P,H,W,C]."""
    self._networks = networks
    self._ask = one_by_one(networks.engine)
    self._logits = querier(*networks)(audited)

  def closeness(self, model: int, pixels: np.ndarray) -> np.ndarray:
    """f32[P], of the audited images to the model's own f32[S,H,W,C]."""
    engine = self._networks.engine
    mean, std = (
      np.array(each, np.float32) for each in (engine.mean, engine.std)
    )
    read = (pixels - mean) / std
    logits = self._ask(self._networks.variables, model, read)
    return closeness(self._logits[model], logits)


class _Measured:
  """One space: what it holds of private images, and what it saw so far."""

  def __init__(self, plan: Plan, space: Space, audited: _Audited) -> None:
    self._plan, self._space = plan, space
    self._audited = self._embed(audited.images)
    self._labels = audited.labels
    self._pool = self._embed(plan.private.images)
    heldout, members = self._embed(_heldout(plan)), plan.private.members
    self._thresholds = [
      near_copies.threshold(distances)
      for distances in near_copies.heldout_distances(
        heldout, self._pool, members
      )
    ]
    # The members of one model stand for those of all.
    ratio = near_copies.stands_out(heldout, self._pool[members[0]])
    self._stands_out = float((ratio < 1).mean()) if len(ratio) else 0.0
    self._shares: list[dict[str, float]] = []
    self.pairs = _no_pairs(plan.private.images)

  def add(
    self, model: int, pixels: np.ndarray, labels: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Measures the images of a model.

    Args:
      model: which.
      pixels: f32[S,H,W,C].
      labels: i32[S].

    Returns:
      Closeness f32[P] of the audited images: to any image, and to those of
      their label.
    """
    images = self._space.embed(pixels)
    members, threshold = _members(self._plan, model), self._thresholds[model]
    nearness = near_copies.nearness(images, self._pool, members)
    self._shares.append(near_copies.shares(nearness, threshold))
    pairs = self._of_model(model, pixels, nearness)
    self.pairs = _closest(
      Pairs(*map(np.concatenate, zip(self.pairs, pairs, strict=True)))
    )
    return closeness(self._audited, images), closeness_of_label(
      self._audited, self._labels, images, labels
    )

  def record(self) -> dict[str, Any]:
    """The figures over models."""
    return {
      "threshold": float(np.mean(self._thresholds)),
      "heldout_stands_out": self._stands_out,
    } | near_copies.over_models(self._shares)

  def _embed(self, images: np.ndarray) -> np.ndarray:
    return self._space.embed(images.astype(np.float32) / 255)

  def _of_model(
    self, model: int, pixels: np.ndarray, nearness: Nearness
  ) -> Pairs:
    """The closest pairs of one model; the arguments are those of `add`."""
    order = np.argsort(nearness.distance, kind="stable")
    # As many that the closest of different private images are among them.
    _, first = np.unique(nearness.row[order], return_index=True)
    chosen = order[np.sort(first)[:_MOST]]
    rows = nearness.row[chosen]
    return Pairs(
      np.rint(255 * pixels[chosen]).astype(np.uint8),
      self._plan.private.images[rows],
      nearness.distance[chosen],
      np.full(len(rows), np.mean(self._thresholds), np.float32),
      np.full(len(rows), model, np.int32),
      rows,
    )


def _no_pairs(images: np.ndarray) -> Pairs:
  """No pair of images [N,H,W,C]."""
  none = np.zeros(0, np.float32)
  counts = none.astype(np.int32)
  return Pairs(images[:0], images[:0], none, none, counts, counts)


def _closest(pairs: Pairs) -> Pairs:
  """The closest of them, each private image once."""
  order = np.argsort(pairs.distance, kind="stable")
  _, first = np.unique(pairs.row[order], return_index=True)
  chosen = order[np.sort(first)[:_MOST]]
  return Pairs(*(array[chosen] for array in pairs))


def _audited(plan: Plan) -> _Audited:
  pool, split = plan.private.images, plan.split
  canaries, average = split.canary_index, split.average_index
  images = {"canaries": pool[canaries]}
  labels = [split.labels[canaries]]
  if len(average):
    images["average"] = pool[average]
    labels.append(split.labels[average])
  if len(plan.dummies):
    images["dummies"] = plan.dummies
    labels.append(split.dummy_labels)
  parts, start = {}, 0
  for name, each in images.items():
    parts[name] = slice(start, start + len(each))
    start += len(each)
  return _Audited(
    np.concatenate(list(images.values())), np.concatenate(labels), parts
  )


def _heldout(plan: Plan) -> np.ndarray:
  """Test images u8[P,H,W,C] that no network of a space was trained on."""
  return halves(plan.dataset).held_out.images


def _members(plan: Plan, model: int) -> Members:
  split = plan.split
  return near_copies.equal_numbers(
    plan.private.members[model],
    (split.canary_index, split.membership[:, model]),
    (split.average_index, split.average_membership[:, model]),
  )
