r"""syndata-split: who trains on what, for models that are trained elsewhere.

    syndata-split --labels=labels.npy --num_canaries=200 --num_models=16 \
      --out=split.npz
    syndata-split --num_examples=50000 --num_canaries=500 --num_models=32 \
      --out=split.npz

Draws canaries and deals each to exactly half of the models, before any of them
is trained, and says how to go on. With --labels, integers [N] of your training
set, canaries are mislabelled; without, they are examples as they are. With
--test_labels there are dummies as well: test images dealt in name only, on
which an attack finds what it finds where there is nothing. With --num_models=1
a fair coin decides for each canary.
"""

import pathlib
from typing import Any

import numpy as np
from absl import flags

from syndata_jax import data, files, validate
from syndata_jax.errors import UserError, prefixed
from syndata_jax.programs.start import start

_NUM_EXAMPLES = flags.DEFINE_integer(
  "num_examples", None, "N, the size of the training set; that of --labels."
)
_NUM_MODELS = flags.DEFINE_integer(
  "num_models", 16, "M: even, better 16 or more; or 1, with fair coins."
)
_NUM_CANARIES = flags.DEFINE_integer(
  "num_canaries", None, "Q: even, best below 5% of N."
)
_NUM_AVERAGE = flags.DEFINE_integer(
  "num_average", 0, "Ordinary examples, audited beside the canaries: even."
)
_LABELS = flags.DEFINE_string(
  "labels", None, "A .npy of integers [N], from 0 on: mislabels the canaries."
)
_TEST_LABELS = flags.DEFINE_string(
  "test_labels", None, "A .npy of integers, of test images: makes dummies."
)
_NUM_CLASSES = flags.DEFINE_integer(
  "num_classes", None, "K; one more than the largest label if left out."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of every draw.")
# Another program has a flag of this name, and tests start both in one process.
_OUT = flags.DEFINE_string(
  "out", None, "The .npz to write.", allow_override=True
)

_EXPLANATION = """\
Wrote {out}: {canaries} {kind} canaries, each in {share} of {models}.

1. Train model m = 0 .. {last}, all in the same way, on the rows members[m] of
   your training set and no others, with {labels}.
2. Ask every model about the rows canary_index: float[{canaries},{count},K],
   examples first: logits.
3. numpy.savez("logits.npz", logits=logits, membership=membership,
     labels={canary_labels})
4. syndata-audit --predictions=logits.npz --workdir=runs/elsewhere
"""
_AVERAGE = """\
Likewise average_logits, average_labels and average_membership, of the rows
average_index: ordinary examples.
"""
_DUMMIES = """\
Likewise dummy_logits, dummy_labels and dummy_membership, of the test images
dummy_index: no model trains on them, whatever their membership says.
"""


def main() -> None:
  """Draws the split that the flags describe."""
  out, arrays = _out(), _arrays()
  try:
    with files.write_stream(out) as stream:
      np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
  except OSError as error:
    raise UserError(
      f"--out={out}: cannot be written ({error.strerror})"
    ) from error
  print(_explain(out, arrays), end="")


def _out() -> pathlib.Path:
  if not _OUT.value:
    raise UserError("--out: name the .npz to write")
  out = pathlib.Path(_OUT.value).expanduser()
  # Models may be in training by what it says.
  if out.exists():
    raise UserError(f"--out={out}: exists; name another file")
  return out


def _arrays() -> dict[str, np.ndarray]:
  """The arrays of the file by name."""
  if _NUM_CANARIES.value is None:
    raise UserError("--num_canaries: say how many")
  labels = _labels("labels", _LABELS.value)
  test_labels = _labels("test_labels", _TEST_LABELS.value)
  if test_labels is not None and labels is None:
    raise UserError("--test_labels: needs --labels")
  size = _size(labels)
  given = np.zeros(size, np.int32) if labels is None else labels
  settings = _settings(given)
  split = _draw(given, _NUM_CANARIES.value, _NUM_AVERAGE.value, settings)
  if test_labels is not None:
    with prefixed("--test_labels"):
      split = data.add_dummies(split, test_labels, **settings)
  return {
    name: array
    for name, array in split._asdict().items()
    if array.size and (name != "labels" or labels is not None)
  }


def _labels(name: str, path: str | None) -> np.ndarray | None:
  """The labels in the file that a flag names."""
  if path is None:
    return None
  try:
    labels = np.load(pathlib.Path(path).expanduser(), allow_pickle=False)
  # Damaged bytes raise nearly anything.
  except Exception as error:
    reason = getattr(error, "strerror", None) or type(error).__name__
    raise UserError(
      f"--{name}={path}: {reason}: a .npy of integers needed, by numpy.save"
    ) from error
  if not isinstance(labels, np.ndarray) or labels.ndim != 1:
    raise UserError(f"--{name}={path}: one array of integers [N] needed")
  if labels.dtype.kind not in "iu" or not labels.size:
    raise UserError(
      f"--{name}={path}: is {labels.dtype}{list(labels.shape)}: integers needed"
    )
  return labels


def _size(labels: np.ndarray | None) -> int:
  """N, of the labels or the flag."""
  if labels is None:
    if _NUM_EXAMPLES.value is None:
      raise UserError("give --num_examples=N or --labels=FILE.npy")
    validate.at_least(1, num_examples=_NUM_EXAMPLES.value)
    return _NUM_EXAMPLES.value
  if _NUM_EXAMPLES.value not in (None, len(labels)):
    raise UserError(
      f"--num_examples={_NUM_EXAMPLES.value}: --labels has {len(labels)}"
    )
  return len(labels)


def _settings(labels: np.ndarray) -> dict[str, Any]:
  """What all populations have in common, as arguments of `make_split`."""
  if not 0 <= _SEED.value < 2**32:
    raise UserError(f"--seed={_SEED.value}: must be 0 to 2**32 - 1")
  classes = _NUM_CLASSES.value
  if classes is None:
    classes = max(int(labels.max()) + 1, 2)
  return {
    "num_classes": classes,
    "kind": "clean" if _LABELS.value is None else "mislabelled",
    "seed": _SEED.value,
  }


def _draw(
  labels: np.ndarray, count: int, num_average: int, settings: dict[str, Any]
) -> data.AuditSplit:
  """The split of one population, and of ordinary examples beside it.

  Args:
    labels: integer[N].
    count: examples that are audited.
    num_average: ordinary ones.
    settings: from `_settings`.
  """
  arguments = {"num_average": num_average} | settings
  if _NUM_MODELS.value == 1:
    return data.make_coin_split(labels, count, **arguments)
  return data.make_split(labels, count, _NUM_MODELS.value, **arguments)


def _explain(out: pathlib.Path, arrays: dict[str, np.ndarray]) -> str:
  """How to go on, on one screen."""
  canaries, models = arrays["membership"].shape
  relabelled = "labels" in arrays
  text = _EXPLANATION.format(
    out=out,
    canaries=canaries,
    kind="mislabelled" if relabelled else "clean",
    share="half" if models > 1 else "none or all, by a fair coin,",
    models=f"{models} models" if models > 1 else "1 model",
    last=models - 1,
    labels="the labels of this file" if relabelled else "your labels",
    count=models,
    canary_labels=(
      "labels[canary_index]" if relabelled else "your labels of these rows"
    ),
  )
  if "average_index" in arrays:
    text += _AVERAGE
  if "dummy_index" in arrays:
    text += _DUMMIES
  return text


def run() -> None:
  """The console script."""
  start(main)


if __name__ == "__main__":
  run()
