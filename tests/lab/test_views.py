"""Tables show names as they are."""

from __future__ import annotations

import io
from collections.abc import Callable

from rich.console import Console

from lab import views
from lab.doctor import Finding


def shown(show: Callable[..., None], *arguments: object) -> str:
    told = io.StringIO()
    show(Console(file=told, width=160), *arguments)
    return told.getvalue()


def test_brackets_of_names_and_advice_are_no_markup() -> None:
    finding = Finding("tax [yuan]", "[/red]", False, "Fill [citations] in node.toml.", "请填写 [citations]。")
    told = shown(views.findings, [finding])
    assert all(text in told for text in ("✗", "tax [yuan]", "[/red]", "Fill [citations] in", "请填写 [citations]。"))


def test_brackets_of_titles_are_no_markup() -> None:
    assert "Run [a]  of [/b]" in shown(views.title, "Run [a]", "of [/b]")
