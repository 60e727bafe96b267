"""The model document: whole, offline, in two languages, with nothing of a host and no applicant in it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from lab.config import load_config
from lab.finish import report_run
from lab.reports import SECTIONS, model_shares, write_report
from lab.runs import train_run
from lab.validation.stored import pack_of_run
from models.bundle import JointModel, load
from models.errors import LianmoError
from tests.lab.conftest import Write

VOID = {"meta", "br", "img", "hr", "link", "input"}


class Page(HTMLParser):
    """Which elements stand open, which ids and links there are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids.add(found.get("id") or "")
        if tag == "a":
            self.links.add((found.get("href") or "").removeprefix("#"))
        if {"src", "srcset"} & set(found) or (tag == "link"):
            self.wrong.append(f"outside: {tag}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids.add(dict(attrs).get("id") or "")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"unbalanced: {tag}")


@pytest.fixture
def run(write_config: Write, files: Path) -> tuple[Path, dict[str, Any]]:
    path = write_config()
    text = path.read_text(encoding="utf-8").replace('name = "small"', 'name = "small"\npurpose = "Shop loans 商户贷款"')
    path.write_text(text, encoding="utf-8")
    return files / "runs" / "small", train_run(load_config(path), Console(quiet=True), finish=(report_run,))


def test_the_page_is_whole_and_stands_alone(run: tuple[Path, dict[str, Any]]) -> None:
    directory, result = run
    text = (directory / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.wrong == []
    assert page.open == []
    assert page.links == set(SECTIONS) - {"groups", "leakage", "value"}
    assert page.links <= page.ids
    assert "<script" not in text
    assert "@import" not in text
    assert "Shop loans 商户贷款" in text
    assert all(english in text and chinese in text for english, chinese in (SECTIONS[s] for s in page.links))
    svgs = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(svgs) >= 5
    for svg in svgs:
        assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert len(re.findall('<figcaption>.+?<span class="zh">.+?</span></figcaption>', text)) == len(svgs)
    assert f"{result['auc']['joint']['value']:.3f}" in text


def test_no_applicant_and_no_feature_of_a_host_is_on_the_page(run: tuple[Path, dict[str, Any]], files: Path) -> None:
    text = (run[0] / "report.html").read_text(encoding="utf-8")
    assert not any(i in text for i in pd.read_csv(files / "bank.csv", dtype={"id": str})["id"])
    assert not any(name in text for name in ("tax, 元", "seized"))
    assert "sector" in text  # the bank's own
    own = load(run[0] / "nodes" / "host-tax" / "stability.json")["features"]
    assert [f["name"] for f in own] == ["tax, 元", "late"]
    told = [f["name"] for f in run[1]["validation"]["features"]]
    assert told[:2] == ["amount", "sector"]
    assert {"host:tax feature 1", "host:court feature 1"} <= set(told)
    assert all(f"<td>{name}</td>" in text for name in told)


def test_the_same_run_gives_the_same_page(run: tuple[Path, dict[str, Any]]) -> None:
    directory, result = run
    before = (directory / "report.html").read_bytes()
    write_report(directory, result)
    assert (directory / "report.html").read_bytes() == before


def test_a_run_measured_again_gives_the_same_pack_and_groups_when_asked(
    run: tuple[Path, dict[str, Any]], files: Path
) -> None:
    directory, result = run
    assert pack_of_run(directory, result).to_json() == result["validation"]
    result["validation"] = pack_of_run(directory, result, "sector").to_json()
    write_report(directory, result)
    names = [g["name"] for g in result["validation"]["groups"]]
    assert names == ["craft", "farm", "trade"]
    assert 'id="groups"' in (directory / "report.html").read_text(encoding="utf-8")
    with pytest.raises(LianmoError, match="no column 'sex'"):
        pack_of_run(directory, result, "sex")
    frame = pd.read_csv(files / "bank.csv", dtype={"id": str})
    frame.head(100).to_csv(files / "bank.csv", index=False)
    with pytest.raises(LianmoError, match="no longer in the bank's file"):
        pack_of_run(directory, result)


def test_shares_of_gain_sum_to_one(run: tuple[Path, dict[str, Any]]) -> None:
    model = JointModel.from_json(load(run[0] / "nodes" / "bank" / "model.json"))
    shares = model_shares(model)
    assert sum(row["gain"] for row in shares["parties"]) == pytest.approx(1)
    assert {row["name"]: row["cuts"] for row in shares["parties"]} == {
        party: model.n_splits(party) for party in ("bank", "host:tax", "host:court")
    }
    bank = shares["parties"][0]
    assert sum(row["cuts"] for row in shares["features"]) == bank["cuts"]
    assert sum(row["gain"] for row in shares["features"]) == pytest.approx(bank["gain"])
