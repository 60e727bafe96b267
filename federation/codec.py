"""Messages to bytes and back: msgpack ``[version, kind, [field values in order]]``, nothing else, never pickle.

``decode`` trusts nothing: size first, then version, then kind against an allow-list, then every field against its
annotation. What does not fit raises ``RemoteProtocolError`` naming the sender, whose text holds no content.
"""

from __future__ import annotations

import math
from collections.abc import Collection
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
    values = [getattr(message, f.name) for f in fields(message)]
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
    hints = _field_types(cls)
    if not isinstance(values, tuple) or len(values) != len(hints) or not all(map(_fits, values, hints.values())):
        raise RemoteProtocolError(
            sender,
            "bad_value",
            f"sent a {kind} whose fields do not have the agreed types.",
            f"发送的 {kind} 字段类型与约定不符。",
        )
    return cls(**dict(zip(hints, values, strict=True)))


_FIELD_TYPES: Final[dict[type[Message], dict[str, Any]]] = {}


def _field_types(cls: type[Message]) -> dict[str, Any]:
    if cls not in _FIELD_TYPES:
        hints = get_type_hints(cls)
        _FIELD_TYPES[cls] = {f.name: hints[f.name] for f in fields(cls)}
    return _FIELD_TYPES[cls]


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if origin is tuple:
        args = get_args(hint)
        if not isinstance(value, tuple):
            return False
        if len(args) == 2 and args[1] is Ellipsis:
            return all(_fits(v, args[0]) for v in value)
        return len(value) == len(args) and all(map(_fits, value, args))
    if hint is float:
        return type(value) is float and math.isfinite(value)
    if hint is int:  # a 64-bit bound, so that sizes computed from it cannot exhaust memory by surprise
        return type(value) is int and -(2**63) <= value < 2**63
    return type(value) is hint
