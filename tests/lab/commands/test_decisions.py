"""``lianmo decision`` as a risk manager, an applicant and a program meet it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from federation.errors import CipherError
from lab.cli import app
from lab.commands import options
from lab.decision.policy import SAMPLE
from lab.errors import ConfigError, KeysError
from lab.governance import keys as key_module
from tests.lab.decision.cases import edited_text, loan
from tests.lab.decision.reports import ACCOUNT, PASSPHRASE


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv(options.PASSPHRASE, PASSPHRASE)
    monkeypatch.setattr(type(key_module.suite_named("international")), "stretching_cost", 1024)


def lianmo(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def written(**changes: Any) -> Path:
    told = {
        "as_of": "2026-06-01",
        "mode": "joint",
        "default_probability": 0.012,
        "points": 629,
        "band": "A",
        "loan": json.loads(loan().model_dump_json()),
        "account": ACCOUNT,
    }
    Path("case.json").write_text(json.dumps(told | changes), encoding="utf-8")
    return Path("case.json")


def test_the_sample_is_checked_and_its_gaps_are_told() -> None:
    for named in ("sample", SAMPLE):
        done = lianmo("decision", "check", named)
        assert done.exit_code == 0, done.output
        assert "examples come out as wanted" in done.output
    told = json.loads(lianmo("decision", "check", "sample", "--json").stdout)
    assert told["usable"] is True
    assert told["sample"] is True
    assert {f["code"] for f in told["findings"]} == {"partly_priced", "not_shown"}


def test_a_policy_whose_examples_come_out_otherwise_is_not_to_be_used() -> None:
    Path("mine.toml").write_bytes(edited_text(("funding = 0.0200", "funding = 0.0210")))
    done = lianmo("decision", "check", "mine.toml", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["usable"] is False
    assert "do not use it" in lianmo("decision", "check", "mine.toml").output
    assert "Give it a new one" in lianmo("decision", "check", "mine.toml", "--against", "sample").output.replace(
        "\n", " "
    )


def test_a_case_is_tried_for_people_and_for_programs() -> None:
    told = json.loads(lianmo("decision", "try", "sample", written(), "--json").stdout)
    assert (told["verdict"], told["quote"]["limit"], told["quote"]["price"]["rate"]) == ("approve", "800000", "0.0384")
    assert told["made_by"] == ["band", "limit", "price"]
    shown = lianmo("decision", "try", "sample", written(default_probability=0.15, points=570, band="D")).output
    assert "转人工审核" in shown
    assert "授信审批岗" in shown
    assert "非要约" in shown


def test_the_products_are_listed() -> None:
    told = json.loads(lianmo("decision", "products", "sample", "--json").stdout)
    assert [p["code"] for p in told] == ["tax_credit_loan", "park_limit"]
    assert told[0]["price"]["ceiling"] == "0.0700"
    assert "银税互动信用贷" in lianmo("decision", "products", "sample").output


def test_a_running_loans_limit_follows_its_records_and_their_repair() -> None:
    for state, limit in (("active", 300_000), ("repaired", 1_000_000)):
        record = {"severity": "serious", "state": state, "published": "2025-01-31"}
        told = {"as_of": "2026-06-01", "product": "tax_credit_loan", "granted": 1_000_000, "records": [record]}
        Path("loan.json").write_text(json.dumps(told))
        assert json.loads(lianmo("decision", "in-loan", "sample", "loan.json", "--json").stdout)["limit"] == limit
        assert f"{limit:,}" in lianmo("decision", "in-loan", "sample", "loan.json").output
    Path("loan.json").write_text(json.dumps(told | {"granted": -1}))
    assert isinstance(lianmo("decision", "in-loan", "sample", "loan.json").exception, ConfigError)


def test_a_report_is_written_for_its_owner_only_and_verified() -> None:
    assert lianmo("node", "keys", "generate", "--party", "bank").exit_code == 0
    assert lianmo("node", "keys", "export", "--out", "bank.json").exit_code == 0
    files = json.loads(lianmo("decision", "report", "sample", written(), "--out", "out", "--json").stdout)
    assert [Path(f).stat().st_mode & 0o777 for f in files.values()] == [0o600, 0o600]
    asked = ("decision", "verify", files["json"], "--key", "bank.json", "--page", files["html"])
    done = lianmo(*asked)
    assert done.exit_code == 0, done.output
    assert "as signed by" in done.output
    assert "fingerprint" not in done.output
    told = json.loads(lianmo(*asked, "--json").stdout)
    assert (told["intact"], told["page_checked"], told["signed_by"]) == (True, True, "bank")
    assert lianmo(*asked, "--fingerprint", told["fingerprint"].upper()).exit_code == 0
    other = lianmo(*asked, "--fingerprint", "0" * 64)
    assert isinstance(other.exception, KeysError)
    assert other.exception.code == "fingerprint_differs"
    page = Path(files["html"])
    page.write_bytes(page.read_bytes().replace(b"800,000", b"900,000"))
    changed = lianmo(*asked)
    assert isinstance(changed.exception, CipherError)
    assert changed.exception.code == "page_changed"


def test_a_report_needs_an_account_of_the_bank_whose_keys_these_are() -> None:
    lianmo("node", "keys", "generate", "--party", "bank")
    of_other = ACCOUNT | {"bank": ACCOUNT["bank"] | {"party": "bank:other"}}
    for account in (None, of_other):
        done = lianmo("decision", "report", "sample", written(account=account))
        assert isinstance(done.exception, ConfigError | KeysError)
        assert done.exception.code == "account_missing"


@pytest.mark.parametrize(
    "changes",
    [
        {"surprise": 1},
        {"default_probability": 1.5},
        {"default_probability": "0.012"},
        {"default_probability": None},
        {"mode": "guessed"},
        {"loan": {}},
        {"as_of": "June"},
        {"account": {"score_id": ""}},
    ],
)
def test_a_case_that_cannot_be_read_is_named_by_field_and_not_by_value(changes: dict[str, Any]) -> None:
    done = lianmo("decision", "try", "sample", written(**changes))
    assert isinstance(done.exception, ConfigError | KeysError)
    assert done.exception.code == "case_unreadable"
    assert "9000000" not in str(done.exception)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "[" * 100_000, '{"points": 1e99999999999999999999}'])
def test_a_file_that_is_no_case_and_no_report_is_refused(content: str | None) -> None:
    if content is not None:
        Path("case.json").write_text(content)
    for asked in (("try", "sample", "case.json"), ("verify", "case.json", "--key", "case.json")):
        assert isinstance(lianmo("decision", *asked).exception, ConfigError | KeysError)
