"""The page on the scoring service: both languages show the same, and what it shows is what the code takes."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from lab.decision.loan import Loan
from lab.decision.policy import policy_at
from lab.serving.access.settings import AccessSettings
from lab.serving.hosts import HostsFile
from lab.serving.schemas import ScoreAnswer
from tests.docs.pages import check_command, without_words

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [(DOCS / name).read_text("utf-8") for name in ("serving.md", "serving.zh.md")]


def blocks(page: str) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def fields_of(page: str) -> list[str]:
    """Those of an answer, in the first column of their table."""
    rows = f"| `mode`{page.partition('| `mode`')[2]}".partition("\n\n")[0].splitlines()
    return [name for row in rows for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])]


def test_both_languages_show_the_same() -> None:
    english, chinese = ([without_words(block) for block in blocks(page)] for page in PAGES)
    assert english == chinese
    assert PAGES[0].count("\n## ") == PAGES[1].count("\n## ")
    assert fields_of(PAGES[0]) == fields_of(PAGES[1])


COMMANDS = re.findall(r"^lianmo ((?:.*\\\n)*.*)$", "".join(blocks(PAGES[0])), re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_exists(command: str) -> None:
    check_command("lianmo " + re.sub(r"\\\n", "", command.partition("  # ")[0]), whole=True)


@pytest.mark.parametrize("page", PAGES, ids=["english", "chinese"])
def test_its_files_are_taken_and_its_fields_are_there(page: str) -> None:
    hosts, access = (next(b for b in blocks(page) if b.startswith(f"# {name}.toml")) for name in ("hosts", "access"))
    assert HostsFile.model_validate(tomllib.loads(hosts)).hosts
    assert AccessSettings.model_validate(
        tomllib.loads(re.sub("^# (?=[a-z_]+ = )", "", access, flags=re.MULTILINE))
    ).oauth
    sent = re.search(r"<<END\n(.*?)^END$", page, re.DOTALL | re.MULTILINE)
    assert sent
    loan = json.loads(sent[1].replace("$(date +%F)", "2026-06-01"))["loan"]
    assert policy_at(Path("sample")).product(Loan.model_validate_json(json.dumps(loan)).product)
    assert {"calibration", "decided", "score_id"} <= set(fields_of(page)) <= set(ScoreAnswer.model_fields)
