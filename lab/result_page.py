"""The table that an experiment puts into its RESULT.md; the words around it are written by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

_TABLE: Final = "table"


def put_lines(page: Path, lines: Iterable[str], name: str = _TABLE) -> None:
    """Replace what stands between the page's two marks of this name, ``<!-- name -->`` and ``<!-- /name -->``."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(before + begin + "\n".join(lines) + "\n" + end + after, encoding="utf-8")
