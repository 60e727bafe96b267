"""Identifiers ↔ tokens: what guest and host must compute alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from federation.ciphers.oprf import POINT_BYTES, InvalidPoint, finalize_all
from federation.errors import PartyId, RemoteProtocolError

TOKEN_BYTES: Final = 16  # 2**-128 per pair of ids: at 10**6 by 10**6 a chance match has probability 3e-27
#: Most identifiers, tokens or positions in one message of alignment; 16,384 points are 512 KiB, the longest message.
#: Enough work to share among many cores, little enough to wait for and to hold.
BATCH: Final = 16_384


def id_bytes(identifier: str) -> bytes:
    """The one encoding of an identifier as OPRF input."""
    return identifier.encode("utf-8")


def token_of(output: bytes) -> bytes:
    """A token from an OPRF output of 64 bytes."""
    return output[:TOKEN_BYTES]


def pieces(data: bytes, size: int) -> Iterable[bytes]:
    """``data`` cut in pieces of ``size`` bytes. Raises ``ValueError`` if it is no multiple."""
    if len(data) % size:
        raise ValueError("length is no multiple of the piece size")
    return (data[i : i + size] for i in range(0, len(data), size))


def tokens_from(host: PartyId, inputs: Sequence[bytes], scalars: Sequence[bytes], evaluated: bytes) -> list[bytes]:
    """Tokens of the guest's own inputs from a host's evaluated points, in the same order.

    Raises:
        RemoteProtocolError: another number of points, or one that is not on the curve.
    """
    if len(evaluated) != len(inputs) * POINT_BYTES:
        raise RemoteProtocolError(host, "bad_value", "answered for another number of ids.", "返回的标识数量不符。")
    try:
        return [token_of(output) for output in finalize_all(inputs, scalars, points_of(evaluated))]
    except InvalidPoint:
        raise RemoteProtocolError(
            host, "bad_point", "sent a point that is not on the curve.", "发送了不在曲线上的点。"
        ) from None


def points_of(data: bytes) -> list[bytes]:
    """Points of a message, not yet checked to be on the curve."""
    return list(pieces(data, POINT_BYTES))
