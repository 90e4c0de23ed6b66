"""Original archives are recognised by their published MD5."""

import hashlib
import pathlib
from collections.abc import Mapping

from syndata_jax.errors import UserError


def verify(path: pathlib.Path, checksums: Mapping[str, str]) -> None:
  """Compares a file with the checksum its name has in `checksums`.

  MD5 is what the publishers of these archives give. It catches a broken
  download, not a forger, so what is inside is still read with suspicion.

  Raises:
    UserError: the file cannot be read, or has another checksum.
  """
  expected = checksums[path.name]
  try:
    with path.open("rb") as stream:
      got = hashlib.file_digest(stream, _md5).hexdigest()
  except OSError as error:
    raise UserError(f"{path}: cannot be read: {error.strerror}") from error
  if got != expected:
    raise UserError(
      f"{path}: MD5 is {got}: must be {expected}, so this is not the original "
      "file or its download was cut short"
    )


def _md5():
  return hashlib.md5(usedforsecurity=False)
