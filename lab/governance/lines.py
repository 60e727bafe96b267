"""What a node imports, one JSON object per line: all of it fits, or the first line that does not is named."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from lab.errors import GovernanceError

T = TypeVar("T", bound=BaseModel)


def read_lines(kind: type[T], lines: Iterable[str]) -> list[T]:
    """Objects from JSON lines; empty lines are passed over.

    Raises:
        GovernanceError: ``line_unreadable`` naming the line and the field, never a value.
    """
    found: list[T] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(kind.model_validate_json(line))
        except ValidationError as error:
            raise _unreadable(number, error) from None
    return found


def read_file(kind: type[T], path: Path) -> list[T]:
    """As ``read_lines``, of a file in UTF-8."""
    with path.open(encoding="utf-8") as lines:
        return read_lines(kind, lines)


def _unreadable(number: int, error: ValidationError) -> GovernanceError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "JSON"
    return GovernanceError(
        "line_unreadable",
        f"Line {number}: {where}: {first['msg']}. Nothing was added.",
        f"第 {number} 行：{where} 有误（{first['msg']}）。未作任何添加。",
    )
