"""Which design a membership is, and the rows of attacks that it gets."""

import time

import numpy as np
import pytest
from memberships import paired

from syndata_jax import attack
from syndata_jax.attack import Predictions, Variant, design
from syndata_jax.attack.variants import headline, variant_scores, variants


def _predictions(membership, views=2, classes=3, seed=0):
  rng = np.random.default_rng(seed)
  examples, models = membership.shape
  labels = rng.integers(0, classes, examples)
  logits = rng.normal(size=(examples, models, views, classes))
  logits[np.arange(examples), :, :, labels] += 3 * membership[:, :, None]
  return Predictions(logits.astype("f4"), labels.astype("i4"), membership)


def _target(members, references=4):
  """One target, whose references never trained on an example."""
  membership = np.zeros((10, references + 1), bool)
  membership[:, 0] = np.arange(10) < members
  return membership


PAIRED = paired(np.random.default_rng(0), 20, 8)
FOUR = paired(np.random.default_rng(0), 20, 4)
# The fewest of a side is two, in one row.
TWO_LEFT = np.concatenate([PAIRED, np.arange(8)[None] < 2])


@pytest.mark.parametrize(
  "membership, target, expected",
  [
    (PAIRED, None, ("shadow_models", 3, 3, True, True)),
    (PAIRED, 5, ("target", 3, 3, True, True)),
    (FOUR, None, ("shadow_models", 1, 1, True, True)),
    (TWO_LEFT, None, ("shadow_models", 1, 3, True, True)),
    (_target(5), 0, ("target", 0, 4, False, True)),
    (_target(5), None, ("shadow_models", 0, 3, False, True)),
    (PAIRED[:, :1], None, ("one_run", 0, 0, False, False)),
    (PAIRED[:, :1], 0, ("one_run", 0, 0, False, False)),
  ],
)
def test_recognises(membership, target, expected):
  assert design.recognise(membership, target) == expected


def test_judges_all_or_the_target():
  np.testing.assert_array_equal(design.judged(PAIRED, None), PAIRED)
  np.testing.assert_array_equal(design.judged(PAIRED, 3), PAIRED[:, 3:4])
  np.testing.assert_array_equal(design.judged_models(8, None), np.arange(8))


def test_counts_references_one_by_one():
  inside, outside = design.reference_counts(TWO_LEFT, None)
  for row in range(len(TWO_LEFT)):
    for model in range(8):
      rest = np.delete(TWO_LEFT[row], model)
      assert inside[row, model] == rest.sum()
      assert outside[row, model] == (~rest).sum()
  for whole, column in zip(
    (inside, outside), design.reference_counts(TWO_LEFT, 2), strict=True
  ):
    np.testing.assert_array_equal(column, whole[:, 2:3])


def _rows(membership, target=None, views=2):
  return variants(_predictions(membership, views), target)


def _liras(name, variances, views):
  return [
    Variant(name, score, variance, views)
    for variance in variances
    for score in ("hinge", "logit")
  ]


THRESHOLDS = [
  Variant("threshold", score, None, 1) for score in ("hinge", "logit")
]


@pytest.mark.parametrize("target", [None, 1])
def test_rows_of_many_models(target):
  rivals = [Variant(name, "logit", None, 2) for name in ("rmia", "base")]
  assert _rows(PAIRED, target) == [
    *_liras("lira", ["shrunk", "per_example", "global"], 2),
    *rivals,
    *_liras("lira", ["shrunk"], 1),
    *THRESHOLDS,
  ]


def test_the_untouched_image_stands_once_where_it_is_all():
  rows = _rows(PAIRED, views=1)
  assert len(rows) == len(set(rows)) == 10
  assert {row.views for row in rows} == {1}


@pytest.mark.parametrize("membership", [FOUR, TWO_LEFT])
def test_two_of_a_side_leave_no_variance_of_their_own(membership):
  variances = {row.variance for row in _rows(membership)}
  assert variances == {"shrunk", "global", None}


@pytest.mark.parametrize("target", [None, 0])
def test_rows_without_in_references(target):
  assert _rows(_target(5), target) == [
    *_liras("lira_offline", ["shrunk", "per_example", "global"], 2),
    Variant("rmia_offline", "logit", None, 2),
    *_liras("lira_offline", ["shrunk"], 1),
    *THRESHOLDS,
  ]


def test_rows_of_one_model():
  assert _rows(PAIRED[:, :1]) == [
    Variant("threshold", score, None, views)
    for views in (2, 1)
    for score in ("hinge", "logit")
  ]


def test_too_few_references_leave_thresholds():
  everyone = np.ones((6, 4), bool)
  everyone[:, 0] = np.arange(6) < 3
  assert _rows(everyone, 0) == THRESHOLDS
  # One reference: an OUT score, but no spread of such scores.
  alone = _rows(_target(5, references=1), 0)
  assert alone == [Variant("rmia_offline", "logit", None, 2), *THRESHOLDS]


@pytest.mark.parametrize(
  "membership, target",
  [
    (PAIRED, None),
    (PAIRED, 2),
    (FOUR, None),
    (TWO_LEFT, 0),
    (_target(5), 0),
    (_target(5), None),
    (_target(5, references=1), 0),
    (np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 1, 1]], bool), 0),
    (PAIRED[:1], None),
    (PAIRED[:, :1], None),
  ],
)
def test_every_row_that_is_offered_can_be_computed(membership, target):
  given = _predictions(membership)
  judged = design.judged(membership, target)
  assert headline(given, target) == variants(given, target)[0]
  for variant in variants(given, target):
    scores = variant_scores(given, variant, target)
    assert scores.shape == judged.shape
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
  np.testing.assert_array_equal(
    attack.headline_scores(given, target),
    variant_scores(given, headline(given, target), target),
  )


def test_each_row_is_the_attack_that_it_names():
  given = _predictions(PAIRED)
  labels = given.labels[:, None, None]
  for views in (1, 2):
    logits = given.logits[:, :, :views]
    for name, score in (
      ("hinge", attack.hinge_score(logits, labels)),
      ("logit", attack.logit_score(logits, labels)),
    ):
      for variant, expected in (
        *(
          (("lira", v), attack.lira(score, PAIRED, v))
          for v in ("shrunk", "per_example", "global")
        ),
        *(
          (("lira_offline", v), attack.offline_lira(score, PAIRED, v))
          for v in ("shrunk", "per_example", "global")
        ),
        (("rmia", None), attack.rmia(score, PAIRED)),
        (("rmia_offline", None), attack.offline_rmia(score, PAIRED)),
        (("base", None), attack.base(score, PAIRED)),
        (("threshold", None), score.mean(axis=2)),
      ):
        row = Variant(variant[0], name, variant[1], views)
        np.testing.assert_array_equal(variant_scores(given, row), expected)


def test_all_rows_are_fast():
  membership = paired(np.random.default_rng(0), 500, 32)
  given = _predictions(membership, views=18, classes=10)
  start = time.process_time()
  for variant in variants(given):
    variant_scores(given, variant)
  seconds = time.process_time() - start
  print(f"all rows, 500 x 32 x 18: {seconds:.2f} s")
  assert seconds < 6
