"""Only the table changes."""

from __future__ import annotations

from pathlib import Path

from lab.result_page import put_lines


def test_the_words_around_the_table_stay(tmp_path: Path) -> None:
    page = tmp_path / "RESULT.md"
    page.write_text("# 标题\n\n<!-- table -->\n| old |\n<!-- /table -->\n\nWords.\n", encoding="utf-8")
    for _ in range(2):
        put_lines(page, ["| a |", "|---|", "| 1 |"])
        assert page.read_text(encoding="utf-8") == (
            "# 标题\n\n<!-- table -->\n| a |\n|---|\n| 1 |\n<!-- /table -->\n\nWords.\n"
        )
