"""What the secure sum is built of, all from libraries.

Key agreement, authenticated encryption and Shamir's secret sharing are
Flower's (`flwr.common.secure_aggregation.crypto`, on `cryptography` and
`pycryptodome`). The masks are ChaCha20 key streams under the full 256 bits of
a key. Flower's own SecAgg+ workflow is not used: it draws its masks from a
Mersenne Twister that is seeded with 32 bits of the key (flwrlabs/flower, issue
7522), and its clients answer a server that asks for both secrets of one client.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from syndata_jax.errors import UserError

if TYPE_CHECKING:
  from cryptography.hazmat.primitives.asymmetric import ec

SEED_BYTES = 32


class BrokenSecret(Exception):
  """Shares or a ciphertext that nobody honest has sent."""


def new_seed() -> bytes:
  """A fresh secret of 256 bits."""
  return os.urandom(SEED_BYTES)


def new_private_key() -> bytes:
  """A fresh private key on the curve P-256, 32 bytes."""
  from cryptography.hazmat.primitives.asymmetric import ec

  key = ec.generate_private_key(ec.SECP256R1())
  return key.private_numbers().private_value.to_bytes(SEED_BYTES, "big")


def public_key(private: bytes) -> bytes:
  """The public key of a private one, 33 bytes.

  Raises:
    BrokenSecret: no private key.
  """
  from cryptography.hazmat.primitives import serialization

  return (
    _private(private)
    .public_key()
    .public_bytes(
      serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
  )


def agreed_key(private: bytes, public: bytes) -> bytes:
  """What two clients agree on, each by its private and the other's public key.

  Raises:
    BrokenSecret: no such keys.
  """
  from cryptography.hazmat.primitives.asymmetric import ec

  try:
    other = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
  except ValueError as error:
    raise BrokenSecret("a public key that is none") from error
  return _crypto("symmetric_encryption").generate_shared_key(
    _private(private), other
  )


def mask(seed: bytes, size: int, bits: int) -> np.ndarray:
  """A key stream, u64[size], uniform over the integers below 2^bits.

  Args:
    seed: 32 bytes, used for one mask alone; or an agreed key.
    size: entries.
    bits: whole bytes.
  """
  from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

  key = seed if len(seed) == SEED_BYTES else base64.urlsafe_b64decode(seed)
  # A key serves once, hence a nonce of zeros.
  cipher = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None)
  stream = cipher.encryptor().update(bytes(size * bits // 8))
  return unpacked(stream, bits)


def split(secret: bytes, threshold: int, count: int) -> list[bytes]:
  """Shares of a secret, of which `threshold` give it and fewer give nothing."""
  return list(_crypto("shamir").create_shares(secret, threshold, count))


def combine(shares: Sequence[bytes]) -> bytes:
  """The secret of at least as many shares as the threshold.

  Raises:
    BrokenSecret: shares that do not fit together.
  """
  try:
    return bytes(_crypto("shamir").combine_shares(list(shares)))
  except (IndexError, TypeError, ValueError) as error:
    raise BrokenSecret("shares that do not fit together") from error


def encrypt(key: bytes, content: bytes) -> bytes:
  """Authenticated encryption under an agreed key."""
  return bytes(_crypto("symmetric_encryption").encrypt(key, content))


def decrypt(key: bytes, ciphertext: bytes) -> bytes:
  """What was encrypted.

  Raises:
    BrokenSecret: not by who has the key, or changed on its way.
  """
  from cryptography.fernet import InvalidToken

  try:
    return bytes(_crypto("symmetric_encryption").decrypt(key, ciphertext))
  except InvalidToken as error:
    raise BrokenSecret("a ciphertext that was changed") from error


def digest(secret: bytes) -> bytes:
  """What commits to a secret of 256 bits without telling it."""
  return hashlib.sha256(secret).digest()


def packed(values: np.ndarray, bits: int) -> bytes:
  """u64[M] as bits / 8 bytes an entry."""
  octets = values.astype("<u8").view(np.uint8).reshape(-1, 8)
  return octets[:, : bits // 8].tobytes()


def unpacked(content: bytes, bits: int) -> np.ndarray:
  """What was packed, u64[M].

  Raises:
    BrokenSecret: not a whole number of entries.
  """
  width = bits // 8
  if len(content) % width:
    raise BrokenSecret(f"{len(content)} bytes, not {width} an entry")
  octets = np.zeros((len(content) // width, 8), np.uint8)
  octets[:, :width] = np.frombuffer(content, np.uint8).reshape(-1, width)
  return octets.view("<u8").ravel()


def _private(private: bytes) -> ec.EllipticCurvePrivateKey:
  from cryptography.hazmat.primitives.asymmetric import ec

  try:
    return ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())
  except ValueError as error:
    raise BrokenSecret("a private key that is none") from error


def _crypto(module: str) -> Any:
  try:
    if module == "shamir":
      from flwr.common.secure_aggregation.crypto import shamir

      return shamir
    from flwr.common.secure_aggregation.crypto import symmetric_encryption
  except ImportError as error:
    raise UserError(
      "flwr: is not installed; pip install 'syndata_jax[federated]'"
    ) from error
  return symmetric_encryption
