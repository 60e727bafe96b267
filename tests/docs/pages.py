"""Pages as tests read them: fenced blocks, commands, tables, links; and whether a command is one of ours."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import typer.main

from lab.cli import app

DOCS = Path(__file__).parents[2] / "docs"


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def chinese(page: Path) -> Path:
    """Its twin."""
    return page.with_suffix(".zh.md")


def blocks(page: Path) -> list[tuple[str, str]]:
    """What stands behind the fence, and the text, in order; indented blocks as if they were not."""
    found = re.findall(r"^( *)```([^\n]*)\n(.*?)^\1```$", text_of(page), re.DOTALL | re.MULTILINE)
    return [(head, re.sub(f"^{indent}", "", text, flags=re.MULTILINE)) for indent, head, text in found]


def block(page: Path, head: str) -> str:
    """The one behind that fence."""
    (found,) = (text for told, text in blocks(page) if told == head)
    return found


def without_words(text: str) -> str:
    """Without comments and what people are called, which the other language says otherwise."""
    return re.sub(r"--(?:owner|by) \"[^\"]*\"", "", re.sub(r"\s*#.*", "", text))


def shown(page: Path) -> list[tuple[str, str]]:
    """Blocks as both languages have them; those without a word behind the fence are pictures."""
    return [(head, without_words(text)) for head, text in blocks(page) if head]


def lines_of(page: Path) -> set[str]:
    """Every command of ours that stands in a block, whole."""
    joined = (re.sub(r"\\\n\s*", "", text) for _, text in blocks(page))
    return {line.partition("  #")[0] for text in joined for line in text.splitlines() if line.startswith("lianmo ")}


def mentions_of(page: Path) -> set[str]:
    """Every command of ours in the text, perhaps without all that it needs; ``a b \\| c`` is two commands."""
    told = set()
    for mention in re.findall(r"`(lianmo [^`]+)`", text_of(page)):
        first, *others = mention.split(r" \| ")
        told |= {first, *(f"{first.rpartition(' ')[0]} {other}" for other in others)}
    return told


def check_command(line: str, *, whole: bool) -> None:
    """Our command line takes it. Raises ``click.UsageError``, ``KeyError`` for a command that is none.

    Args:
        whole: all that the command needs is there, but for what ``…`` stands for.
    """
    words = shlex.split(line.replace("[", "").replace("]", ""))[1:]
    command: click.Command = typer.main.get_command(app)
    context = click.Context(command, info_name="lianmo")
    while isinstance(command, click.Group) and words not in ([], ["…"]):
        command = command.commands[words.pop(0)]
        context = click.Context(command, parent=context)
    if isinstance(command, click.Group):
        return  # all of a group, as in "lianmo node keys …"
    given, left, _ = command.make_parser(context).parse_args(list(words))
    assert not left, f"{line}: nobody takes {left}"
    if whole and "…" not in words:
        missing = [p.name for p in command.params if p.required and p.value_is_missing(given.get(p.name or ""))]
        assert not missing, f"{line}: {missing} missing"


def headings(page: Path) -> list[str]:
    """Of the sections."""
    return re.findall(r"^## (.+)$", text_of(page), re.MULTILINE)


def section(page: Path, number: int) -> str:
    """The text of the section of that number, from 0."""
    return re.split(r"^## .+$", text_of(page), flags=re.MULTILINE)[number + 1]


def anchors(page: Path) -> set[str]:
    """What links may name in it: headings as GitHub makes anchors of them."""
    named = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in named}


def broken_links(page: Path) -> list[str]:
    """Links to files that are not there, or to headings that their page has not."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if "://" not in target and (not file.exists() or (anchor and anchor not in anchors(file))):
            broken.append(target)
    return broken
