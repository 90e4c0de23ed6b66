"""Batches of every class: rare classes, missing ones, and others' rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from syndata_jax import paradigms
from syndata_jax.ensemble import Pool
from syndata_jax.errors import UserError
from syndata_jax.paradigms.distillation import private_batches
from syndata_jax.paradigms.distillation.setup import Shadow

K, PLACES = 3, 4


def labelled(*counts):
  """Two models; model m owns `counts[m]` images of each class, and row 0 none.

  The brightness of an image is its row.
  """
  labels, members = [0], []
  for of_model in counts:
    first = len(labels)
    labels += np.repeat(np.arange(K), of_model).tolist()
    members.append(np.arange(first, len(labels)))
  images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
  return paradigms.Private(
    np.broadcast_to(images, (len(labels), 4, 4, 1)).copy(),
    np.array(labels, np.int32),
    np.stack(members).astype(np.int32),
    K,
  )


class Reader:
  """What `draw` asks of a setup: brightness as it is."""

  real_batch = PLACES

  def read(self, images, linear_map):
    return images[..., 0, 0, 0].astype(jnp.float32)


def drawn(private, model, seed):
  rows, counts = private_batches.by_class(private, PLACES)
  shadow = Shadow(None, rows[model], counts[model], None, None)
  pool = Pool(jnp.asarray(private.images), None)
  batch = private_batches.draw(Reader(), jax.random.key(seed), shadow, pool)
  return [
    np.asarray(images)[np.asarray(counted)]
    for images, counted in zip(*batch, strict=True)
  ]


def test_a_class_with_fewer_than_a_batch_is_whole_and_no_other_is_smaller():
  private = labelled((1, 9, 4), (6, 3, 5))
  for model, members in enumerate(private.members):
    seen = [set() for _ in range(K)]
    for seed in range(12):
      for label, batch in enumerate(drawn(private, model, seed)):
        own = members[private.labels[members] == label]
        assert len(batch) == min(PLACES, len(own))
        assert len(set(batch)) == len(batch) and set(batch) <= set(own)
        seen[label] |= set(batch)
    # In time every image is drawn.
    assert set.union(*seen) == set(members)


def test_a_draw_owes_nothing_to_the_class_sizes_of_other_models():
  one, two = labelled((2, 5, 5), (4, 4, 4)), labelled((2, 5, 5), (1, 1, 10))
  for seed in range(4):
    for a, b in zip(drawn(one, 0, seed), drawn(two, 0, seed), strict=True):
      np.testing.assert_array_equal(a, b)


def test_the_mean_is_over_those_that_count():
  values = np.random.default_rng(0).normal(size=(K, PLACES, 2))
  counted = np.array([[True] * 4, [True, True, False, False], [True] + 3 * [0]])
  want = [
    v[c].mean(0) for v, c in zip(values, counted.astype(bool), strict=True)
  ]
  got = private_batches.mean(jnp.asarray(values), jnp.asarray(counted, bool))
  np.testing.assert_allclose(got, want, rtol=1e-6)
  # Of one class, as gradients are.
  got = private_batches.mean(jnp.asarray(values[1, :, 0]), counted[1] > 0)
  assert got == pytest.approx(values[1, :2, 0].mean(), rel=1e-6)


@pytest.mark.parametrize("method", ["dm", "dc", "dsa"])
def test_a_class_without_members_is_refused_with_the_cure(method):
  with pytest.raises(UserError) as error:
    private_batches.check(method, labelled((6, 3, 5), (7, 7, 0)))
  assert str(error.value) == (
    f"method={method!r}: class 2 has no members in model 1: must have one in"
    " every model to be matched; use more training images, fewer canaries, or"
    " leave the class out"
  )


def test_no_filler_is_another_models_row():
  private = labelled((6, 3, 5), (7, 7, 0))
  rows, counts = private_batches.by_class(private, PLACES)
  assert counts.tolist() == [[6, 3, 5], [7, 7, 0]]
  for own, of_class in zip(private.members, rows, strict=True):
    assert np.isin(of_class, own).all()
