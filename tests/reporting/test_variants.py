"""The attacks in words."""

import pytest

from syndata_jax.reporting.variants import describe


@pytest.mark.parametrize(
  "attack, variance, words",
  [
    ("lira", "shrunk", "LiRA, logit score, shrunk variance, 18 views"),
    (
      "lira",
      "per_example",
      "LiRA, logit score, per-example variance, 18 views",
    ),
    ("lira", "global", "LiRA, logit score, global variance, 18 views"),
    (
      "lira_offline",
      "shrunk",
      "LiRA offline, logit score, shrunk variance, 18 views",
    ),
    ("rmia", None, "RMIA, logit score, 18 views"),
    ("rmia_offline", None, "RMIA offline, logit score, 18 views"),
    ("base", None, "BASE, logit score, 18 views"),
    ("threshold", None, "threshold, logit score, 18 views"),
  ],
)
def test_describes(attack, variance, words):
  record = dict(attack=attack, score="logit", variance=variance, views=18)
  assert describe(record) == words
