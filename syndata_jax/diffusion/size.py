"""Whether the sets of all models fit into memory: asked before training."""

import math
import os

from syndata_jax.data.training_set import Private
from syndata_jax.diffusion import origins
from syndata_jax.ensemble import Layout, memory
from syndata_jax.errors import UserError

# The rest is for programs, networks and what else runs there.
_USABLE = 0.8


def check(layout: Layout, private: Private, images_per_class: int) -> None:
  """Refuses more images than the memory of devices or host holds.

  A device holds the sets of its own models; the host copies one device's sets
  at a time, which it maps from a file if there are many. CPU devices are the
  host.

  Args:
    layout: which model runs where.
    private: of all models; the images have its sizes.
    images_per_class: of each model; 0 for one for each member.

  Raises:
    UserError: how many would fit.
  """
  one = math.prod(private.images.shape[1:])
  size = origins.count(private, images_per_class)
  share, device = layout.per_device * one, layout.devices[0]
  on_cpu = device.platform == "cpu"
  limits = {"the host": (host_memory(), share)}
  if on_cpu:
    limits = {"the host": (host_memory(), share * (len(layout.devices) + 1))}
  elif (capacity := memory.capacity(device)) is not None:
    limits[f"each {device.device_kind}"] = (capacity, share)
  for where, (limit, each) in limits.items():
    most = int(_USABLE * limit) // each
    if size > most:
      raise UserError(
        f"images_per_class={images_per_class}: {size} images of each model take"
        f" {size * each / 1e9:.3g} GB on {where}, which holds"
        f" {limit / 1e9:.3g} GB: must be 1 to {most // private.num_classes}"
      )


def host_memory() -> int:
  """Bytes of this machine's memory."""
  return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
