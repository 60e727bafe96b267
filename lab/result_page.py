"""The table that an experiment puts into its RESULT.md; the words around it are written by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

_BEGIN: Final = "<!-- table -->\n"
_END: Final = "<!-- /table -->"


def put_lines(page: Path, lines: Iterable[str]) -> None:
    """Replace what stands between the page's two marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(before + _BEGIN + "\n".join(lines) + "\n" + _END + after, encoding="utf-8")
