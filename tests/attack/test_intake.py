"""Every form that predictions come in, against the logits it came from."""

import json

import ml_dtypes
import numpy as np
import pytest
import scipy.special

from syndata_jax.attack import take_in, take_in_arrays
from syndata_jax.attack.scores import hinge_score, logit_score
from syndata_jax.errors import UserError

Q, M, A, K = 6, 8, 2, 3
RNG = np.random.default_rng(0)
LOGITS = 2 * RNG.normal(size=(Q, M, A, K))
LABELS = np.array([0, 2, 1, 0, 2, 2])
MEMBERSHIP = RNG.permuted(np.tile(np.arange(M) < M // 2, (Q, 1)), axis=1)
BINARY = LABELS % 2

PROBABILITIES = scipy.special.softmax(LOGITS, axis=-1)
CONFIDENCES = np.take_along_axis(
  PROBABILITIES, LABELS[:, None, None, None], axis=-1
)[..., 0]
SCORES = scipy.special.logit(CONFIDENCES)


def _given(**arrays):
  return {"membership": MEMBERSHIP, "labels": LABELS} | arrays


def _scores(file, score=logit_score):
  logits, labels, _ = file.canaries
  return score(logits, labels[:, None, None])


def _refusal(arrays):
  with pytest.raises(UserError) as caught:
    take_in_arrays(arrays)
  assert "\n" not in str(caught.value)
  return str(caught.value)


def test_logits_are_taken_as_they_are():
  for logits in (LOGITS, LOGITS[:, :, 0], LOGITS.astype(np.float32)):
    file, notes = take_in_arrays(_given(logits=logits))
    expected = logits.reshape(Q, M, -1, K).astype(np.float32)
    np.testing.assert_array_equal(file.canaries.logits, expected)
    np.testing.assert_array_equal(file.canaries.labels, LABELS)
    assert notes == ()


@pytest.mark.parametrize("name", ["logits", "log_probs", "log_probabilities"])
def test_log_probabilities_score_as_logits(name):
  values = np.log(PROBABILITIES)
  file, notes = take_in_arrays(_given(**{name: values}))
  for score in (logit_score, hinge_score):
    np.testing.assert_allclose(
      _scores(file, score),
      score(LOGITS, LABELS[:, None, None]),
      atol=1e-5,
    )
  assert notes == (f"{name} holds log-probabilities: same scores as of logits",)


@pytest.mark.parametrize("name", ["logits", "probabilities", "probs"])
@pytest.mark.parametrize(
  ("dtype", "rtol"),
  [(np.float64, 1e-6), (np.float32, 1e-5), (np.float16, 2e-3)],
)
def test_probabilities_score_as_logits(name, dtype, rtol):
  values = PROBABILITIES.astype(dtype)
  file, notes = take_in_arrays(_given(**{name: values}))
  for score in (logit_score, hinge_score):
    expected = score(LOGITS, LABELS[:, None, None])
    # A relative step of p is an absolute one of its logarithm; below 6e-5 half
    # precision has steps of 6e-8.
    slack = 2 * rtol
    if dtype == np.float16:
      slack += 6e-8 / PROBABILITIES.min(axis=-1)
    assert (np.abs(_scores(file, score) - expected) <= slack).all()
  assert notes == (
    f"{name} holds probabilities: their logarithms are attacked",
  )


def test_a_probability_rounded_to_one_keeps_its_score():
  """In float32 p is 1 here; the others say by how much it is not."""
  logits = np.zeros((Q, M, 1, K))
  logits[..., 1] = RNG.uniform(20, 40, (Q, M, 1))
  given = scipy.special.softmax(logits, axis=-1).astype(np.float32)
  assert (given[..., 1] == 1).all()
  labels = np.ones(Q, int)
  file, _ = take_in_arrays(_given(logits=given, labels=labels))
  np.testing.assert_allclose(
    _scores(file), logit_score(logits, labels[:, None, None]), rtol=1e-5
  )


def test_probabilities_of_zero_are_told_and_stay_in_order():
  logits = 60 * RNG.normal(size=(Q, M, 1, K))
  given = scipy.special.softmax(logits, axis=-1).astype(np.float32)
  zeros = (given == 0).sum()
  assert zeros
  file, (note,) = take_in_arrays(_given(logits=given))
  smallest = given[given > 0].min()
  assert note == (
    "logits holds probabilities: their logarithms are attacked;"
    f" {zeros} values were rounded to 0 or 1, taken for"
    f" {float(smallest) / 2:.2g} from there: logits would tell them apart"
  )
  made = file.canaries.logits
  assert made[given == 0].max() < made[given > 0].min()
  truth = hinge_score(logits, LABELS[:, None, None])
  order = np.argsort(truth.ravel())
  # No score falls where the true one rises, but by a factor of 2 of a p that
  # has lost its digits.
  assert (np.diff(_scores(file, hinge_score).ravel()[order]) >= -0.7).all()


@pytest.mark.parametrize("views", [True, False])
@pytest.mark.parametrize(
  ("name", "values"),
  [
    ("losses", -np.log(CONFIDENCES)),
    ("confidences", CONFIDENCES),
    ("scores", SCORES),
  ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_one_number_for_each_answer(name, values, views, dtype):
  expected = SCORES if views else SCORES[:, :, :1]
  values = (values if views else values[:, :, 0]).astype(dtype)
  # Labels are not needed, and not read where they are there.
  for given in (_given(), {"membership": MEMBERSHIP}):
    file, _ = take_in_arrays(given | {name: values})
    assert file.canaries.logits.shape == (*expected.shape, 2)
    for score in (logit_score, hinge_score):
      np.testing.assert_allclose(_scores(file, score), expected, atol=2e-4)


def test_losses_of_sure_models_keep_their_digits():
  """1 - p is 1e-12 here: no difference of floats has it, the loss does."""
  losses = np.geomspace(1e-12, 30, Q * M).reshape(Q, M)
  file, notes = take_in_arrays(_given(losses=losses))
  expected = -losses - np.log(-np.expm1(-losses))
  np.testing.assert_allclose(_scores(file)[:, :, 0], expected, rtol=1e-6)
  assert expected[0, 0] == pytest.approx(12 * np.log(10), rel=1e-6)
  assert notes == (
    "losses are read as cross-entropies, p = exp(-loss): log(p / (1 - p)) is"
    " attacked",
  )


def test_losses_and_confidences_at_their_ends():
  losses = np.full((Q, M), 0.5)
  losses[0, :3] = 0, 2**-23, 0
  file, (note,) = take_in_arrays(_given(losses=losses))
  np.testing.assert_allclose(
    _scores(file)[0, :3, 0], np.log([2**24, 2**23, 2**24]), rtol=1e-6
  )
  assert "2 values were rounded to 0 or 1, taken for 6e-08 from there" in note
  p = np.full((Q, M), 0.5, np.float32)
  p[0, :3] = 1, 1 - 2**-24, 0
  file, (note,) = take_in_arrays(_given(confidences=p))
  scores = _scores(file)[0, :3, 0]
  np.testing.assert_allclose(scores[:2], np.log([2**25, 2**24]), rtol=1e-6)
  assert np.isfinite(scores[2]) and scores[2] < -5
  assert "2 values were rounded" in note


@pytest.mark.parametrize("shape", [(Q, M), (Q, M, 1), (Q, M, 1, 1)])
def test_one_output_for_two_classes(shape):
  z = LOGITS[:, :, 0, 0].reshape(shape)
  file, notes = take_in_arrays(_given(logits=z, labels=BINARY))
  expected = np.where(BINARY[:, None] == 1, 1, -1) * LOGITS[:, :, 0, 0]
  for score in (logit_score, hinge_score):
    np.testing.assert_allclose(
      _scores(file, score)[..., 0], expected, rtol=1e-6
    )
  assert notes == ("logits holds one logit for two classes, that of class 1",)
  for name in ("logits", "probabilities"):
    given = _given(labels=BINARY, **{name: scipy.special.expit(z)})
    file, notes = take_in_arrays(given)
    np.testing.assert_allclose(_scores(file)[..., 0], expected, atol=1e-5)
    assert notes == (
      f"{name} holds one probability, of class 1: log(p / (1 - p)) is attacked",
    )


def test_bfloat16_in_memory_and_from_a_file(tmp_path):
  values = LOGITS.astype(ml_dtypes.bfloat16)
  np.savez(tmp_path / "p.npz", **_given(logits=values))
  with np.load(tmp_path / "p.npz") as archive:
    assert archive["logits"].dtype == np.dtype("V2")
  for intake in (
    take_in_arrays(_given(logits=values)),
    take_in(tmp_path / "p.npz"),
  ):
    np.testing.assert_array_equal(
      intake.file.canaries.logits, values.astype(np.float32)
    )
    assert intake.notes == (
      "logits is bfloat16: its scores have two or three digits",
    )


def test_other_populations_and_networks_are_read_alike():
  given = _given(
    probabilities=PROBABILITIES,
    average_losses=-np.log(CONFIDENCES[:4]),
    average_membership=MEMBERSHIP[:4],
  )
  # Two classes beside three: one form for all populations.
  assert _refusal(given) == "average_logits has 2 classes: 3 as in logits"
  given = _given(
    probabilities=PROBABILITIES,
    dummy_logits=PROBABILITIES[:4],
    dummy_labels=LABELS[:4],
    dummy_membership=MEMBERSHIP[:4],
    average_probs=PROBABILITIES[1:],
    average_labels=LABELS[1:],
    average_membership=MEMBERSHIP[1:],
    other_teacher_logits=PROBABILITIES,
  )
  file, notes = take_in_arrays(given)
  expected = file.canaries.logits
  np.testing.assert_array_equal(file.dummies.logits, expected[:4])
  np.testing.assert_array_equal(file.average.logits, expected[1:])
  np.testing.assert_array_equal(file.others["teacher"].logits, expected)
  assert len(notes) == 4


def test_closeness_of_released_images_is_taken_along(tmp_path):
  """Beside any form of the answers; of every population."""
  closeness = -RNG.random((Q, M))
  given = _given(
    confidences=CONFIDENCES,
    average_confidences=CONFIDENCES[:4],
    average_membership=MEMBERSHIP[:4],
    closeness_pixels=closeness,
  )
  assert "average_closeness_pixels is missing" in _refusal(given)
  np.savez(tmp_path / "p.npz", **given, average_closeness_pixels=closeness[:4])
  spaces = take_in(tmp_path / "p.npz").file.closeness
  assert list(spaces) == ["pixels"]
  expected = closeness.astype(np.float32)
  np.testing.assert_array_equal(spaces["pixels"].canaries, expected)
  np.testing.assert_array_equal(spaces["pixels"].average, expected[:4])
  assert spaces["pixels"].dummies is None


def test_the_form_that_says_most_is_used():
  given = _given(logits=LOGITS, losses=-np.log(CONFIDENCES))
  file, notes = take_in_arrays(given)
  np.testing.assert_array_equal(file.canaries.logits, LOGITS.astype("f4"))
  assert notes == ("losses: not used beside logits",)


def test_outputs_of_sigmoids_are_told():
  _, (note,) = take_in_arrays(_given(logits=scipy.special.expit(LOGITS)))
  assert "rows do not sum to 1: read as logits" in note


def _changed(values, place, value):
  values = values.copy()
  values[place] = value
  return values


T_LOGITS = LOGITS.swapaxes(0, 1)
REFUSED = {
  "log of zero": (
    _given(logits=_changed(np.log(PROBABILITIES), (1, 2, 0, 1), -np.inf)),
    # The row still sums to less than 1 by what it lost, unless that was little.
    r"logits holds -inf at [1, 2, 0, 1]",
  ),
  "swapped logits": (
    _given(logits=T_LOGITS),
    "logits has shape (8, 6, 2, 3) beside 6 labels: axes look swapped:"
    " [examples, models] needed first, numpy.swapaxes(logits, 0, 1)",
  ),
  "swapped both": (
    _given(logits=T_LOGITS, membership=MEMBERSHIP.T),
    "logits has shape (8, 6, 2, 3) beside 6 labels: axes look swapped:"
    " [examples, models] needed first, numpy.swapaxes(logits, 0, 1) and"
    " membership.T",
  ),
  "swapped membership": (
    _given(logits=LOGITS, membership=MEMBERSHIP.T),
    "membership has shape (8, 6) beside logits (6, 8, 2, 3): axes look swapped:"
    " [examples, models] needed first, membership.T",
  ),
  "swapped losses": (
    {"losses": SCORES[..., 0].T, "membership": MEMBERSHIP},
    "membership has shape (6, 8) beside losses (8, 6): axes look swapped:"
    " [examples, models] needed first, membership.T or"
    " numpy.swapaxes(losses, 0, 1)",
  ),
  "nothing": (
    _given(),
    "logits is missing: logits, labels, membership needed; or, in place of"
    " logits, probabilities, losses, confidences or scores",
  ),
  "nothing of the average": (
    _given(logits=LOGITS, average_labels=LABELS),
    "average_logits is missing: average_logits, average_labels,"
    " average_membership needed; or, in place of logits, probabilities, losses,"
    " confidences or scores",
  ),
  "no probability": (
    _given(probabilities=LOGITS),
    f"probabilities holds {LOGITS.min()}: 0 to 1 allowed",
  ),
  "percent": (
    _given(probs=100 * PROBABILITIES),
    f"probs holds {100 * PROBABILITIES.max()}: 0 to 1 allowed",
  ),
  "half probabilities": (
    _given(probabilities=PROBABILITIES / 2),
    "probabilities has a row that sums to 0.5: 1 needed",
  ),
  "negative loss": (
    _given(losses=_changed(CONFIDENCES, (2, 1, 0), -0.5)),
    "losses holds -0.5 at [2, 1]: 0 and above, finite allowed",
  ),
  "infinite loss": (
    _given(losses=_changed(CONFIDENCES, (2, 1, 1), np.inf)),
    "losses holds inf at [2, 1]: 0 and above, finite allowed",
  ),
  "confidence above 1": (
    _given(confidences=_changed(CONFIDENCES, (2, 1, 0), 1.5)),
    "confidences holds 1.5 at [2, 1]: 0 to 1 allowed",
  ),
  "score of nan": (
    _given(scores=_changed(SCORES, (0, 1, 0), np.nan)),
    "scores holds nan at [0, 1]: finite numbers allowed",
  ),
  "integers": (
    _given(scores=np.ones((Q, M), int)),
    "scores has dtype int64: floating point needed",
  ),
  "swapped losses beside labels": (
    _given(losses=SCORES[..., 0].T, membership=MEMBERSHIP.T),
    "losses has shape (8, 6) beside 6 labels: axes look swapped: [examples,"
    " models] needed first, numpy.swapaxes(losses, 0, 1) and membership.T",
  ),
  "four axes of losses": (
    _given(losses=PROBABILITIES),
    "losses has shape (6, 8, 2, 3): [examples, models] or [examples, models,"
    " views] needed",
  ),
  "one output, three classes": (
    _given(logits=LOGITS[..., 0, 0]),
    "logits has shape (6, 8): [examples, models, views, classes] or [examples,"
    " models, classes] needed; one output a model is for labels 0 and 1 alone",
  ),
  "members only": (
    _given(logits=LOGITS, membership=np.ones((Q, M))),
    "membership row 0 has 8 members and 0 non-members: at least 2 of each"
    " needed, or a target that the other models are references for, or one"
    " model alone",
  ),
  "too few references": (
    _given(
      logits=LOGITS[:, :2],
      membership=np.eye(Q, 2, dtype=bool)[:, ::-1] * [1, 0],
    ),
    "membership row 0 has 1 non-members beside target 0: at least 2 needed",
  ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_say_what_would_do(case):
  arrays, line = REFUSED[case]
  assert _refusal(arrays).startswith(line)


def test_more_models_than_examples_without_labels():
  """Nothing tells which axis is which, so it is said how it was read."""
  _, notes = take_in_arrays(
    {"scores": SCORES[..., 0], "membership": MEMBERSHIP}
  )
  assert notes == (
    "scores [6, 8] is read as 6 examples and 8 models; if it is the other way"
    " round, transpose all arrays",
  )


def test_a_square_is_taken_as_it_is():
  given = {"scores": SCORES[:, :Q, 0], "membership": np.eye(Q) + np.eye(Q, k=1)}
  given["membership"][-1, 0] = 1
  file, notes = take_in_arrays(given)
  np.testing.assert_array_equal(file.canaries.membership, given["membership"])
  assert notes == ()


def test_one_column_with_members_is_the_target():
  membership = np.zeros((Q, M), bool)
  membership[::2, 3] = True
  file, notes = take_in_arrays(_given(logits=LOGITS, membership=membership))
  assert file.target == 3
  assert notes == (
    "model 3 alone has members: it is the target, judged by the others as"
    " references",
  )
  # Said by whoever handed it in, it is no news; a single model is no target.
  given = _given(logits=LOGITS, membership=membership, target=np.array(3))
  assert take_in_arrays(given).notes == ()
  one = _given(logits=LOGITS[:, 3:4], membership=membership[:, 3:4])
  assert take_in_arrays(one).file.target is None


def test_a_folder_of_arrays(tmp_path):
  arrays = _given(probabilities=PROBABILITIES)
  for name, array in arrays.items():
    np.save(tmp_path / f"{name}.npy", array)
  np.save(tmp_path / "notes.npy", np.array([{"never": "read"}], object))
  (tmp_path / "readme.txt").write_text("ignored")
  folder, plain = take_in(tmp_path), take_in_arrays(arrays)
  assert folder.notes == plain.notes
  np.testing.assert_array_equal(
    folder.file.canaries.logits, plain.file.canaries.logits
  )
  np.save(tmp_path / "labels.npy", np.array([None], object))
  with pytest.raises(UserError, match=r"labels\.npy: damaged, or no array"):
    take_in(tmp_path)


def test_one_array_without_a_name(tmp_path):
  np.save(tmp_path / "logits.npy", LOGITS)
  with pytest.raises(UserError) as caught:
    take_in(tmp_path / "logits.npy")
  assert str(caught.value) == (
    f"{tmp_path}/logits.npy: one array without a name: write all by"
    " numpy.savez('all.npz', logits=..., labels=..., membership=...), or name a"
    " folder that holds logits.npy, labels.npy and membership.npy"
  )


def test_the_target_that_is_named(tmp_path):
  np.savez(tmp_path / "p.npz", **_given(logits=LOGITS))
  assert take_in(tmp_path / "p.npz", "2").file.target == 2
  for target in ("8", "-1", "two"):
    with pytest.raises(UserError, match=f"target={target}: "):
      take_in(tmp_path / "p.npz", target)


def test_every_form_gives_json(tmp_path):
  """Notes go into a file."""
  _, notes = take_in_arrays(_given(logits=PROBABILITIES.astype(np.float16)))
  assert json.loads(json.dumps(notes)) == list(notes)
