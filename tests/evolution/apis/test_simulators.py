"""Glyphs and garments: what is drawn, how it varies, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import variants
from scipy import stats

from syndata_jax.errors import UserError
from syndata_jax.evolution.apis import (
  ApiOptions,
  create,
  garments,
  glyphs,
  jitter,
)
from syndata_jax.evolution.apis.garments import patterns
from syndata_jax.evolution.apis.glyphs import outlines, strokes

KEY = jax.random.key(0)
NAMES = ("glyphs", "garments", "glyphs_all")


class Compiled:
  """An API whose methods are compiled once for all tests."""

  def __init__(self, *arguments, **fields):
    self.api = create(*arguments, ApiOptions(**fields))
    self.random = jax.jit(self.api.random)
    self.variation = jax.jit(self.api.variation)
    self.render = jax.jit(self.api.render)


@pytest.fixture(scope="module")
def apis():
  """Each simulator, for small grey images and ten classes."""
  return {name: Compiled(name, (8, 8, 1), 10) for name in NAMES}


def labels(each=2):
  return jnp.repeat(jnp.arange(10), each)


def test_numbers_stay_uniform_and_degree_1_forgets():
  """Reflected at the ends, a step of any length leaves the uniform law."""
  start = jax.random.uniform(KEY, (4000,))
  for degree in (0.1, 0.5, 1.0):
    moved = np.asarray(jitter.moved(jax.random.key(1), start, degree))
    assert stats.kstest(moved, "uniform").pvalue > 1e-3
    assert abs(moved - start).max() <= degree + 1e-6
  corner = jitter.moved(jax.random.key(2), jnp.full(4000, 0.03), 1.0)
  assert stats.kstest(np.asarray(corner), "uniform").pvalue > 1e-3
  np.testing.assert_array_equal(jitter.moved(KEY, start, 0.0), start)


def test_choices_are_drawn_again_as_often_as_the_degree_says():
  choices = jnp.full(4000, 3)
  again = np.asarray(jitter.redrawn(KEY, choices, 5, 0.25))
  # A fifth of those drawn again are what they were.
  changed = (again != 3).sum()
  assert stats.binomtest(int(changed), 4000, 0.25 * 0.8).pvalue > 1e-3
  assert set(again) == set(range(5))
  np.testing.assert_array_equal(jitter.redrawn(KEY, choices, 5, 0.0), choices)


@pytest.mark.parametrize("name", variants.others_slow(NAMES, 2))
def test_degree_0_leaves_samples_and_more_moves_them_further(apis, name):
  api = apis[name]
  samples = api.random(KEY, labels())
  same = api.variation(jax.random.key(1), samples, labels(), 0.0)
  jax.tree.map(np.testing.assert_array_equal, same, samples)
  before = np.asarray(api.render(samples), float)
  assert before.shape == (20, 8, 8, 1) and before.std((1, 2, 3)).min() > 5
  near, far = (
    abs(
      np.asarray(
        api.render(api.variation(jax.random.key(1), samples, labels(), degree))
      )
      - before
    ).mean()
    for degree in (0.05, 1.0)
  )
  assert 0 < near < far / 2


@pytest.mark.parametrize("name", variants.others_slow(["glyphs", "garments"]))
def test_an_image_is_that_of_its_numbers_alone(apis, name):
  """Over shadows and one by one: the same up to rounding."""
  api = apis[name]
  keys = jax.random.split(jax.random.key(3), 2)
  samples = [api.random(key, labels()) for key in keys]
  together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *samples)
  many = jax.jit(jax.vmap(api.api.render))(together).astype(int)
  one = jax.tree.map(lambda a: jnp.roll(a, 5, axis=0), samples[1])
  assert abs(many[0] - api.render(samples[0])).max() <= 1
  assert abs(jnp.roll(many[1], 5, axis=0) - api.render(one)).max() <= 1


def test_parts_do_not_change_the_images(apis, monkeypatch):
  """Twenty images, seven at once: the last part is filled up."""
  samples = apis["glyphs"].random(KEY, labels())
  whole = apis["glyphs"].render(samples)
  monkeypatch.setattr(glyphs, "_AT_ONCE", 7)
  parts = jax.jit(lambda samples: apis["glyphs"].api.render(samples))(samples)
  np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize("name", variants.others_slow(["glyphs", "garments"]))
def test_colour_images(name):
  api = Compiled(name, (12, 10, 3), 10)
  images = np.asarray(api.render(api.random(KEY, labels(1))), int)
  assert images.shape == (10, 12, 10, 3)
  assert abs(images[..., 0] - images[..., 1]).max() > 30


def plain(character, font=0, **numbers):
  """A glyph in the middle, unbent; `numbers` in radians, or of [-1, 1]."""
  values = {"height": 1.0, "aspect": 1.0, "rotation": 0.0, "shear": 0.0}
  values |= {"right": 0.0, "down": 0.0, "weight": 0.1, "ink": 1.0}
  values |= {"softness": 1.0} | numbers
  unit = [
    (values[name] - low) / (high - low)
    for name, (low, high) in glyphs._RANGES.items()
  ]
  return glyphs.Glyphs(
    jnp.asarray([unit]),
    jnp.full((1, glyphs._BEND**2, 2), 0.5),
    jnp.zeros((1, 2, 0)),
    jnp.asarray([font]),
    jnp.asarray([character]),
  )


def moments(image):
  """Mean (x, y), and the angle of the longest axis, x right and y down."""
  image = np.asarray(image, float)[..., 0]
  side = len(image)
  y, x = np.mgrid[:side, :side] * 2 / side - 1 + 1 / side
  weight = image / image.sum()
  mean = np.array([(weight * x).sum(), (weight * y).sum()])
  centred = np.stack([x - mean[0], y - mean[1]]).reshape(2, -1)
  _, vectors = np.linalg.eigh((centred * weight.ravel()) @ centred.T)
  axis = vectors[:, 1]
  return mean, np.arctan2(axis[0] * np.sign(axis[1]), abs(axis[1]))


def test_a_stroke_is_turned_sheared_and_shifted():
  """The first hand writes a 1 as an upright line."""
  hand = len(outlines.FONTS)
  draw = Compiled("glyphs", (32, 32, 1), 10, character_size=0.7).render
  angle = lambda **numbers: moments(draw(plain(1, hand, **numbers))[0])
  mean, upright = angle()
  np.testing.assert_allclose(mean, 0, atol=0.02)
  assert abs(upright) < 0.01
  # Clockwise in an image whose y goes down: the top goes to the right.
  assert angle(rotation=0.2)[1] == pytest.approx(-0.2, abs=0.02)
  assert np.tan(angle(shear=0.3)[1]) == pytest.approx(-0.3, abs=0.03)
  np.testing.assert_allclose(
    angle(right=0.1, down=-0.05)[0], [0.1, -0.05], atol=0.01
  )
  ink = [np.asarray(draw(plain(1, hand, weight=w))).sum() for w in (0.0, 0.1)]
  assert ink[1] / ink[0] == pytest.approx((0.13 + 0.1) / 0.13, rel=0.15)


def test_distances_to_a_ring():
  """A hole is an outline the other way round."""
  angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
  circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
  points = np.random.default_rng(0).uniform(-1.5, 1.5, (500, 2))
  radius = np.hypot(*points.T)
  ring = outlines.signed_distance([circle, 0.5 * circle[::-1]], points)
  np.testing.assert_allclose(ring, abs(radius - 0.75) - 0.25, atol=1e-3)
  filled = outlines.signed_distance([circle, 0.5 * circle], points)
  outer = outlines.signed_distance([circle], points)
  inside = radius < 1
  assert (filled[inside] < 0).all()
  np.testing.assert_allclose(outer, radius - 1, atol=1e-3)


def test_distances_of_the_device_are_those_of_the_host():
  """Of polygons that are no convex ones, with an edge of no length."""
  corners = np.array(
    [(-0.8, -0.8), (0.9, -0.5), (0, 0), (0.7, 0.8), (0.7, 0.8)]
  )
  two = np.stack([corners, corners[::-1] * 0.6])
  points = np.random.default_rng(1).uniform(-1.2, 1.2, (300, 2))
  got = garments.distances(*points.T, jnp.asarray(two))
  for row, polygon in zip(got, two, strict=True):
    expected = outlines.signed_distance([polygon], points)
    np.testing.assert_allclose(row, expected, atol=1e-5)


def test_every_digit_of_every_font_and_hand_is_another():
  tables = outlines.tables("0123456789", 24, 1.5)
  assert len(tables) == len(outlines.FONTS) + strokes.hands("0123456789")
  ink = tables < 0
  share = ink.mean((2, 3))
  assert share.min() > 0.01 and share.max() < 0.35
  for font in ink:
    overlap = np.einsum("kyx,jyx->kj", font * 1.0, font * 1.0)
    same = np.diag(overlap)
    assert (overlap < np.sqrt(np.outer(same, same)) - 1)[
      ~np.eye(10, dtype=bool)
    ].all()
  # A letter: no hand writes it, all fonts have it.
  assert len(outlines.tables("ab", 24, 1.5)) == len(outlines.FONTS)


def test_patterns_are_affine_in_their_numbers():
  table = patterns.tables()
  for k, pattern in enumerate(patterns._PATTERNS):
    numbers = np.random.default_rng(k).uniform(size=patterns.NUMBERS)
    corners = table.corners[k] + np.tensordot(numbers, table.corner_moves[k], 1)
    brightness = table.brightness[k] + numbers @ table.brightness_moves[k]
    for place, layer in enumerate(pattern(*numbers)):
      drawn = corners[place, : len(layer.corners)]
      np.testing.assert_allclose(drawn, layer.corners, atol=1e-5)
      assert brightness[place] == pytest.approx(layer.brightness, abs=1e-5)


def test_kinds_of_garments_differ(apis):
  """Mean images are nearer to those of the same kind than to any other."""
  api = apis["garments"]
  draw = lambda seed: api.render(api.random(jax.random.key(seed), labels()))
  drawn = [[draw(40 * i + j) for j in range(40)] for i in (0, 1)]
  # [2, 40 draws, 10 classes, 2 of each, pixels]
  drawn = np.asarray(drawn, float).reshape(2, 40, 10, 2, -1)
  means = drawn.mean((1, 3))
  gaps = np.linalg.norm(means[0][:, None] - means[1], axis=-1)
  np.testing.assert_array_equal(gaps.argmin(1), np.arange(10))


@pytest.mark.slow
def test_classes_of_glyphs(apis):
  """Each class its own character, or each any, which variations keep."""
  one = apis["glyphs"].random(KEY, labels())
  np.testing.assert_array_equal(one.character, labels())
  keys = jax.random.split(KEY, 20)
  many = [apis["glyphs_all"].random(key, labels()) for key in keys]
  drawn = np.bincount(np.concatenate([each.character for each in many]))
  assert len(drawn) == 10 and stats.chisquare(drawn).pvalue > 1e-3
  any_ = many[0]
  varied = apis["glyphs_all"].variation(KEY, any_, labels(), 1.0)
  np.testing.assert_array_equal(varied.character, any_.character)
  assert (varied.font != any_.font).any()


@pytest.mark.parametrize(
  ("name", "classes", "fields", "expected"),
  [
    ("glyphs", 12, {}, "has 10: glyphs must have 12, one for each class"),
    (
      "glyphs",
      2,
      {"characters": "1\u4e2d"},
      "no font of matplotlib has '\u4e2d'",
    ),
    ("glyphs", 2, {"characters": "1 "}, "' ' leaves no ink"),
    ("garments", 9, {}, "num_classes=9: must be 10 under api='garments'"),
  ],
)
def test_what_cannot_be_drawn(name, classes, fields, expected):
  with pytest.raises(UserError) as caught:
    create(name, (8, 8, 1), classes, ApiOptions(**fields))
  assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_letters_and_any_number_of_classes():
  api = create("glyphs", (8, 8, 1), 3, ApiOptions(characters="abc"))
  assert api.tables.shape[:2] == (len(outlines.FONTS), 3)
  api = Compiled("glyphs_all", (8, 8, 1), 3)
  assert (api.random(KEY, jnp.zeros(20, int)).character > 2).any()


def test_images_of_two_channels_are_refused():
  with pytest.raises(UserError, match="C 1 or 3"):
    create("garments", (8, 8, 2), 10, ApiOptions())
