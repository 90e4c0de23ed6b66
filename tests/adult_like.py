"""People with an income, made up: mixed columns, and a label of interactions.

Whether somebody earns much depends on age *or else* on the kind of work, not on
one of them alone, and a little on the hours. No column's own distribution, of
everybody or of those who earn much, says the former.
"""

import csv
import pathlib

import numpy as np

WORK = ("private", "state", "self", "none")
EDUCATION = ("school", "college", "bachelor", "master", "doctor")
MARITAL = ("single", "married", "widowed")
INCOME = ("<=50K", ">50K")

SCHEMA = {
  "columns": [
    {"name": "age", "type": "integer", "minimum": 17, "maximum": 90},
    {"name": "hours", "type": "integer", "minimum": 1, "maximum": 99},
    {
      "name": "gain",
      "type": "number",
      "minimum": 0,
      "maximum": 99999,
      "scale": "log1p",
    },
    {"name": "work", "type": "category", "values": list(WORK)},
    {"name": "education", "type": "category", "values": list(EDUCATION)},
    {"name": "marital", "type": "category", "values": list(MARITAL)},
    {"name": "income", "type": "category", "values": list(INCOME)},
  ],
  "label": "income",
}


def people(path: pathlib.Path, count: int, seed: int) -> pathlib.Path:
  """Writes so many of them as a table."""
  draw = np.random.default_rng(seed)
  age = np.clip(draw.gamma(6.0, 7.0, count) + 17, 17, 90).astype(int)
  hours = np.clip(draw.normal(40, 12, count), 1, 99).astype(int)
  gain = np.where(draw.random(count) < 0.8, 0, draw.lognormal(8, 1, count))
  gain = np.clip(gain, 0, 99999)
  work = draw.choice(len(WORK), count, p=(0.4, 0.3, 0.2, 0.1))
  education = draw.choice(len(EDUCATION), count, p=(0.3, 0.3, 0.2, 0.15, 0.05))
  marital = draw.choice(len(MARITAL), count, p=(0.4, 0.5, 0.1))
  either = (age > 56) ^ np.isin(work, (1, 2))
  logit = np.where(either, 3.0, -3.0) + 0.05 * (hours - 40)
  income = draw.random(count) < 1 / (1 + np.exp(-logit))
  with path.open("w", newline="") as stream:
    writer = csv.writer(stream)
    writer.writerow(column["name"] for column in SCHEMA["columns"])
    writer.writerows(
      zip(
        age,
        hours,
        np.round(gain, 2),
        np.take(WORK, work),
        np.take(EDUCATION, education),
        np.take(MARITAL, marital),
        np.take(INCOME, income.astype(int)),
        strict=True,
      )
    )
  return path
