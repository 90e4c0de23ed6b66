"""The peers: the same work as a good PyTorch user writes it.

PyTorch and Opacus are imported inside the functions that need them, so their
types have only names here.
"""

from typing import Any

Tensor = Any  # torch.Tensor
Module = Any  # torch.nn.Module
