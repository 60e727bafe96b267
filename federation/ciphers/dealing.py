"""A secret key of ristretto255 that nobody holds: each of n parties deals a secret of its own, the key is their sum.

Pedersen ("A threshold cryptosystem without a trusted party", EUROCRYPT 1991) with Feldman's commitments (FOCS 1987)
and proofs of possession as in FROST's KeyGen (Komlo & Goldberg, SAC 2020, figure 1), without which the last to commit
could choose the sum. Any t parties can use the key, fewer know nothing of it. Proofs are of many secrets at once:
Gennaro, Leigh, Sundaram & Yerazunis, "Batching Schnorr identification scheme", ASIACRYPT 2004, §3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import reduce
from typing import Final

import rbcl

from federation.ciphers.oprf import POINT_BYTES, InvalidPoint, check_point
from federation.ciphers.shamir import SHARE_BYTES
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="distributed key generation on ristretto255 (Pedersen, Feldman; proofs as in FROST KeyGen)",
        key_bits=(252,),
        purpose="key shared by sites that add up encrypted numbers",
        purpose_zh="多站点加密求和的分布式密钥",
        standard="Pedersen 1991; Komlo & Goldberg 2020; RFC 9496",
        library="rbcl",
    ),
    Declared(
        algorithm="SHA-512",
        purpose="challenge of the proof of possession",
        purpose_zh="持有证明的挑战值",
        standard="FIPS 180-4",
        library="hashlib",
    ),
)

PROOF_BYTES: Final = POINT_BYTES + SHARE_BYTES

_scalar_add = rbcl.crypto_core_ristretto255_scalar_add
_scalar_mul = rbcl.crypto_core_ristretto255_scalar_mul


def scalar(number: int) -> bytes:
    """A number below the order as libsodium has it."""
    return number.to_bytes(SHARE_BYTES, "little")


def commitments(coefficients: Sequence[int]) -> bytes:
    """Points that fix a polynomial without showing it (Feldman), 32 bytes each, lowest coefficient first."""
    return b"".join(bytes(rbcl.crypto_scalarmult_ristretto255_base(scalar(c))) for c in coefficients)


def check_points(data: bytes, n: int) -> list[bytes]:
    """Points as they came. Raises ``InvalidPoint`` unless there are ``n``, all valid and none the identity."""
    if len(data) != n * POINT_BYTES:
        raise InvalidPoint
    points = [data[k : k + POINT_BYTES] for k in range(0, len(data), POINT_BYTES)]
    for point in points:
        check_point(point)
    return points


def total(points: Sequence[bytes]) -> bytes:
    """Sum of checked points."""
    return bytes(reduce(rbcl.crypto_core_ristretto255_add, points))


def committed_value(points: Sequence[bytes], holder: int) -> bytes:
    """The point of the share of ``holder``, from checked commitments. Raises ``InvalidPoint`` for the identity."""
    x, found = scalar(holder), points[-1]
    try:
        for point in points[-2::-1]:
            found = rbcl.crypto_core_ristretto255_add(rbcl.crypto_scalarmult_ristretto255(x, found), point)
    except RuntimeError:  # only commitments that were chosen so lead through the identity
        raise InvalidPoint from None
    return bytes(found)


def is_dealt(points: Sequence[bytes], holder: int, share: bytes) -> bool:
    """Whether ``share`` is what the commitments say that ``holder`` gets."""
    if share == bytes(SHARE_BYTES):
        return False
    return bool(committed_value(points, holder) == rbcl.crypto_scalarmult_ristretto255_base(share))


def prove(secrets: Sequence[bytes], publics: Sequence[bytes], context: bytes) -> bytes:
    """That whoever made this knows the secret scalar of every one of ``publics``.

    Schnorr's proof, for one secret that of FROST KeyGen round 1, step 2: R = kG, c = H(context, publics, R),
    z = k + c x_1 + c² x_2 + …
    """
    nonce = rbcl.crypto_core_ristretto255_scalar_random()
    first = bytes(rbcl.crypto_scalarmult_ristretto255_base(nonce))
    challenge, answer = _challenge(context, publics, first), bytes(SHARE_BYTES)
    for secret in reversed(secrets):
        answer = _scalar_mul(challenge, _scalar_add(answer, secret))
    return first + bytes(_scalar_add(nonce, answer))


def is_proven(publics: Sequence[bytes], proof: bytes, context: bytes) -> bool:
    """Whether ``proof`` was made by who knows the secrets of ``publics``, checked points, in the same context."""
    if len(proof) != PROOF_BYTES:
        return False
    first, answer = proof[:POINT_BYTES], proof[POINT_BYTES:]
    try:
        check_point(first)
        challenge, found = _challenge(context, publics, first), bytes(POINT_BYTES)
        for public in reversed(publics):
            found = rbcl.crypto_scalarmult_ristretto255(challenge, rbcl.crypto_core_ristretto255_add(found, public))
        expected = rbcl.crypto_core_ristretto255_add(first, found)
        return bool(rbcl.crypto_scalarmult_ristretto255_base(answer) == expected)
    except (InvalidPoint, RuntimeError):
        return False


def _challenge(context: bytes, publics: Sequence[bytes], first: bytes) -> bytes:
    length = len(context).to_bytes(4, "big")
    digest = hashlib.sha512(b"lianmo possession 1\0" + length + context + b"".join(publics) + first).digest()
    return bytes(rbcl.crypto_core_ristretto255_scalar_reduce(digest))
