"""Reads pickles of plain containers and byte arrays, and nothing else.

A pickle is a program: it may name any importable object and call it. This
reader resolves four names, those that a pickled NumPy array needs, and each to
a stand-in of its own, so that no code of NumPy or of the standard library runs
on what the file says. Every other name is refused before anything is called.
"""

import io
import pickle
from typing import Any

import numpy as np

from syndata_jax.errors import UserError


class _StandIn:
  """An object of the file: it takes any state and acts on none of it."""

  def __init__(self, *ignored: Any):
    del ignored

  def __setstate__(self, state: Any) -> None:
    self.state = state


class _Type(_StandIn):
  """In place of numpy.dtype: only its name is kept."""

  def __init__(self, name: Any, *ignored: Any):
    del ignored
    self.name = name


class _Array(_StandIn):
  """In place of numpy.ndarray and of the function that makes an empty one."""

  def __setstate__(self, state: Any) -> None:
    _, shape, kind, is_fortran, content = state
    if kind.name not in ("u1", b"u1") or not isinstance(content, bytes):
      raise ValueError("an array that is not of bytes")
    self.values = np.frombuffer(content, np.uint8).reshape(
      shape, order="F" if is_fortran else "C"
    )


class _Latin1(_StandIn):
  """In place of _codecs.encode: how Python 3 writes bytes in protocol 2."""

  def __new__(cls, text: Any, encoding: Any) -> Any:
    if encoding != "latin1":
      raise ValueError("a text that is not latin1")
    return text.encode("latin1")


_STAND_INS = {
  ("numpy.core.multiarray", "_reconstruct"): _Array,
  ("numpy._core.multiarray", "_reconstruct"): _Array,
  ("numpy", "ndarray"): _Array,
  ("numpy", "dtype"): _Type,
  ("_codecs", "encode"): _Latin1,
}


class _Unpickler(pickle.Unpickler):
  """Resolves the stand-ins above; `where` names the file in messages."""

  def __init__(self, content: bytes, where: str):
    # Texts written by Python 2 become bytes: the arrays' content is one.
    super().__init__(io.BytesIO(content), encoding="bytes")
    self._where = where

  def find_class(self, module: str, name: str) -> type[_StandIn]:
    if (module, name) not in _STAND_INS:
      raise UserError(
        f"{self._where}: the pickle asks for {module}.{name}: only arrays of "
        "bytes are read, the file is not what it claims to be"
      )
    return _STAND_INS[module, name]


def loads(content: bytes, where: str) -> dict[bytes, Any]:
  """The dictionary that a pickle holds, with its arrays as u8 NumPy arrays.

  Args:
    content: a pickle of one dictionary.
    where: the file, for messages.

  Returns:
    The dictionary; a value that is an array is a read-only u8 one.

  Raises:
    UserError: the pickle names anything but byte arrays, is damaged, or does
      not hold a dictionary.
  """
  try:
    batch = _Unpickler(content, where).load()
    if not isinstance(batch, dict):
      raise ValueError(f"a {type(batch).__name__} in place of a dictionary")
    return {
      key: value.values if isinstance(value, _Array) else value
      for key, value in batch.items()
    }
  except UserError:
    raise
  except Exception as error:  # A damaged pickle can raise nearly anything.
    raise UserError(
      f"{where}: not a readable pickle of a data batch: {error!r}"
    ) from error
