"""Where synthetic images begin, and whose images those are."""

import jax
import numpy as np
import pytest
import scipy.stats

from syndata_jax.data import ClassImages
from syndata_jax.errors import UserError
from syndata_jax.paradigms import Private
from syndata_jax.paradigms.distillation.initialisation import (
  check,
  initial_images,
)
from syndata_jax.paradigms.distillation.options import KINDS, ImageOptions

KEY = jax.random.key(3)
POOL, OWN, CLASSES, SHAPE = 120, 80, 4, (3, 2, 1)
RANDOM = np.random.default_rng(0)
# Every image is another one: its first pixel is its row.
IMAGES = RANDOM.integers(0, 256, (POOL, *SHAPE), dtype=np.uint8)
IMAGES[:, 0, 0, 0] = np.arange(POOL)
LABELS = RANDOM.permutation(np.arange(POOL) % CLASSES).astype(np.int32)


def private(num_models=5, canaries=(), **changes):
  """The members of model m do not depend on num_models; ascending."""
  members = [
    np.sort(np.random.default_rng(m).permutation(POOL)[:OWN])
    for m in range(num_models)
  ]
  data = Private(
    IMAGES,
    LABELS,
    np.stack(members).astype(np.int32),
    CLASSES,
    np.array(canaries, np.int32),
  )
  return data._replace(**changes)


def options(images_per_class, kind, forced=False):
  return ImageOptions(
    images_per_class=images_per_class,
    initialisation=kind,
    force_canaries=forced,
  )


def draw(data, images_per_class, kind, forced=False, key=KEY, **others):
  chosen = options(images_per_class, kind, forced)
  return initial_images(key, data, chosen, **others)


def outside(of_each=9):
  """Of class k, in no order: the pixels of image j are all j."""
  order = np.random.default_rng(5).permutation(of_each * CLASSES)
  labels = order % CLASSES
  images = np.ones((len(labels), *SHAPE), np.uint8)
  images *= np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
  return ClassImages(images, labels.astype(np.int32))


def in_classes(images_per_class):
  return np.repeat(np.arange(CLASSES), images_per_class)


@pytest.mark.parametrize("forced", [False, True])
def test_private_images_are_each_models_own_by_class(forced):
  data = private(canaries=np.arange(0, POOL, 3))
  images, rows = draw(data, 7, "private", forced)
  assert images.shape == (5, 7 * CLASSES, *SHAPE) and images.dtype == np.uint8
  assert rows.dtype == np.int32
  for own, of_model, members in zip(rows, images, data.members, strict=True):
    assert np.isin(own, members).all()
    assert len(np.unique(own)) == 7 * CLASSES
    np.testing.assert_array_equal(LABELS[own], in_classes(7))
    for row, image in zip(own, of_model, strict=True):
      np.testing.assert_array_equal(image, IMAGES[row])


def test_private_draws_are_uniform_and_independent():
  """Many models with the same members: all are drawn equally often."""
  num_models, of_each = 600, 5
  same = np.tile(np.arange(OWN, dtype=np.int32), (num_models, 1))
  data = private(members=same)
  rows = draw(data, of_each, "private")[1]
  for label in range(CLASSES):
    candidates = np.flatnonzero(LABELS[:OWN] == label)
    drawn = rows[:, label * of_each : (label + 1) * of_each]
    counts = np.array([(drawn == row).sum() for row in candidates])
    # Without replacement the variance is smaller than a chi-square's.
    assert scipy.stats.chisquare(counts).pvalue > 0.01
    first = np.array([(drawn[:, 0] == row).sum() for row in candidates])
    assert scipy.stats.chisquare(first).pvalue > 0.001
    chosen = np.array([(drawn == row).any(axis=1) for row in candidates])
    pairs = zip(chosen[:, ::2], chosen[:, 1::2], strict=True)
    agree = [np.corrcoef(*pair)[0, 1] for pair in pairs]
    assert abs(np.mean(agree)) < 0.06
  other = draw(data, of_each, "private", key=jax.random.key(4))[1]
  assert (other != rows).any(axis=1).mean() > 0.99


def fixed(kind):
  """What a kind needs besides, the same at each call."""
  labels = (np.arange(40) % CLASSES).astype(np.int32)
  images = np.arange(40 * 6).reshape(40, *SHAPE).astype(np.uint8)
  return {"outside": ClassImages(images, labels)} if kind == "outside" else {}


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_models_are_the_first_of_more(kind):
  more, rows_of_more = draw(private(5), 6, kind, **fixed(kind))
  fewer, rows_of_fewer = draw(private(2), 6, kind, **fixed(kind))
  np.testing.assert_array_equal(fewer, more[:2])
  if kind == "private":
    np.testing.assert_array_equal(rows_of_fewer, rows_of_more[:2])
  else:
    assert rows_of_fewer is None
  assert len(np.unique(more.reshape(5, -1), axis=0)) == 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("forced", [False, True])
def test_other_models_data_never_enter(kind, forced):
  """What model 1 alone owns is changed: pixels, labels and audited rows."""
  forced = forced and kind == "private"
  data = private(2, canaries=np.arange(0, POOL, 5))
  alone = np.setdiff1d(data.members[1], data.members[0])
  images, labels = IMAGES.copy(), LABELS.copy()
  images[alone] = 255 - images[alone]
  labels[alone] = (labels[alone] + 1) % CLASSES
  changed = data._replace(
    images=images,
    labels=labels,
    canaries=np.setdiff1d(data.canaries, alone).astype(np.int32),
  )
  before, rows_before = draw(data, 6, kind, forced, **fixed(kind))
  after, rows_after = draw(changed, 6, kind, forced, **fixed(kind))
  np.testing.assert_array_equal(before[0], after[0])
  if kind == "private":
    np.testing.assert_array_equal(rows_before[0], rows_after[0])
    assert (before[1] != after[1]).any()
  else:
    np.testing.assert_array_equal(before[1], after[1])


def of_class(row, label, images_per_class):
  start = label * images_per_class
  return set(row[start : start + images_per_class].tolist())


def test_forced_canaries_take_the_first_places():
  """A class with fewer canaries than places, one with more, one with none."""
  by_label = np.split(np.argsort(LABELS, kind="stable"), CLASSES)
  canaries = np.concatenate([by_label[0][:5], by_label[1], by_label[3][:20]])
  data = private(40, canaries=canaries)
  rows = draw(data, 8, "private", forced=True)[1]
  chance = draw(data, 8, "private")[1]
  for own, members in zip(rows, data.members, strict=True):
    for label in range(CLASSES):
      mine = set(canaries[LABELS[canaries] == label]) & set(members)
      places = own[label * 8 : label * 8 + 8]
      number = min(8, len(mine))
      assert set(places[:number].tolist()) <= mine
      assert not set(places[number:].tolist()) & mine
  # Without canaries the draw is the one of chance.
  np.testing.assert_array_equal(rows[:, 16:24], chance[:, 16:24])
  # By chance the share of canaries is theirs among the members.
  inside = np.isin(data.members, canaries)
  labels = LABELS[data.members]
  for label in (0, 3):
    share = inside[labels == label].mean()
    drawn = np.isin(chance[:, label * 8 : label * 8 + 8], canaries).mean()
    assert abs(drawn - share) < 0.08
  # Where they are more than the places, which of them is at random.
  counts = np.bincount(rows[:, 8:16].ravel(), minlength=POOL)[by_label[1]]
  assert counts.min() > 0


def test_forced_canaries_go_before_what_is_allowed():
  data = private(3, canaries=np.flatnonzero(LABELS == 2)[:6])
  inside = np.isin(data.members, data.canaries)
  assert inside.sum(axis=1).min() > 1
  rows = draw(data, 8, "private", True, allowed=~inside)[1]
  for own, members in zip(rows, data.members, strict=True):
    mine = set(data.canaries.tolist()) & set(members.tolist())
    assert mine <= of_class(own, 2, 8)
  rows = draw(data, 8, "private", allowed=~inside)[1]
  assert not np.isin(rows, data.canaries).any()


def test_only_allowed_members_unless_a_class_has_too_few():
  data = private(6)
  labels = LABELS[data.members]
  allowed = np.random.default_rng(1).random(data.members.shape) < 0.75
  allowed[labels == 1] = False
  few = np.stack([np.flatnonzero(own == 1)[:3] for own in labels])
  np.put_along_axis(allowed, few, True, axis=1)
  rows = draw(data, 8, "private", allowed=allowed)[1]
  for m, own in enumerate(rows):
    good = set(data.members[m][allowed[m]].tolist())
    np.testing.assert_array_equal(LABELS[own], in_classes(8))
    assert len(set(own.tolist())) == 8 * CLASSES
    for label in (0, 2, 3):
      assert allowed[m][labels[m] == label].sum() >= 8
      assert of_class(own, label, 8) <= good
    # The three come first, and the class's others fill five places.
    places = own[8:16].tolist()
    assert set(places[:3]) == set(data.members[m][few[m]].tolist())
    assert not set(places[3:]) & good
  everything = np.ones_like(allowed)
  same = draw(data, 8, "private", allowed=everything)[1]
  plain = draw(data, 8, "private")[1]
  np.testing.assert_array_equal(same, plain)


def test_outside_images_by_class_and_different_in_each_model():
  source = outside(9)
  images, rows = draw(private(), 8, "outside", outside=source)
  assert rows is None and images.dtype == np.uint8
  assert images.shape == (5, 8 * CLASSES, *SHAPE)
  drawn = images[:, :, 0, 0, 0]  # which image of the source
  assert (images == drawn[:, :, None, None, None]).all()
  for own in drawn:
    np.testing.assert_array_equal(source.labels[own], in_classes(8))
    assert len(np.unique(own)) == 8 * CLASSES
  assert len(np.unique(drawn, axis=0)) == 5


def test_noise_is_standard_normal_and_of_each_models_own():
  data = private(4, images=np.zeros((POOL, 12, 10, 3), np.uint8))
  images, rows = draw(data, 9, "noise")
  assert rows is None and images.dtype == np.float32
  assert images.shape == (4, 9 * CLASSES, 12, 10, 3)
  for own in images:
    assert scipy.stats.kstest(own.ravel(), "norm").pvalue > 0.01
  flat = images.reshape(4, -1)
  assert abs(np.corrcoef(flat) - np.eye(4)).max() < 0.05
  places = images.reshape(4 * 36, -1)
  assert abs(np.corrcoef(places) - np.eye(4 * 36)).max() < 0.3


def test_more_than_a_class_has_is_refused():
  data = private(5)
  counts = np.stack(
    [np.bincount(LABELS[own], minlength=CLASSES) for own in data.members]
  )
  least = int(counts.min())
  check(data, options(least, "private"))
  draw(data, least, "private")
  model, label = np.argwhere(counts == least)[0]
  with pytest.raises(UserError) as caught:
    check(data, options(least + 1, "private"))
  assert str(caught.value) == (
    f"images_per_class={least + 1}: must be at most {least}, what class"
    f" {label} has in model {model}"
  )
  check(data, options(least + 1, "noise"))
  draw(data, least + 1, "noise")

  source = outside(9)
  labels = source.labels.copy()
  labels[np.flatnonzero(labels == 2)[:2]] = 1
  source = source._replace(labels=labels)
  check(data, options(7, "outside"), source)
  draw(data, 7, "outside", outside=source)
  with pytest.raises(UserError) as caught:
    check(data, options(8, "outside"), source)
  assert str(caught.value) == (
    "images_per_class=8: must be at most 7, what class 2 has in initial_source"
  )
  with pytest.raises(UserError) as caught:
    check(data, options(1, "outside"))
  assert str(caught.value) == (
    "initialisation='outside': needs images of initial_source"
  )
