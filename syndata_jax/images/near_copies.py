"""Whether synthetic images are copies of the private ones they were made from.

Each synthetic image has a nearest member: the nearest of the private images
that its model was made from. Three figures say whether that is too near:

- `near_copies`: the share of images that are nearer to a member than (about)
  1% of held-out real images are. Somepalli et al., "Diffusion Art or Digital
  Forgery?" (arXiv 2212.03860), compare with real images in the same way; so do
  Meehan et al., "A Non-Parametric Test to Detect Data-Copying" (2004.05675).
- `stands_out`: the share that is nearer than half of the mean distance to the
  50 nearest members. This is the rule of Carlini et al., "Extracting Training
  Data from Diffusion Models" (arXiv 2301.13188), for CIFAR-10; it needs no
  threshold that holds for every picture alike.
- `nearer_to_members`: of the audited examples, of which a model owns half, the
  share of images whose nearest is one that it owns. Without copying it is half.

The first two know nothing of images that resemble everything: a blurred one has
a near neighbour among any pictures, most of all in pixels. The third does, and
so do `near_copies_of_members` and `near_copies_of_nonmembers`, which compare
the same threshold with as many examples on either side: the nearest of many is
nearer than the nearest of few.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from syndata_jax.images.neighbours import nearest

# Of held-out real images, that lie below the threshold.
QUANTILE = 0.01
# Of Carlini et al.
_NEIGHBOURS, _FRACTION = 50, 0.5
_CONFIDENCE = 0.95


class Members(NamedTuple):
  """What the images of one model are compared with, rows of a pool."""

  rows: np.ndarray  # i32[n], all that the model was made from
  # i32[k] each, audited examples that it owns and that it does not, in equal
  # numbers; k may be 0.
  owned: np.ndarray
  others: np.ndarray


class Nearness(NamedTuple):
  """Of S synthetic images of one model, in one space."""

  distance: np.ndarray  # f32[S], to the nearest member
  row: np.ndarray  # i32[S], which that is
  ratio: np.ndarray  # f32[S], to half of the mean over the 50 nearest members
  to_owned: np.ndarray  # f32[S], to the nearest audited member; inf of none
  to_others: np.ndarray  # f32[S], to the nearest audited non-member


def equal_numbers(
  members: np.ndarray, *populations: tuple[np.ndarray, np.ndarray]
) -> Members:
  """The audited examples of either side, as many of each as of the other.

  Of the larger side the first are taken, whose order is random. Populations
  are cut one by one, so that both sides have the same share of each.

  Args:
    members: i32[n], rows that the model owns.
    *populations: rows i32[Q] of the audited examples, and which of them the
      model owns, bool[Q].
  """
  owned: list[np.ndarray] = []
  others: list[np.ndarray] = []
  for rows, owns in populations:
    size = min(owns.sum(), (~owns).sum())
    owned.append(rows[owns][:size])
    others.append(rows[~owns][:size])
  return Members(members, np.concatenate(owned), np.concatenate(others))


def nearness(
  images: np.ndarray, pool: np.ndarray, members: Members
) -> Nearness:
  """Compares the synthetic images of one model with private ones.

  Args:
    images: f32[S,D], in some space.
    pool: f32[N,D], the private images in the same space.
    members: of the model.
  """
  own = pool[members.rows]
  distances, places = nearest(images, own, _neighbours(own))
  to_owned, to_others = (
    nearest(images, pool[rows])[0][:, 0]
    if len(rows)
    else np.full(len(images), np.inf, np.float32)
    for rows in (members.owned, members.others)
  )
  return Nearness(
    distances[:, 0],
    members.rows[places[:, 0]],
    _ratio(distances),
    to_owned,
    to_others,
  )


def heldout_distances(
  heldout: np.ndarray, pool: np.ndarray, members: np.ndarray
) -> np.ndarray:
  """Distance of real images, which no model has, to each model's members.

  Most rows belong to every model and are searched once.

  Args:
    heldout: f32[H,D], in some space.
    pool: f32[N,D], the private images in the same space.
    members: i32[M,n], rows of each model.

  Returns:
    f32[M,H].
  """
  models, size = len(members), len(pool)
  counts = np.bincount(members.ravel(), minlength=size)
  common = np.flatnonzero(counts == models)
  to_common = np.full(len(heldout), np.inf, np.float32)
  if len(common):
    to_common = nearest(heldout, pool[common])[0][:, 0]
  distances = []
  for rows in members:
    rest = rows[counts[rows] < models]
    to_rest = to_common
    if len(rest):
      to_rest = nearest(heldout, pool[rest])[0][:, 0]
    distances.append(np.minimum(to_common, to_rest))
  return np.stack(distances)


def stands_out(images: np.ndarray, references: np.ndarray) -> np.ndarray:
  """Distance to the nearest over half of the mean of the 50 nearest.

  Args:
    images: f32[S,D].
    references: f32[n,D].

  Returns:
    f32[S]; below 1 the nearest stands out.
  """
  return _ratio(nearest(images, references, _neighbours(references))[0])


def threshold(distances: np.ndarray) -> float:
  """The distance below which (at most) 1% of held-out real images lie.

  Args:
    distances: f32[H], of one model; of none it is 0, that of copies alone.
  """
  if not len(distances):
    return 0.0
  return float(np.sort(distances)[_below(len(distances))])


def expected(heldout: int) -> float:
  """The share of new real images that a threshold of H held-out ones passes.

  A new one is as likely to have any rank among them; 0 where there is none.
  """
  if not heldout:
    return 0.0
  return (_below(heldout) + 1) / (heldout + 1)


def shares(of_one: Nearness, threshold: float) -> dict[str, float]:
  """The figures of one model; see above.

  Args:
    of_one: its images.
    threshold: of its own.

  Returns:
    Fractions by name; those that need audited examples are absent without.
  """

  def near(distance: np.ndarray) -> float:
    # A copy is one whatever the held-out images are.
    return float(((distance < threshold) | (distance == 0)).mean())

  figures = {
    "near_copies": near(of_one.distance),
    "stands_out": float((of_one.ratio < 1).mean()),
  }
  if np.isfinite(of_one.to_owned).all():
    ties = of_one.to_owned == of_one.to_others
    nearer = of_one.to_owned < of_one.to_others
    figures |= {
      "near_copies_of_members": near(of_one.to_owned),
      "near_copies_of_nonmembers": near(of_one.to_others),
      "nearer_to_members": float((nearer + 0.5 * ties).mean()),
    }
  return figures


def over_models(figures: list[dict[str, float]]) -> dict[str, Any]:
  """Means over models with their intervals.

  Args:
    figures: of each model, with the same names.

  Returns:
    By name `value`, and `low` and `high`, Student's 95% interval of the mean,
    within 0 and 1; of a single model there is none, and they are 0 and 1.
  """
  return {
    name: _interval(np.array([of_one[name] for of_one in figures]))
    for name in figures[0]
  }


def _neighbours(references: np.ndarray) -> int:
  return min(_NEIGHBOURS, len(references))


def _ratio(distances: np.ndarray) -> np.ndarray:
  """f32[S] of the distances f32[S,k] to the nearest, ascending."""
  usual = _FRACTION * distances.mean(axis=1)
  # 0 where all are copies.
  return np.divide(
    distances[:, 0], usual, out=np.zeros_like(usual), where=usual > 0
  )


def _interval(values: np.ndarray) -> dict[str, float]:
  mean, models = float(values.mean()), len(values)
  if models == 1:
    return {"value": mean, "low": 0.0, "high": 1.0}
  deviate = stats.t.ppf((1 + _CONFIDENCE) / 2, models - 1)
  half = float(deviate * values.std(ddof=1) / np.sqrt(models))
  return {
    "value": mean,
    "low": max(mean - half, 0.0),
    "high": min(mean + half, 1.0),
  }


def _below(heldout: int) -> int:
  """How many of the held-out images may lie below the threshold."""
  return int(QUANTILE * heldout)
