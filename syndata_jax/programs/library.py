"""The audits as functions on arrays, for notebooks and other programs."""

# So that `help` shows the names of types, not what NumPy's are made of.
from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from numpy.typing import ArrayLike
from rich.console import Console

from syndata_jax import attack, data, files, validate
from syndata_jax.data import Dataset
from syndata_jax.data.dataset import Arrays, canonical
from syndata_jax.errors import UserError
from syndata_jax.programs import judge, quality, shadows
from syndata_jax.programs.plan import plan_for
from syndata_jax.programs.settings import Settings, from_config
from syndata_jax.reporting import Report

# Images and labels.
Pair = tuple[ArrayLike, ArrayLike]
# Logits (or what stands for them), labels and membership.
Triple = tuple[ArrayLike, ArrayLike | None, ArrayLike]

# The program's word for a user's own arrays.
_DATASET = "npz"


def audit(
  train: Pair,
  test: Pair,
  *,
  paradigm: str = Settings.paradigm,
  model: str = Settings.model,
  num_classes: int | None = None,
  mean: float | Sequence[float] | None = None,
  std: float | Sequence[float] | None = None,
  flip: bool = False,
  workdir: files.Path | None = None,
  data_dir: files.Path | None = None,
  **settings: Any,
) -> Report:
  """Audits a way to train on your own images, as `syndata-audit` does.

  Plants canaries (mislabelled images) in the training images, trains shadow
  models on them, each canary inside half of the models, and attacks every
  model with LiRA.

      import syndata_jax
      from sklearn.datasets import load_digits

      digits = load_digits()
      images = (digits.images * 15).astype("uint8")  # u8[1797,8,8]
      train = images[:1437], digits.target[:1437]
      test = images[1437:], digits.target[1437:]
      report = syndata_jax.audit(
        train, test,
        model="convnet", model_options={"width": 32},
        num_models=32, num_canaries=72, num_epochs=30, batch_size=32,
        schedule="cosine", augment=False,
      )
      print(report.verdict)
      print(report)  # all figures; in a notebook, `report` alone
      report.per_canary()["index"][:5]  # the most exposed training images
      report.roc("roc.png")

  takes a minute on two cores. A coreset instead: `paradigm="coreset",
  method="forgetting", fraction=0.4`. DP-SGD instead: `paradigm="dpsgd",
  epsilon=8.0, delta=1e-5`, and a larger batch and learning rate. The package's
  `configs/` hold settings that work, with their results.

  Progress goes to the notebook or to standard error. A guarantee that the
  attack refutes raises nothing here: see `report.guarantee_is_broken`, and
  `report.guarantee` for what was promised.

  For speed on a CPU, give JAX a device for each core, which trains different
  models, and keep compiled programs between runs. Programs of this package do
  both; a library must not, so do it before JAX is imported:

      import os
      os.environ["JAX_NUM_CPU_DEVICES"] = str(os.cpu_count())
      cache = os.path.expanduser("~/.cache/syndata_jax/compilations")
      os.environ["JAX_COMPILATION_CACHE_DIR"] = cache

  Results are those of the program to the bit, with as many devices.

  Args:
    train: the private images, uint8[N,H,W,C] with C 1 (grey) or 3 (RGB), or
      uint8[N,H,W] in grey, and their labels, integer[N] or [N,1], from 0.
    test: test images of the same shape, and their labels: for utility.
    paradigm: "undefended", "coreset", "distillation", "data_free",
      "diffusion", "dpsgd", "private_evolution", or a module of your own.
    model: "convnet", "resnet18", "wide_resnet", or a module of your own;
      `model_options`, a dict, sets width and so on.
    num_classes: K; None for the largest label + 1.
    mean: subtracted from pixels scaled to [0, 1]: one number in [0, 1], or one
      per channel. None for one half. A published constant does; the mean of the
      private images would be a leak that no audit sees.
    std: what they are divided by then, in (0, 1]. None for one half.
    flip: whether a mirrored image is still one of its class; with
      `augment=True`, the default, images are then flipped at random.
    workdir: the folder of the run, for the files that `syndata-audit` leaves
      there; an audit that was interrupted goes on in it. None for a temporary
      one that is removed.
    data_dir: where the files of `canary_source` are, if it needs any.
    **settings: every other field of a config, checked alike. Defaults, in
      brackets, are the paper's recipe for CIFAR-10: give at least the sizes.

      - `num_models` (32): shadow models; even, at least 6. The attack loses
        power below 16.
      - `num_canaries` (500): even; best below 5% of N.
      - `num_average` (0): ordinary examples, audited beside the canaries.
      - `canary_kind` ("mislabelled"): or "clean", "blank",
        "out_of_distribution".
      - `audit` ("shadow_models"): or "one_run", with a single model.
      - `num_epochs` (200): passes over a model's own data.
      - `batch_size` (256): examples of one model in a step.
      - `learning_rate` (0.1): its peak.
      - `schedule` ("step"): or "cosine", "constant".
      - `augment` (True): random shifts of up to H // 8 pixels, and flips.
      - `num_train` (0): training images to draw; 0 for all.
      - `seed` (0): of every draw.

      `help(syndata_jax.programs.settings)` lists the others, and what the dict
      `performance` may hold. A paradigm's own settings are listed by
      `help(syndata_jax.paradigms.options_type("dpsgd"))`: `epsilon` or
      `noise_multiplier`, `delta`, `clip_norm` of "dpsgd"; `api`, `epsilon`,
      `num_samples` of "private_evolution"; `method`, and `fraction` or
      `images_per_class` of "coreset"; and so on.

  Returns:
    The report; `help(syndata_jax.Report)` says what it holds.

  Raises:
    syndata_jax.errors.UserError: a ValueError of one line: an array, a setting
      or a workdir that is not right. An unknown setting lists the known ones.
  """
  given = {name: _plain(value) for name, value in settings.items()}
  fields = {"dataset": _DATASET} | given
  config = ConfigDict(fields | {"paradigm": paradigm, "model": model})
  chosen = from_config(config, given.keys())
  facts = {"num_classes": num_classes, "mean": mean, "std": std, "flip": flip}
  dataset = _dataset(chosen.dataset, train, test, facts)
  plan = plan_for(chosen, dataset, None if data_dir is None else str(data_dir))
  with _folder(workdir) as folder:
    console = Console(stderr=True)
    run = shadows.train_and_query(plan, folder, console)
    quality.measure(plan, run, console)
    report = judge.make_report(run)
    if workdir is not None:
      judge.write_report(run, report)
  # The split counts in the images that `num_train` drew.
  available = len(dataset.train_labels)
  rows = data.subset_rows(available, chosen.num_train, chosen.seed)
  canaries, average = (
    part and part._replace(rows=rows[part.rows])
    for part in (report.canaries, report.average)
  )
  pairs = {
    space: each._replace(row=rows[each.row])
    for space, each in report.pairs.items()
  }
  return dataclasses.replace(
    report, canaries=canaries, average=average, pairs=pairs
  )


def attack_logits(
  logits: ArrayLike,
  labels: ArrayLike | None,
  membership: ArrayLike,
  *,
  average: Triple | None = None,
  dummies: Triple | None = None,
  holds: str = "logits",
  target: int | None = None,
  delta: float | None = None,
) -> Report:
  """Attacks logits from anywhere: PyTorch, scikit-learn, another machine.

  Train M models, each audited example inside half of them, drawn at random;
  ask all models about all audited examples; then

      import numpy as np
      import syndata_jax

      rng = np.random.default_rng(0)
      half = np.tile(np.arange(16) < 8, (200, 1))
      membership = rng.permuted(half, axis=1)  # bool[200,16]: draw it first
      labels = rng.integers(0, 10, 200)
      logits = rng.normal(size=(200, 16, 10))  # of your models, in its place
      report = syndata_jax.attack_logits(logits, labels, membership)
      print(report.verdict)

  Q examples, M models, A views, K classes. Anything that NumPy reads as an
  array will do. What is recognised as other than logits, such as probabilities,
  is said in a warning.

  Args:
    logits: float[Q,M,K], or float[Q,M,A,K] for several views of each image
      (shifted, mirrored), the untouched one first. Finite. Log-probabilities
      do as well, and probabilities: rows that sum to 1. [Q,M,1] or [Q,M] is one
      output for the labels 0 and 1.
    labels: integer[Q] in 0..K-1, those of training: for a mislabelled canary
      the wrong one. None where losses, confidences or scores are given.
    membership: bool[Q,M], or 0 and 1: whether model m trained on example q. At
      least 2 members and 2 non-members in each row, and better 8 of each. With
      a single model, M = 1, it must have been drawn by fair coins, and is
      judged by `one_run`.
    average: ordinary examples, audited beside the canaries: their logits,
      labels and membership, of the same models and classes.
    dummies: the null, in the same way: made as canaries are, and dealt to
      models by the same draw, but no model trained on one.
    holds: what `logits` is: "logits", "probabilities", or, as float[Q,M] or
      [Q,M,A], "losses" (cross-entropy, in nats), "confidences" (the probability
      of the label) or "scores" (high for a member).
    target: the one model to judge, where the others are references. It needs
      members and non-members; of each example, two references or more must be
      non-members, and none need be a member.
    delta: of the lower bound on epsilon, in (0, 1): that of the claim, where
      you have one; None for 1e-5.

  Returns:
    The report, without what training cost and achieved, and without the rows
    of the canaries in your training set;
    `help(syndata_jax.Report)` says what it holds. `per_canary()["row"]` are
    rows of `logits`.

  Raises:
    syndata_jax.errors.UserError: a ValueError of one line: an array or number
      that is not as above.
  """
  validate.one_of(attack.FORMS, holds=holds)
  parts = (holds, "labels", "membership")
  populations: dict[str, Any] = {"": (logits, labels, membership)}
  for name, prefix in (("average", "average_"), ("dummies", "dummy_")):
    value = average if name == "average" else dummies
    if value is not None:
      populations[prefix] = _tuple(name, value, parts)
  arrays = {
    prefix + part: np.asarray(value)
    for prefix, values in populations.items()
    for part, value in zip(parts, values, strict=True)
    if value is not None
  }
  if target is not None:
    arrays["target"] = np.asarray(target)
  file, notes = attack.take_in_arrays(arrays)
  for note in notes:
    warnings.warn(note, stacklevel=2)
  used = attack.DEFAULT_DELTA if delta is None else delta
  given: dict[str, Any] = {"title": None, "facts": {}, "notes": list(notes)}
  return Report(attack.attack(file, delta=used), file, given=given)


def _plain(value: Any) -> Any:
  """A NumPy number as Python's, which settings are checked to be."""
  return value.item() if isinstance(value, np.generic) else value


def _dataset(
  name: str, train: Pair, test: Pair, facts: dict[str, Any]
) -> Dataset:
  """A checked data set of the arrays that were given.

  Args:
    name: for the report.
    train: as in `audit`.
    test: as in `audit`.
    facts: fields of `Dataset` by name, None where not given.
  """
  parts = ("images", "labels")
  arrays = canonical(
    Arrays(*_parts("train", train, parts), *_parts("test", test, parts))
  )
  channels = arrays.train_images.shape[-1]
  facts = {name: each for name, each in facts.items() if each is not None}
  for field in facts.keys() & {"mean", "std"}:
    facts[field] = _per_channel(field, facts[field], channels)
  return data.own_dataset(name, arrays, **facts)


def _parts(name: str, values: Any, parts: Sequence[str]) -> list[np.ndarray]:
  """The arrays of a tuple.

  Args:
    name: of the argument.
    values: what was given for it.
    parts: what the entries are called.
  """
  return [np.asarray(value) for value in _tuple(name, values, parts)]


def _tuple(name: str, values: Any, parts: Sequence[str]) -> Sequence[Any]:
  """What was given, if it is a tuple; the arguments are those of `_parts`."""
  if not isinstance(values, tuple | list) or len(values) != len(parts):
    raise UserError(
      f"{name} is of type {type(values).__name__}: must be a tuple"
      f" ({', '.join(parts)})"
    )
  return values


def _per_channel(
  field: str, value: float | Sequence[float], channels: int
) -> tuple[float, ...]:
  """One number for each channel.

  Args:
    field: what they are.
    value: one number for all, or one each.
    channels: how many.
  """
  try:
    if np.ndim(value) == 0:
      return (float(value),) * channels  # type: ignore[arg-type]
    return tuple(float(each) for each in value)  # type: ignore[union-attr]
  except (TypeError, ValueError) as error:
    raise UserError(
      f"{field}={value!r}: must be a number, or one for each channel"
    ) from error


@contextlib.contextmanager
def _folder(workdir: files.Path | None) -> Iterator[str]:
  """The workdir that was given, or one that is removed in the end."""
  if workdir is not None:
    yield str(pathlib.Path(workdir).expanduser())
    return
  with tempfile.TemporaryDirectory(prefix="syndata_jax_") as folder:
    yield folder
