"""APIs by name, the user's own among them, and settings out of range."""

import jax
import numpy as np
import pytest

from syndata_jax.errors import UserError
from syndata_jax.evolution import apis
from syndata_jax.evolution.apis import ApiOptions

SHAPE = (4, 4, 1)
OWN = """
import jax
from syndata_jax.evolution.api import Api

class Grey(Api):
  traceable = True
  def __init__(self, shape):
    self.shape = shape
  def random(self, key, labels):
    return jax.random.randint(key, (len(labels), *self.shape), 0, 256)
  def variation(self, key, samples, labels, degree):
    return samples

def make(image_shape, num_classes, options):
  return {result}
"""


def own(folder, result):
  path = folder / "own.py"
  path.write_text(OWN.replace("{result}", result))
  return str(path)


def refusal(function, *args, **fields):
  with pytest.raises(UserError) as caught:
    function(*args, **fields)
  assert "\n" not in str(caught.value)
  return str(caught.value)


def test_an_own_api_is_a_file(tmp_path):
  api = apis.create(own(tmp_path, "Grey(image_shape)"), SHAPE, 2, ApiOptions())
  images = api.render(api.random(jax.random.key(0), np.arange(2)))
  assert images.shape == (2, *SHAPE) and api.traceable
  apis.refuse_private(api, np.zeros((1, *SHAPE), np.uint8))


@pytest.mark.parametrize(
  ("result", "expected"),
  [
    ("5", "make returned int, without random, variation, render, inherit"),
    ("1 / 0", "make failed: line 15: ZeroDivisionError: division by zero"),
  ],
)
def test_an_own_api_that_is_wrong(tmp_path, result, expected):
  path = own(tmp_path, result)
  assert expected in refusal(apis.create, path, SHAPE, 2, ApiOptions())


def test_names():
  line = refusal(apis.create, "glyph", SHAPE, 2, ApiOptions())
  assert "api='glyph': must be one of diffusion, garments, glyphs" in line
  assert line.endswith("did you mean glyphs?")
  line = refusal(apis.create, "pool+pool", SHAPE, 2, ApiOptions())
  assert "must name each API once" in line
  line = refusal(apis.create, "glyphs+", SHAPE, 10, ApiOptions())
  assert "api='': must be one of" in line


@pytest.mark.parametrize(
  ("fields", "expected"),
  [
    ({"characters": ""}, "characters='': must be different characters"),
    ({"characters": "00"}, "characters='00': must be different characters"),
    ({"character_size": 0.0}, "character_size=0.0: must be in (0, 2]"),
    ({"condition": "none"}, "condition='none': must be one of label, random"),
    ({"scheduler": "pndm"}, "scheduler='pndm': must be one of ddim"),
    ({"pool_neighbours": 0}, "pool_neighbours=0: must be a whole number"),
    ({"guidance": -1.0}, "guidance=-1.0: must not be negative"),
    ({"source_floor": 1.0}, "source_floor=1.0: must be in [0, 1)"),
  ],
)
def test_a_setting_out_of_range(fields, expected):
  assert expected in refusal(ApiOptions, **fields)


def test_several_compete():
  """Samples of each, and a floor for those that nobody votes for."""
  sources = pytest.importorskip("syndata_jax.evolution.sources")
  options = ApiOptions(pool_crops=2, pool_neighbours=1, source_floor=0.1)
  api = apis.create("glyphs+pool", SHAPE, 10, options)
  assert isinstance(api, sources.Several) and api.floor == 0.1
  assert len(api.public) == 2
