"""The audited examples as the owner of the data knows them: `canaries.npz`.

Pictures and true labels of the canaries, which no attack is given and which are
private: the file is its owner's alone.
"""

import pathlib

import numpy as np

from syndata_jax import data, files
from syndata_jax.errors import UserError
from syndata_jax.programs.plan import Plan
from syndata_jax.reporting import Examples

_FILE = "canaries.npz"

# Of these only the label was changed; the others have another picture.
_OWN_PICTURE = ("mislabelled", "clean")


def keep(workdir: pathlib.Path, plan: Plan) -> None:
  """Writes `canaries.npz`, unless it is there; `split.npz` fixes the rows."""
  if (workdir / _FILE).exists():
    return
  index, kind = plan.split.canary_index, plan.settings.canary_kind
  true = plan.dataset.train_labels[index].astype(np.int32)
  with files.write_stream(workdir / _FILE, files.PRIVATE) as stream:
    np.savez_compressed(
      stream,
      images=plan.private.images[index],
      label_true=true if kind in _OWN_PICTURE else np.full_like(true, -1),
      kind=np.array(kind),
    )


def read(workdir: pathlib.Path) -> tuple[Examples | None, Examples | None]:
  """The canaries and the average case; None of what is not known.

  Raises:
    UserError: a file is damaged, or lacks an array.
  """
  if not (workdir / "split.npz").exists():  # logits from elsewhere
    return None, None
  split = data.load_split(workdir / "split.npz")
  average = None
  if len(split.average_index):
    labels = split.labels[split.average_index]
    average = Examples(split.average_index, "average", labels)
  if not (workdir / _FILE).exists():  # a run of an earlier version
    return Examples(split.canary_index, "canary"), average
  arrays = files.read_arrays(workdir / _FILE)
  for name in ("images", "label_true", "kind"):
    if name not in arrays:
      raise UserError(
        f"{workdir / _FILE}: {name} is missing; delete it to have it written"
        " again"
      )
  canaries = Examples(
    split.canary_index,
    str(arrays["kind"]),
    arrays["label_true"],
    arrays["images"],
  )
  return canaries, average
