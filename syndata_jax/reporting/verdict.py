"""What an audit's numbers say, and do not say, in plain words."""

from collections.abc import Mapping
from typing import Any

from syndata_jax.attack.roc import HEADLINE_FPR
from syndata_jax.reporting.formats import level, percent

# With shuffled membership, audits of this kind scatter up to about three times
# the FPR; only what lies clearly above points to a fault of the audit.
_NULL_SPREAD = 3

_SUBJECTS = {
  "mislabelled": "mislabelled images",
  "blank": "blank images",
  "out_of_distribution": "out-of-distribution images",
  "clean": "correctly labelled images",
}
_NUMBERS = {1: "one false alarm", 2: "two false alarms", 5: "five false alarms"}


def verdict(canaries: Mapping[str, Any], canary_kind: str | None) -> str:
  """The headline of the worst case as one or two sentences.

  It speaks of the lowest reported FPR that the number of non-members resolves
  and calls a TPR more than guessing only if its whole 95% interval lies above
  that FPR. What it finds bounds leakage from below, never from above.

  Args:
    canaries: the `canaries` record of `attack.json`.
    canary_kind: the config field, or None when it is not known.
  """
  fpr = resolved_fpr(canaries)
  if fpr is None:
    return (
      f"No verdict: {canaries['nonmembers']:,} non-members are too few for any "
      "of the false positive rates reported."
    )
  tpr = _tpr(canaries["attacks"][0], fpr)
  text = (
    f"Of the {subject(canary_kind)} a model was trained on, the attack "
    f"recognises {percent(tpr['value'])} with at most {_odds(fpr)}"
  )
  if tpr["low"] > fpr:
    return f"{text}."
  return (
    f"{text}. That is not clearly more than guessing; a stronger attack may "
    "find more."
  )


def notes(attack: Mapping[str, Any]) -> list[str]:
  """What a reader must know before trusting the numbers; often nothing.

  Args:
    attack: the contents of `attack.json`.
  """
  canaries, average = attack["canaries"], attack.get("average")
  candidates = [_too_coarse("canaries", canaries)]
  if average is not None:
    candidates.append(_too_coarse("average case", average))
  candidates.append(_null_leak(canaries))
  return [note for note in candidates if note]


def subject(canary_kind: str | None) -> str:
  """What one kind of canary is called in a sentence, in the plural."""
  if canary_kind is None:
    return "canaries"
  default = canary_kind.replace("_", " ") + " canaries"
  return _SUBJECTS.get(canary_kind, default)


def resolved_fpr(population: Mapping[str, Any]) -> float | None:
  """The lowest reported FPR not below one false positive, if there is any."""
  levels = map(float, population["attacks"][0]["tpr_at_fpr"])
  smallest = population["smallest_fpr"]
  return min((fpr for fpr in levels if fpr >= smallest), default=None)


def _too_coarse(name: str, population: Mapping[str, Any]) -> str | None:
  smallest = population["smallest_fpr"]
  if smallest <= HEADLINE_FPR:
    return None
  return (
    f"the {population['nonmembers']:,} non-members of the {name} cannot "
    f"resolve an FPR of {level(HEADLINE_FPR)}; one false positive is already "
    f"{level(smallest)}. TPRs below that FPR are those without any."
  )


def _null_leak(canaries: Mapping[str, Any]) -> str | None:
  fpr = resolved_fpr(canaries)
  if fpr is None:
    return None
  tpr = _tpr(canaries["shuffled"], fpr)
  if tpr["low"] <= _NULL_SPREAD * fpr:
    return None
  return (
    f"with shuffled membership the TPR at {level(fpr)} FPR is "
    f"{percent(tpr['value'])}, where guessing gives {level(fpr)}: something "
    "in the audit is at fault, do not trust its numbers."
  )


def _tpr(record: Mapping[str, Any], fpr: float) -> Mapping[str, float]:
  by_level = {float(key): value for key, value in record["tpr_at_fpr"].items()}
  return by_level[fpr]


def _odds(fpr: float) -> str:
  """0.005 as `five false alarms in a thousand`."""
  base, word = (1000, "thousand") if fpr < 0.01 else (100, "hundred")
  count = round(fpr * base)
  return f"{_NUMBERS.get(count, f'{count} false alarms')} in a {word}"
