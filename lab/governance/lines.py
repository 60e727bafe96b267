"""What a node imports, one JSON object per line: all of it fits, or the first line that does not is named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from lab.errors import GovernanceError

T = TypeVar("T", bound=BaseModel)

_PLAIN: Final = re.compile(r"[A-Za-z_]{1,32}")


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
            json.loads(line, object_pairs_hook=_once)
        except ValidationError as error:
            raise _unfit(number, error) from None
        except RepeatedNameError:
            raise _unreadable(number, "a name occurs twice", "名称重复") from None
    return found


def read_file(kind: type[T], path: Path) -> list[T]:
    """As ``read_lines``, of a file in UTF-8. Raises ``GovernanceError``: ``file_not_text`` for what is none."""
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            return read_lines(kind, lines)
    except UnicodeDecodeError:
        raise GovernanceError(
            "file_not_text",
            f"{path.name} is not text in UTF-8. Save it as UTF-8, one JSON object per line. Nothing was added.",
            f"{path.name} 不是 UTF-8 文本。请另存为 UTF-8，每行一个 JSON 对象。未作任何添加。",
        ) from None


class RepeatedNameError(Exception):
    """A JSON object that says two things under one name: readers differ on which of them holds (RFC 8259 §4)."""


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise RepeatedNameError


def _unfit(number: int, error: ValidationError) -> GovernanceError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "JSON"
    if first["type"] == "extra_forbidden" and not _PLAIN.fullmatch(where):
        where = "an unknown field"  # its name is the file's own, whatever that holds
    return _unreadable(number, f"{where}: {first['msg']}", f"{where} 有误（{first['msg']}）")


def _unreadable(number: int, english: str, chinese: str) -> GovernanceError:
    return GovernanceError(
        "line_unreadable",
        f"Line {number}: {english}. Nothing was added.",
        f"第 {number} 行：{chinese}。未作任何添加。",
    )
