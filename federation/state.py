"""What a host remembers between two messages: secret, never a message, dumpable so that a session can be resumed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Self

import msgpack
import numpy as np

_ARRAY: Final = 1


@dataclass(slots=True)
class SecretState:
    """Base of all state. Fields are numbers, text, bytes, tuples of them, or numpy arrays.

    It prints as redacted, and the codec refuses it: it is no ``Message``.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__} redacted>"

    def dump(self) -> bytes:
        """All fields as bytes, for the owner's own disk or memory only."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return bytes(msgpack.packb(values, default=_pack_array, strict_types=False))

    @classmethod
    def load(cls, data: bytes) -> Self:
        """What ``dump`` wrote."""
        values = msgpack.unpackb(data, ext_hook=_unpack_array, use_list=False)
        return cls(**values)


def _pack_array(value: Any) -> msgpack.ExtType:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{type(value).__name__} cannot be kept in a state")
    return msgpack.ExtType(_ARRAY, msgpack.packb([value.dtype.str, value.shape, value.tobytes()]))


def _unpack_array(_code: int, data: bytes) -> Any:
    dtype, shape, raw = msgpack.unpackb(data)
    return np.frombuffer(raw, dtype=np.dtype(dtype)).reshape(shape).copy()
