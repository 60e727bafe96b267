"""What a pack could not measure, and why: a missing number is never silent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from models.errors import DataError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Note:
    """One reason, in two languages."""

    code: str
    english: str
    chinese: str


@dataclass(slots=True)
class Notes:
    """Collects reasons while a pack is made, each once."""

    kept: list[Note] = field(default_factory=list)

    def add(self, code: str, english: str, chinese: str) -> None:
        note = Note(code, english, chinese)
        if note not in self.kept:
            self.kept.append(note)

    def tried(self, measure: Callable[[], T]) -> T | None:
        """What ``measure`` gives, or None and a note if the data do not allow it."""
        try:
            return measure()
        except DataError as error:
            self.add(error.code, error.english, error.chinese)
            return None
