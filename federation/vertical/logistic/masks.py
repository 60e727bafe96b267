"""Masks that hosts add to what they show, which cancel in the sum over hosts, and pads between two hosts.

Every two hosts agree on a key (X25519, RFC 7748; HKDF-SHA-256, RFC 5869) and stretch it to one number per row
(ChaCha20, RFC 8439); one of them adds the numbers, the other subtracts them, modulo 2**64: Bonawitz et al. 2017,
"Practical secure aggregation for privacy-preserving machine learning", §4, without the part for parties that drop out:
here a lost party ends the run. The public keys pass through the guest, which must not exchange them for its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from models.declared import Declared

Masks = NDArray[np.uint64]

CRYPTO: Final = (
    Declared(
        algorithm="X25519",
        key_bits=(256,),
        purpose="key of every two hosts",
        purpose_zh="两数据方间的密钥协商",
        standard="RFC 7748",
        library="cryptography",
    ),
    Declared(
        algorithm="HKDF-SHA256",
        key_bits=(256,),
        purpose="shared key from the agreement",
        purpose_zh="由协商结果派生共享密钥",
        standard="RFC 5869",
        library="cryptography",
    ),
    Declared(
        algorithm="ChaCha20",
        key_bits=(256,),
        purpose="masks that cancel in sums, pads between hosts",
        purpose_zh="求和时相消的掩码、数据方间的一次性掩码",
        standard="RFC 8439",
        library="cryptography",
    ),
)

KEY_BYTES: Final = 32
_PURPOSE: Final = b"lianmo logistic v2"


def generate_key() -> bytes:
    """A fresh private key."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_key(private: bytes) -> bytes:
    """Its public key, 32 bytes."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def agree(private: bytes, others: Sequence[bytes]) -> tuple[bytes, ...]:
    """The key shared with each of ``others``, given by their public keys.

    Raises:
        ValueError: one of them is no public key.
    """
    own = X25519PrivateKey.from_private_bytes(private)
    mine = public_key(private)
    return tuple(
        HKDF(SHA256(), KEY_BYTES, salt=None, info=_PURPOSE + b"".join(sorted((mine, other)))).derive(
            own.exchange(X25519PublicKey.from_public_bytes(other))
        )
        for other in others
    )


class Use(IntEnum):
    """What numbers of a shared key are for; with a turn, they are used once in a run."""

    MARGINS = 0
    FACTORS_OF_FIRST = 1
    FACTORS_OF_SECOND = 2
    PRODUCTS = 3


def numbers(key: bytes, use: Use, turn: int, n: int) -> Masks:
    """What two hosts with this key both know, shape ``(n,)``.

    Args:
        turn: a number used once in a run for this use.
    """
    nonce = bytes(4) + use.to_bytes(4, "little") + turn.to_bytes(8, "little")  # the block counter begins at 0
    stream = Cipher(ChaCha20(key, nonce), mode=None).encryptor().update(bytes(8 * n))
    return np.frombuffer(stream, dtype="<u8").astype(np.uint64)


def masks(shared: Sequence[bytes], adds: Sequence[bool], turn: int, n_rows: int) -> Masks:
    """What a host adds to its margins, shape ``(n_rows,)``, modulo 2**64.

    Args:
        shared: keys shared with the other hosts.
        adds: whether this host adds the numbers of a key; the other one then subtracts them.
        turn: a number used once in a run.
    """
    total: Masks = np.zeros(n_rows, dtype=np.uint64)
    for key, plus in zip(shared, adds, strict=True):
        own = numbers(key, Use.MARGINS, turn, n_rows)
        total = total + own if plus else total - own
    return total
