"""Bytes of a round, against those of sending a model.

    2,000 candidates, 784 pixels, 100 clients, 24 bits an entry:
      to a client 6.3 MB, from a client 37 kB
    a ResNet-18 of 11.2 million parameters in float32, each way:
      45 MB

What a client sends is nearly all keys and shares, and its votes are 6 kB of
it; what it receives is nearly all candidates.
"""

from __future__ import annotations

from typing import NamedTuple

from syndata_jax import validate
from syndata_jax.evolution.federated.mechanism import DistributedSkellam

_PUBLIC_KEY = 33  # a compressed point of P-256
_SHARE = 4 + 48  # index, and a padded secret of 32 bytes
_LETTER = 8 + 8 + 4 + 2 * _SHARE
_DIGEST = 32
_NUMBER = 8


class Payload(NamedTuple):
  """Bytes of content of one client in one round, framing not counted.

  Attributes:
    down: to the client.
    up: from the client.
    candidates: of `down`, the embeddings of the candidates.
    votes: of `up`, the masked votes.
  """

  down: int
  up: int
  candidates: int
  votes: int


def payload(
  mechanism: DistributedSkellam, dimension: int, num_classes: int
) -> Payload:
  """Bytes of a round in which all clients take part and none drops out.

  Args:
    mechanism: of the round, of M candidates and U clients.
    dimension: D, of the embeddings.
    num_classes: K.
  """
  validate.whole(1, dimension=dimension, num_classes=num_classes)
  clients, size = mechanism.max_clients, mechanism.num_candidates
  candidates = 4 * size * dimension
  votes = size * mechanism.bits // 8
  letters = (clients - 1) * (_NUMBER + _ciphertext(_LETTER))
  announced = len(mechanism.as_dict()) * _NUMBER
  publics = clients * (_NUMBER + 2 * _PUBLIC_KEY)
  present = clients * _NUMBER
  ballot = candidates + (num_classes + 1) * _NUMBER
  up = 2 * _PUBLIC_KEY + letters + _DIGEST + votes
  return Payload(
    down=announced + publics + letters + ballot + present,
    up=up + clients * (_NUMBER + _SHARE),
    candidates=candidates,
    votes=votes,
  )


def model_payload(num_parameters: int) -> int:
  """Bytes of a model's float32 parameters, sent one way.

  Args:
    num_parameters: of the model.
  """
  validate.whole(1, num_parameters=num_parameters)
  return 4 * num_parameters


def _ciphertext(size: int) -> int:
  """Bytes of a Fernet token: header, padded content, tag, in base 64."""
  padded = 16 * (size // 16 + 1)
  return 4 * -(-(1 + 8 + 16 + padded + 32) // 3)
