"""What an audit's numbers say, and do not say, in plain words."""

from collections.abc import Mapping, Sequence
from typing import Any

from syndata_jax.attack.roc import HEADLINE_FPR
from syndata_jax.reporting.formats import level, percent
from syndata_jax.reporting.variants import describe
from syndata_jax.rounding import rounded_down

# Below it LiRA finds clearly less than with more, where leakage is partial.
_FEW_MODELS = 16

_SUBJECTS = {
  "mislabelled": "mislabelled images",
  "blank": "blank images",
  "out_of_distribution": "out-of-distribution images",
  "clean": "correctly labelled images",
}
_NUMBERS = {1: "one false alarm", 2: "two false alarms", 5: "five false alarms"}


def verdict(attack: Mapping[str, Any], canary_kind: str | None) -> str:
  """The headline of the worst case in a few sentences.

  It speaks of the lowest reported FPR that the number of non-members resolves
  and calls a TPR more than guessing only if its whole 95% interval lies above
  what scores that hold nothing give. Where the headline is not, it does not say
  so before it has looked at the other attacks, corrected for their number, and
  at the bound on epsilon. What it finds bounds leakage from below, never from
  above.

  Args:
    attack: the contents of `attack.json`, of an audit with several models.
    canary_kind: the config field, or None when it is not known.
  """
  canaries = attack["canaries"]
  fpr = resolved_fpr(canaries)
  if fpr is None:
    return (
      f"No verdict: {canaries['nonmembers']:,} non-members are too few for any "
      "of the false positive rates reported."
    )
  tpr = _tpr(canaries["attacks"][0], fpr)
  sentence = (
    f"Of the {subject(canary_kind)} a model was trained on, the attack "
    f"recognises {percent(tpr['value'])} with at most {_odds(fpr)}."
  )
  images = _images_find(attack)
  if tpr["low"] > canaries["chance"][str(fpr)]:
    return f"{sentence} {images}" if images else sentence
  other = _another_finds(canaries) or _epsilon_finds(attack["epsilon_bound"])
  if other is None:
    other = "That is not clearly more than guessing"
    other += "." if images else "; a stronger attack may find more."
  return " ".join(filter(None, [sentence, other, images]))


def notes(attack: Mapping[str, Any]) -> list[str]:
  """What a reader must know before trusting the numbers; often nothing.

  Args:
    attack: the contents of `attack.json`.
  """
  canaries, average = attack["canaries"], attack.get("average")
  candidates = [_too_coarse("canaries", canaries)]
  if average is not None:
    candidates.append(_too_coarse("average case", average))
  candidates.append(_few_models(canaries))
  if "dummies" in attack:
    dummies = attack["dummies"]
    records = [dummies["attacks"][0]]
    records += [
      populations["dummies"]
      for populations in attack.get("images", {}).values()
      if "dummies" in populations
    ]
    candidates.append(_null_leaks(dummies, records))
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


def _few_models(canaries: Mapping[str, Any]) -> str | None:
  models = canaries["models"]
  if models >= _FEW_MODELS:
    return None
  return (
    f"each canary is compared with {models - 1} other models: little is found "
    f"with so few where a model leaks little. Train {_FEW_MODELS} or more "
    "before a low figure is taken for safety."
  )


def _null_leaks(
  dummies: Mapping[str, Any], records: Sequence[Mapping[str, Any]]
) -> str | None:
  """A warning if one of the attacks finds dummies.

  Args:
    dummies: the population.
    records: of it, the headline first, then those of released images.
  """
  fpr = resolved_fpr(dummies)
  if fpr is None:
    return None
  chance = dummies["chance"][str(fpr)]
  rates = [_tpr(record, fpr) for record in records]
  tpr = next((rate for rate in rates if rate["low"] > chance), None)
  if tpr is None:
    return None
  return (
    "of the dummy canaries, on which no model was trained, the attack "
    f"recognises {percent(tpr['value'])} at {level(fpr)} FPR, where guessing "
    f"gives {percent(chance)}: something in the audit is at fault, do not "
    "trust its numbers."
  )


def _another_finds(canaries: Mapping[str, Any]) -> str | None:
  """What another attack shows, at the lowest FPR where one does."""
  for fpr, best in canaries["corrected"].items():
    resolved = float(fpr) >= canaries["smallest_fpr"]
    if resolved and best["low"] > canaries["chance"][fpr]:
      name = describe(canaries["attacks"][best["attack"]])
      count = len(canaries["attacks"])
      return (
        "That alone would not be clearly more than guessing, but the models do "
        f"leak: another attack ({name}) recognises {percent(best['value'])} "
        f"with at most {_odds(float(fpr))}, corrected for the choice of one "
        f"among {count}."
      )
  return None


def _images_find(attack: Mapping[str, Any]) -> str | None:
  """What released images show alone, at the lowest FPR where they do."""
  canaries = attack["canaries"]
  for fpr, best in attack.get("images_corrected", {}).items():
    resolved = float(fpr) >= canaries["smallest_fpr"]
    if resolved and best["low"] > canaries["chance"][fpr]:
      space = best["space"].replace("_of_label", " among those of their label")
      return (
        "The released images alone give members away: by their distance in"
        f" {space}, {percent(best['value'])} are recognised with at most"
        f" {_odds(float(fpr))}, corrected for the choice of one among"
        f" {best['choices']}."
      )
  return None


def _epsilon_finds(bound: Mapping[str, Any]) -> str | None:
  if not bound["epsilon"]:
    return None
  return (
    "That alone would not be clearly more than guessing, but the models do "
    f"leak: epsilon is at least {rounded_down(bound['epsilon'])}."
  )


def _tpr(record: Mapping[str, Any], fpr: float) -> Mapping[str, float]:
  by_level = {float(key): value for key, value in record["tpr_at_fpr"].items()}
  return by_level[fpr]


def _odds(fpr: float) -> str:
  """0.005 as `five false alarms in a thousand`."""
  base, word = (1000, "thousand") if fpr < 0.01 else (100, "hundred")
  count = round(fpr * base)
  return f"{_NUMBERS.get(count, f'{count} false alarms')} in a {word}"
