"""The page on decisions: both languages show the same, every command exists, every rule is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.decision.verdicts import RULES
from tests.docs.pages import check_command

DOCS = Path(__file__).parents[2] / "docs"
ENGLISH, CHINESE = (DOCS / name for name in ("decisions.md", "decisions.zh.md"))


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_both_languages_show_the_same_commands_and_sections() -> None:
    assert blocks(ENGLISH) == blocks(CHINESE)
    assert ENGLISH.read_text("utf-8").count("\n## ") == CHINESE.read_text("utf-8").count("\n## ")


@pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_every_rule_is_there_in_the_order_of_the_code(page: Path) -> None:
    table = "\n".join(line for line in page.read_text("utf-8").splitlines() if line.startswith("| `"))
    named = [name for name in re.findall(r"`([a-z_]+)`", table) if name in RULES]
    assert list(dict.fromkeys(named)) == list(RULES)


@pytest.mark.parametrize("command", re.findall(r"^lianmo (.*)$", blocks(ENGLISH)[0], re.MULTILINE))
def test_every_command_and_option_exists(command: str) -> None:
    check_command(f"lianmo {command}", whole=True)
