"""One of two processes that train an ensemble together.

    python one_of_two.py PROCESS PORT FOLDER EPOCHS

Each brings two CPU devices. The lead process writes what came out of it to
FOLDER/result.npz.
"""

import dataclasses
import functools
import os
import pathlib
import sys

_DEVICES = "--xla_force_host_platform_device_count=2"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_DEVICES}"

import jax  # noqa: E402
import numpy as np  # noqa: E402
import small  # noqa: E402

from syndata_jax.ensemble import (  # noqa: E402
  Checkpoints,
  hosts,
  predict,
  sgd,
  variables,
)

NUM_MODELS = 5  # over four devices: uneven on purpose


def train_and_query(folder: pathlib.Path, epochs: int) -> dict[str, np.ndarray]:
  """Logits and parameters of an ensemble on all devices there are."""
  engine = small.engine(NUM_MODELS)
  recipe = dataclasses.replace(engine.recipe, num_epochs=epochs)
  engine = engine._replace(recipe=recipe)
  data = small.training_set(NUM_MODELS)
  state = small.learn(
    engine.layout,
    functools.partial(sgd, engine),
    data,
    jax.random.key(3),
    Checkpoints(folder / "ensemble", every=1),
  )
  leaves = jax.tree.leaves(state)
  logits = predict(engine, variables(state), data.images)
  return {"logits": logits} | {str(i): leaf for i, leaf in enumerate(leaves)}


if __name__ == "__main__":
  process, port, folder, epochs = sys.argv[1:]
  jax.distributed.initialize(
    f"localhost:{port}", num_processes=2, process_id=int(process)
  )
  assert len(jax.devices()) == 4 and len(jax.local_devices()) == 2
  result = train_and_query(pathlib.Path(folder), int(epochs))
  if hosts.is_lead():
    np.savez(pathlib.Path(folder) / "result.npz", **result)
