"""What was made with a key, once it is revoked: every record that names it (emergency, 应急处理)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def affected(records: Iterable[Any], key_id: str) -> Iterator[int]:
    """Positions of the JSON records that name the key, at whatever depth: as the value of a field ``key_id`` or of one
    that ends in ``_key_id``. Records are read once and not kept, so they may be a long log."""
    for position, record in enumerate(records):
        if _names(record, key_id):
            yield position


def _names(value: Any, key_id: str) -> bool:
    if isinstance(value, dict):
        return any(
            (inner == key_id and (name == "key_id" or str(name).endswith("_key_id"))) or _names(inner, key_id)
            for name, inner in value.items()
        )
    return isinstance(value, list | tuple) and any(_names(inner, key_id) for inner in value)
