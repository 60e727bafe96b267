"""What checkpoints of parties have in common, whichever way a model is split: the same rows or no resuming."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

from federation.errors import LocalProtocolError
from federation.state import SecretState
from models.declared import Declared
from models.losses import Floats
from models.table import Table

CRYPTO: Final = (
    Declared(
        algorithm="SHA-256",
        purpose="digest of a party's rows, by which a run that is resumed is known to have the same",
        purpose_zh="数据行摘要，用于确认恢复的运行所用数据行未变",
        standard="FIPS 180-4",
        library="hashlib",
    ),
)


class Keeping(Protocol):
    """Where the checkpoints of whoever leads a run go, and when."""

    def due(self) -> bool:
        """Asked after each tree that others follow: is it time?"""
        ...

    def keep(self, checkpoint: SecretState) -> None:
        """The others have kept their own by now."""
        ...


def need_same_rows(then: str, now: str) -> None:
    """Raises ``LocalProtocolError`` (``rows_changed``) unless both digests are one."""
    if then != now:
        raise LocalProtocolError(
            "rows_changed",
            "This party's rows, their values or its rules are no longer those the run began with: an applicant was "
            "withdrawn or added, a value or a rule was changed. The model would not be the same, so the run is not "
            "resumed. Drop it ('lianmo runs drop') and train anew.",
            "本方的数据行、取值或规则与运行开始时不同（申请人被撤回或新增，或取值、规则有变）。"
            "继续训练将得到不同的模型，因此不予恢复。请丢弃该运行（lianmo runs drop）并重新训练。",
        )


def rows_digest(table: Table, terms: Mapping[str, Any], *more: Floats | None) -> str:
    """SHA-256 of rows in their order, with their values and what else a party's part of the model follows from.

    It is kept beside the half and never told: ids and values could be guessed from it.

    Args:
        terms: rules or parameters, JSON-compatible.
        more: an array per row, such as labels.
    """
    found = hashlib.sha256()

    def add(data: bytes) -> None:
        found.update(len(data).to_bytes(8, "big") + data)

    add(json.dumps([terms, table.ids, list(table.columns)], sort_keys=True).encode())
    for column in table.columns.values():
        add(json.dumps(column.tolist()).encode() if column.dtype == object else column.tobytes())
    for array in more:
        add(b"" if array is None else array.tobytes())
    return found.hexdigest()
