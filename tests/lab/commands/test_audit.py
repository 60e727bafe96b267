"""``lianmo audit verify`` and ``lianmo trace`` as people and machines meet them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from lab import cli
from lab.commands import audit
from models.errors import LianmoError
from tests.lab.governance.lending import BANK, RUN, SCORE, TAX, TELECOM, lend
from tests.lab.governance.logs import folder_of
from tests.signing import SUITES


@pytest.fixture(scope="module")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lent")
    lend(root)
    return root


@pytest.fixture
def nodes(lent: Path, tmp_path: Path) -> dict[str, Path]:
    shutil.copytree(lent, tmp_path / "nodes")
    return {party: folder_of(tmp_path / "nodes", party).parent for party in (BANK, TAX, TELECOM)}


@pytest.fixture(autouse=True)
def suites(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "suites_here", lambda: SUITES)
    monkeypatch.setenv("COLUMNS", "150")


def lianmo(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


def cut(node: Path, n_lines: int) -> None:
    path = node / "audit" / "log.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:n_lines]))


def test_a_log_as_it_was_written_is_said_to_be_so_in_two_languages(nodes: dict[str, Path]) -> None:
    for party in nodes:
        shown = lianmo("audit", "verify", nodes[party], "--party", party)
        assert shown.exit_code == 0, shown.output
        assert "as it was written 完好" in shown.output
        assert "尚无他方会签" in shown.output


def test_what_was_done_is_shown_with_whose_it_is_and_an_exit_code(nodes: dict[str, Path]) -> None:
    cut(nodes[BANK], 6)
    alone = lianmo("audit", "verify", nodes[BANK])
    assert alone.exit_code == 0
    shown = lianmo("audit", "verify", nodes[BANK], "--against", nodes[TAX])
    assert shown.exit_code == 1
    assert "host:tax keeps entry 9 of bank's log" in shown.output
    assert "末尾被截断" in shown.output
    machine = lianmo("audit", "verify", nodes[BANK] / "audit" / "log.jsonl", "--against", nodes[TAX], "--json")
    told = json.loads(machine.stdout)
    assert (machine.exit_code, told["intact"], told["entries"]) == (1, False, 6)
    assert [(f["code"], f["about"]) for f in told["findings"] if f["grave"]] == [("cut", BANK)]


def test_a_folder_without_a_log_is_an_error(tmp_path: Path) -> None:
    failed = lianmo("audit", "verify", tmp_path)
    assert isinstance(failed.exception, LianmoError)
    assert failed.exception.code == "audit_missing"


def test_many_findings_are_counted_and_not_all_shown(nodes: dict[str, Path]) -> None:
    shutil.copy(nodes[TAX] / "audit" / "log.jsonl", nodes[BANK] / "audit" / "log.jsonl")
    path = nodes[BANK] / "audit" / "log.jsonl"
    path.write_bytes(path.read_bytes() * 3)
    shown = lianmo("audit", "verify", nodes[BANK], "--party", BANK)
    assert shown.exit_code == 1
    assert "more 另有若干项" in shown.output


def test_a_score_is_traced_as_a_tree(nodes: dict[str, Path]) -> None:
    shown = lianmo("trace", SCORE, *(part for node in nodes.values() for part in ("--node", node)))
    assert shown.exit_code == 0, shown.output
    for text in (
        "score 评分",
        "score answered 应答评分",
        "model 模型",
        "features 特征",
        "consents 授权",
        "keys 密钥",
        "people 经办人",
        "周行长",
    ):
        assert text in shown.output
    assert "not at hand" not in shown.output


def test_a_trace_says_where_the_trail_goes_on_and_which_logs_are_damaged(nodes: dict[str, Path]) -> None:
    path = nodes[BANK] / "audit" / "log.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"n_rows":300', b'"n_rows":299'))
    shown = lianmo("trace", SCORE, "--node", nodes[BANK])
    assert shown.exit_code == 0, shown.output
    assert "the log of bank is not as it was written" in shown.output
    assert f"lianmo trace {RUN}" in shown.output
    assert "bank #10 keeps its head 留存其日志头 #9" in shown.output


def test_a_trace_for_machines_holds_entries_and_verdicts(nodes: dict[str, Path]) -> None:
    told = json.loads(lianmo("trace", SCORE, "--node", nodes[BANK], "--node", nodes[TAX], "--json").stdout)
    assert [log["party"] for log in told["logs"]] == [BANK, TAX]
    assert all(log["intact"] for log in told["logs"])
    assert told["trace"]["name"] == SCORE
    assert told["trace"]["entries"][0]["operator"] == "李雷"
