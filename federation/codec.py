"""Messages to bytes and back: msgpack ``[version, kind, [field values in order]]``, nothing else, never pickle.

``decode`` trusts nothing: size first, then version, then kind against an allow-list, then every field against its
annotation. What does not fit raises ``RemoteProtocolError`` naming the sender, whose text holds no content.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import fields
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import msgpack

from federation.errors import PartyId, RemoteProtocolError
from federation.messages import PROTOCOL_VERSION, REGISTRY, Message

MAX_MESSAGE_BYTES: Final = 256 * 1024 * 1024


def encode(message: Message) -> bytes:
    """The one wire form of ``message``. Only registered message classes can be encoded; secret state cannot."""
    kind = message.kind
    if REGISTRY.get(kind) is not type(message):
        raise TypeError(f"{type(message).__name__} is not a wire message")
    values = [getattr(message, name) for name in _checks_of(type(message))]
    return bytes(msgpack.packb([PROTOCOL_VERSION, kind, values], use_bin_type=True))


def decode(
    frame: bytes,
    sender: PartyId,
    *,
    allowed: Collection[type[Message]] | None = None,
    max_bytes: int = MAX_MESSAGE_BYTES,
) -> Message:
    """Bytes from ``sender`` to a message.

    Args:
        allowed: message classes accepted here; ``None`` accepts every registered kind.
        max_bytes: frames above this size are refused unread.

    Raises:
        RemoteProtocolError: with code ``too_large``, ``unreadable``, ``wrong_version``, ``unknown_kind`` or
        ``bad_value``.
    """
    if len(frame) > max_bytes:
        raise RemoteProtocolError(
            sender,
            "too_large",
            f"a message of {len(frame):,} bytes is over the limit of {max_bytes:,}.",
            f"消息大小 {len(frame):,} 字节，超过上限 {max_bytes:,}。",
        )
    try:
        version, kind, values = msgpack.unpackb(frame, use_list=False, raw=False, strict_map_key=True)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException):
        raise RemoteProtocolError(
            sender, "unreadable", "sent bytes that are not a message.", "发送的字节不是有效消息。"
        ) from None
    if type(version) is not int or version != PROTOCOL_VERSION:
        raise RemoteProtocolError(
            sender,
            "wrong_version",
            f"speaks another protocol version; ours is {PROTOCOL_VERSION}. Install the same release at all parties.",
            f"使用了不同的协议版本，我方为 {PROTOCOL_VERSION}。请各方安装同一版本。",
        )
    cls = REGISTRY.get(kind) if isinstance(kind, str) else None
    if cls is None or (allowed is not None and cls not in allowed):
        raise RemoteProtocolError(
            sender, "unknown_kind", "sent a kind of message that is not accepted here.", "发送了此处不接受的消息类型。"
        )
    checks = _checks_of(cls)
    if (
        not isinstance(values, tuple)
        or len(values) != len(checks)
        or not all(fits(value) for fits, value in zip(checks.values(), values, strict=True))
    ):
        raise RemoteProtocolError(
            sender,
            "bad_value",
            f"sent a {kind} whose fields do not have the agreed types.",
            f"发送的 {kind} 字段类型与约定不符。",
        )
    return cls(**dict(zip(checks, values, strict=True)))


Check = Callable[[Any], bool]


_CHECKS: Final[dict[type[Message], dict[str, Check]]] = {}


def _checks_of(cls: type[Message]) -> dict[str, Check]:
    """Field → whether a value fits its annotation."""
    if cls not in _CHECKS:
        hints = get_type_hints(cls)
        _CHECKS[cls] = {f.name: _check_of(hints[f.name]) for f in fields(cls)}
    return _CHECKS[cls]


def _check_of(hint: Any) -> Check:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        options = [_check_of(option) for option in args]
        return lambda value: any(fits(value) for fits in options)
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            every = _check_of(args[0])
            return lambda value: type(value) is tuple and all(map(every, value))
        parts = [_check_of(part) for part in args]
        return lambda value: type(value) is tuple and len(value) == len(parts) and all(map(_call, parts, value))
    if hint is float:
        return lambda value: type(value) is float and math.isfinite(value)
    if hint is int:  # a 64-bit bound, so that sizes computed from it cannot exhaust memory by surprise
        return lambda value: type(value) is int and -(2**63) <= value < 2**63
    return lambda value: type(value) is hint


def _call(fits: Check, value: Any) -> bool:
    return fits(value)
