"""Original archives are recognised by their published MD5."""

import functools
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
      # Not for security: FIPS builds of OpenSSL refuse MD5 for that.
      md5 = functools.partial(hashlib.md5, usedforsecurity=False)
      checksum = hashlib.file_digest(stream, md5).hexdigest()
  except OSError as error:
    raise UserError(f"{path}: cannot be read: {error.strerror}") from error
  if checksum != expected:
    raise UserError(
      f"{path}: MD5 is {checksum}: must be {expected}, so this is not the "
      "original file or its download was cut short"
    )
