"""How many examples are kept, and what cannot be kept."""

import numpy as np
import pytest
import small

from syndata_jax.errors import UserError
from syndata_jax.paradigms import Private
from syndata_jax.paradigms.coreset.budget import quotas
from syndata_jax.paradigms.coreset.options import METHODS, Options


def drawn(num_models=2):
  return Private(*small.training_set(num_models)[:3], small.CLASSES)


def counts(private):
  return np.stack(
    [
      np.bincount(private.labels[own], minlength=small.CLASSES)
      for own in private.members
    ]
  )


@pytest.mark.parametrize("fraction", [0.03, 0.1, 1 / 3, 0.55, 0.99, 1.0])
def test_a_fraction_is_that_of_every_class_within_one(fraction):
  private = drawn(6)
  have = counts(private)
  assert (have != have[0]).any()  # the classes of the models differ
  keep = quotas(Options(fraction=fraction), private)
  assert (keep.sum(axis=1) == round(fraction * small.OWN)).all()
  assert (keep >= 0).all() and (keep <= have).all()
  assert (abs(keep - fraction * have) <= 1 + 0.5 / small.CLASSES).all()


def test_the_largest_remainders_come_first_by_hand():
  """Half of 7, 4 and 1: 3.5, 2 and 0.5 in exact shares, so 4, 2 and 0."""
  labels = np.repeat([0, 1, 2], [7, 4, 1])
  private = Private(np.zeros((12, 2, 2, 1)), labels, np.arange(12)[None], 3)
  assert quotas(Options(fraction=0.5), private).tolist() == [[4, 2, 0]]
  # A fifth is 2 of 12 after rounding: 1.17, 0.67 and 0.17.
  assert quotas(Options(fraction=0.2), private).tolist() == [[1, 1, 0]]


def test_without_balance_there_is_one_group():
  keep = quotas(Options(fraction=0.5, balanced=False), drawn())
  assert keep.tolist() == [[12], [12]]


def test_images_per_class_up_to_the_smallest_class():
  private = drawn()
  smallest = counts(private).min()
  keep = quotas(Options(images_per_class=int(smallest)), private)
  assert (keep == smallest).all() and keep.shape == (2, 3)
  model, label = np.argwhere(counts(private) == smallest)[0]
  with pytest.raises(UserError) as caught:
    quotas(Options(images_per_class=int(smallest) + 1), private)
  assert str(caught.value) == (
    f"images_per_class={smallest + 1}: must be at most {smallest}, what class"
    f" {label} has in model {model}"
  )


@pytest.mark.parametrize(
  "options, message",
  [
    ({"fraction": 1.5}, r"fraction=1.5: must be in \(0, 1\]"),
    ({"fraction": -0.1}, r"fraction=-0.1: must be in \(0, 1\]"),
    ({}, "fraction=0, images_per_class=0: set one of them above 0"),
    ({"fraction": 0.1, "images_per_class": 1}, "set one of them above 0"),
    ({"images_per_class": -1}, "images_per_class=-1: must not be negative"),
    (
      {"images_per_class": 1, "balanced": False},
      "images_per_class=1: needs balanced=True",
    ),
    ({"fraction": 0.1, "method": "best"}, "method='best': must be one of el2n"),
    (
      {"fraction": 0.1, "never_learned": "one"},
      "never_learned='one': must be one of max, zero",
    ),
    (
      {"fraction": 0.1, "method": "herding", "selection_networks": 2},
      "selection_networks=2: must be 1 under herding",
    ),
  ],
)
def test_bad_options_are_refused_in_one_line(options, message):
  with pytest.raises(UserError, match=message) as caught:
    Options(**options)
  assert "\n" not in str(caught.value)


def test_a_fraction_of_nothing_is_refused():
  with pytest.raises(UserError, match=r"fraction=0.01: must keep at least one"):
    quotas(Options(fraction=0.01), drawn())


def test_published_numbers_stand_in_where_none_are_given():
  """EL2N: Paul et al.; all others: the defaults of DeepCore's code."""
  published = {
    name: (found.epochs, found.networks)
    for name in METHODS
    for found in [Options(method=name, fraction=0.5)]
  }
  assert published.pop("random") == (0, 0)
  assert published.pop("el2n") == (20, 10)
  assert published.pop("grand") == (40, 10)
  assert set(published.values()) == {(40, 1)}
  own = Options(
    method="el2n", fraction=0.5, selection_epochs=3, selection_networks=2
  )
  assert (own.epochs, own.networks) == (3, 2)
