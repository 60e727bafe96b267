"""Oblivious pseudorandom function over ristretto255 with SHA-512, base mode: RFC 9497 (group: RFC 9496, hashing: RFC
9380).

The holder of a key lets another party learn ``F(key, input)`` without learning the input; the other party learns
nothing about F elsewhere. libsodium (through rbcl) does the group arithmetic; points are checked where they enter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import rbcl

from federation.ciphers.workers import cut, spread
from federation.errors import CipherError
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="OPRF(ristretto255, SHA-512), base mode",
        key_bits=(252,),
        purpose="tokens for identifiers, blinded",
        purpose_zh="标识的令牌化与盲化",
        standard="RFC 9497; RFC 9496",
        library="rbcl",
    ),
    Declared(
        algorithm="SHA-512",
        purpose="hashing to the group, output of the OPRF",
        purpose_zh="哈希到群、OPRF 输出",
        standard="FIPS 180-4; RFC 9380",
        library="hashlib",
    ),
)

POINT_BYTES: Final = 32
_CONTEXT: Final = b"OPRFV1-\x00-ristretto255-SHA512"
_DST: Final = b"HashToGroup-" + _CONTEXT
_BLOCK: Final = 128  # SHA-512 input block
_IDENTITY: Final = bytes(POINT_BYTES)


class InvalidPoint(CipherError):
    """Bytes that are not a canonical ristretto255 element, or the identity."""

    def __init__(self) -> None:
        super().__init__("bad_point", "A curve point is not valid. The run stops.", "椭圆曲线点无效，运行已停止。")


def generate_key() -> bytes:
    """A random non-zero scalar."""
    return bytes(rbcl.crypto_core_ristretto255_scalar_random())


def hash_to_group(data: bytes) -> bytes:
    """RFC 9380 ``hash_to_ristretto255`` with the tag of RFC 9497."""
    return bytes(rbcl.crypto_core_ristretto255_from_hash(_expand(data, 64)))


def blind(data: bytes, scalar: bytes | None = None) -> tuple[bytes, bytes]:
    """(blind, blinded element) of an input; ``scalar`` is drawn unless a test vector gives it."""
    chosen = scalar if scalar is not None else generate_key()
    return chosen, bytes(rbcl.crypto_scalarmult_ristretto255(chosen, hash_to_group(data)))


def evaluate(key: bytes, element: bytes) -> bytes:
    """Key holder: the blinded element raised to the key. Raises ``InvalidPoint``."""
    check_point(element)
    return bytes(rbcl.crypto_scalarmult_ristretto255(key, element))


def finalize(data: bytes, scalar: bytes, evaluated: bytes) -> bytes:
    """Asker: the 64-byte output from the evaluated element. Raises ``InvalidPoint``."""
    return _unblind(data, inverses([scalar])[0], evaluated)


def evaluate_own(key: bytes, data: bytes) -> bytes:
    """Key holder: the same output for an input of its own (RFC 9497 ``Evaluate``)."""
    return _output(data, bytes(rbcl.crypto_scalarmult_ristretto255(key, hash_to_group(data))))


def blind_all(inputs: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """``blind`` for many inputs, over all lanes."""
    return [pair for piece in spread(_blind_piece, [(p,) for p in cut(inputs)]) for pair in piece]


def evaluate_all(key: bytes, elements: Sequence[bytes]) -> list[bytes]:
    """``evaluate`` for many elements, over all lanes. Raises ``InvalidPoint``."""
    return [e for piece in spread(_evaluate_piece, [(key, p) for p in cut(elements)]) for e in piece]


def finalize_all(inputs: Sequence[bytes], scalars: Sequence[bytes], evaluated: Sequence[bytes]) -> list[bytes]:
    """``finalize`` for many inputs, over all lanes. Raises ``InvalidPoint``."""
    triples = list(zip(inputs, scalars, evaluated, strict=True))
    return [o for piece in spread(_finalize_piece, [(p,) for p in cut(triples)]) for o in piece]


def evaluate_own_all(key: bytes, inputs: Sequence[bytes]) -> list[bytes]:
    """``evaluate_own`` for many inputs, over all lanes."""
    return [o for piece in spread(_own_piece, [(key, p) for p in cut(inputs)]) for o in piece]


def _blind_piece(inputs: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    return [blind(data) for data in inputs]


def _evaluate_piece(key: bytes, elements: Sequence[bytes]) -> list[bytes]:
    return [evaluate(key, element) for element in elements]


def _finalize_piece(triples: Sequence[tuple[bytes, bytes, bytes]]) -> list[bytes]:
    undo = inverses([scalar for _, scalar, _ in triples])
    return [_unblind(data, inverse, e) for (data, _, e), inverse in zip(triples, undo, strict=True)]


def _own_piece(key: bytes, inputs: Sequence[bytes]) -> list[bytes]:
    return [evaluate_own(key, data) for data in inputs]


def inverses(scalars: Sequence[bytes]) -> list[bytes]:
    """The inverse of every scalar, none of which is zero, for one true inversion and three products each (Montgomery
    1987, §10.3.1). libsodium multiplies in constant time."""
    multiply = rbcl.crypto_core_ristretto255_scalar_mul
    products = list(accumulate(scalars, multiply))  # products[k] = scalars[0] ⋯ scalars[k]
    if not products:
        return []
    rest, found = rbcl.crypto_core_ristretto255_scalar_invert(products[-1]), []
    for scalar, before in zip(scalars[:0:-1], products[-2::-1], strict=True):
        found.append(multiply(rest, before))
        rest = multiply(rest, scalar)
    return [rest, *reversed(found)]


def check_point(element: bytes) -> None:
    """Raises ``InvalidPoint`` unless ``element`` is a canonical encoding of a point other than the identity."""
    if len(element) != POINT_BYTES or element == _IDENTITY or not rbcl.crypto_core_ristretto255_is_valid_point(element):
        raise InvalidPoint


def _unblind(data: bytes, inverse: bytes, evaluated: bytes) -> bytes:
    check_point(evaluated)
    return _output(data, bytes(rbcl.crypto_scalarmult_ristretto255(inverse, evaluated)))


def _output(data: bytes, element: bytes) -> bytes:
    length = len(data).to_bytes(2, "big")
    return hashlib.sha512(length + data + POINT_BYTES.to_bytes(2, "big") + element + b"Finalize").digest()


def _expand(data: bytes, n_bytes: int) -> bytes:
    """RFC 9380 §5.3.1 ``expand_message_xmd`` for one block of SHA-512 (``n_bytes <= 64``)."""
    dst = _DST + len(_DST).to_bytes(1, "big")
    first = hashlib.sha512(bytes(_BLOCK) + data + n_bytes.to_bytes(2, "big") + b"\x00" + dst).digest()
    return hashlib.sha512(first + b"\x01" + dst).digest()[:n_bytes]
