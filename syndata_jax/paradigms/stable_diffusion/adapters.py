"""LoRA adapters of the UNet's attention projections, as NumPy arrays.

Hu et al., arXiv 2106.09685: W + (alpha / r) B A, where A and B alone train and
B begins at zero.
"""

from typing import Any

import numpy as np

Adapters = dict[str, np.ndarray]  # f32 arrays by the names of peft

_PROJECTIONS = ["to_q", "to_k", "to_v", "to_out.0"]


def attach(unet: Any, rank: int, alpha: float) -> None:
  """Puts adapters into a UNet of diffusers, whose own weights are frozen."""
  import peft
  import torch

  # peft draws the first adapters, which `put` replaces: not from the state
  # that belongs to others.
  with torch.random.fork_rng():
    unet.add_adapter(
      peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=_PROJECTIONS)
    )
  for parameter in parameters(unet).values():
    parameter.data = parameter.data.float()


def parameters(unet: Any) -> dict[str, Any]:
  """Those of the adapters, by name."""
  named = unet.named_parameters()
  return {name: each for name, each in named if ".lora_" in name}


def fresh(unet: Any, rank: int, random: np.random.Generator) -> Adapters:
  """Adapters that change nothing: A normal with deviation 1 / r, B zero.

  The same on every machine, as torch's own draws are not.

  Args:
    unet: it has adapters.
    rank: r.
    random: the draws.
  """
  arrays = {}
  for name, parameter in parameters(unet).items():
    shape = tuple(parameter.shape)
    zero = np.zeros(shape, np.float32)
    drawn = random.normal(0, 1 / rank, shape).astype(np.float32)
    arrays[name] = drawn if ".lora_A." in name else zero
  return arrays


def put(unet: Any, adapters: Adapters) -> None:
  """Copies adapters into the UNet."""
  import torch

  for name, parameter in parameters(unet).items():
    with torch.no_grad():
      parameter.copy_(torch.from_numpy(adapters[name]))


def get(unet: Any) -> Adapters:
  """A copy of the adapters in the UNet."""
  return {
    name: parameter.detach().float().cpu().numpy().copy()
    for name, parameter in parameters(unet).items()
  }
