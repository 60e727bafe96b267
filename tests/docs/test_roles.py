"""The pages of the roles, and what they share: both languages show the same, every command, file and code is one of
ours. That they work as they stand: ``test_from_nothing``."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from lab.config import parse_config
from lab.governance.consents import Consent
from lab.governance.policy import Terms
from lab.horizontal.config import parse_horizontal
from lab.horizontal.membership import load_own_site
from lab.membership.terms import load_own_side
from lab.serving.schemas import request_schema
from models.binning import fit_bins
from models.table import Table
from tests.docs.pages import (
    DOCS,
    block,
    blocks,
    broken_links,
    check_command,
    chinese,
    headings,
    lines_of,
    mentions_of,
    section,
    shown,
    text_of,
    without_words,
)

ROLES = DOCS / "roles"
NAMES = ("hub-operator", "data-node-officer", "bank-modeller", "sites", "loan-system", "auditor", "researcher")
PAGES = [ROLES / f"{name}.md" for name in NAMES]
ENGLISH = [DOCS / "federation.md", *PAGES]
BOTH = [page for each in ENGLISH for page in (each, chinese(each))]
HUB, OFFICER, BANK, SITES, SYSTEM, _, RESEARCHER = PAGES
#: What every page of a role says, in this order.
SECTIONS = (
    ("What you need", "准备工作"),
    ("From nothing to done", "操作步骤"),
    ("What you will see", "会看到什么"),
    ("What you reveal, and to whom", "向谁透露什么"),
    ("Certificates and keys", "证书与密钥"),
    ("When it fails", "遇到问题时"),
)
ROOT = DOCS.parent
README = ROOT / "README.md"
Twin = Callable[[Path], Path]


def named(page: Path) -> str:
    return page.name


def test_every_role_has_a_page_in_both_languages() -> None:
    assert sorted(page.name for page in ROLES.iterdir()) == sorted(
        p.name for each in PAGES for p in (each, chinese(each))
    )


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_page_of_a_role_says_the_same_six_things(page: Path) -> None:
    assert list(zip(headings(page), headings(chinese(page)), strict=True)) == list(SECTIONS)


@pytest.mark.parametrize("page", ENGLISH, ids=named)
def test_both_languages_show_the_same(page: Path) -> None:
    assert shown(page) == shown(chinese(page))
    assert mentions_of(page) == mentions_of(chinese(page))
    assert len(headings(page)) == len(headings(chinese(page)))
    assert text_of(page).count("\n| ") == text_of(chinese(page)).count("\n| ")


def test_both_readmes_show_the_same_blocks() -> None:
    of_each = ([without_words(text) for head, text in blocks(page)] for page in (README, chinese(README)))
    assert len({tuple(told) for told in of_each}) == 1


@pytest.mark.parametrize("command", sorted(set().union(*map(lines_of, [*ENGLISH, README]))))
def test_every_command_in_a_block_is_whole(command: str) -> None:
    check_command(command, whole=True)


@pytest.mark.parametrize("command", sorted(set().union(*map(mentions_of, [*ENGLISH, README, chinese(README)]))))
def test_every_command_in_the_text_exists(command: str) -> None:
    check_command(command, whole=False)


@pytest.mark.parametrize("page", [*BOTH, README, chinese(README)], ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_codes_to_look_up_are_told_by_the_code(page: Path) -> None:
    sources = "".join(path.read_text("utf-8") for room in ("lab", "federation") for path in (ROOT / room).rglob("*.py"))
    seen = "".join(re.findall(r"^\|([^|]+)\|", section(page, len(SECTIONS) - 1), re.MULTILINE))
    codes = re.findall(r"`([a-z]+(?:_[a-z]+)+)`", seen)
    assert [code for code in codes if f'"{code}"' not in sources] == []


@pytest.mark.parametrize("twin", [Path, chinese], ids=["english", "chinese"])
class TestFilesAreTaken:
    """What the pages show of files, read by what reads them."""

    def test_of_the_officer(self, twin: Twin, tmp_path: Path) -> None:
        page = twin(OFFICER)
        assert Terms.model_validate(tomllib.loads(block(page, "toml terms.toml"))).hours == (8, 20)
        assert TypeAdapter(Consent).validate_json(block(page, "json consents.jsonl")).scopes == ["social"]
        (tmp_path / "party.toml").write_text(block(page, "toml host node/party.toml"), "utf-8")
        assert load_own_side(tmp_path, "host:social").data == tmp_path.parent / "social.csv"

    def test_of_the_modeller(self, twin: Twin, tmp_path: Path) -> None:
        config = parse_config(tomllib.loads(block(twin(BANK), "toml bank run.toml")), tmp_path)
        assert config.transport == "hub"

    def test_of_sites(self, twin: Twin, tmp_path: Path) -> None:
        page = twin(SITES)
        (tmp_path / "site.toml").write_text(block(page, "toml site node/site.toml"), "utf-8")
        assert load_own_site(tmp_path, "site:suzhou").label == "default"
        config = parse_horizontal(tomllib.loads(block(page, "toml coordinator cities.toml")), tmp_path)
        assert len(config.site_names) == 3

    def test_of_the_loan_system(self, twin: Twin) -> None:
        told = json.loads(block(twin(SYSTEM), "json application.json"))
        columns = {name: np.arange(9.0) for name in told["features"]}
        bins = fit_bins(Table(tuple("abcdefghi"), columns), 4)
        assert request_schema(bins).model_validate(told).reasons == 3

    def test_of_the_researcher(self, twin: Twin, capsys: pytest.CaptureFixture[str]) -> None:
        exec(compile(block(twin(RESEARCHER), "python"), "page", "exec"), {})
        assert "host:tax" in capsys.readouterr().out
