"""A data node's officer at the command line: from an empty folder to a project that may begin."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from lab.cli import app
from lab.commands.projects import NAMES_ZH
from lab.governance.policy import Terms
from models.errors import LianmoError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ran("init", "--party", "host:tax", "--node", str(tmp_path / "node"))
    return tmp_path / "node"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["node", *arguments])


def ran(*arguments: str) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.exception
    return result.output


def refused(*arguments: str) -> LianmoError:
    error = call(*arguments).exception
    assert isinstance(error, LianmoError)
    return error


def lines(path: Path, *objects: dict[str, Any]) -> str:
    path.write_text("\n".join(json.dumps(o) for o in objects), "utf-8")
    return str(path)


def test_a_new_node_is_for_its_owner_only_and_is_made_once(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {p.name for p in folder.iterdir()} >= {"node.toml", "catalogue.toml", "node.db"}
    assert refused("init", "--party", "host:tax", "--node", str(folder)).code == "node_exists"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("--party", "bank"), "node_unreadable"), (("--party", "host:tax", "--store", "nonsense"), "store_address")],
)
def test_what_cannot_be_a_node_leaves_nothing(tmp_path: Path, arguments: tuple[str, ...], code: str) -> None:
    assert refused("init", *arguments, "--node", str(tmp_path / "node")).code == code
    assert not (tmp_path / "node").exists()


def test_columns_are_checked_against_the_catalogue(folder: Path, tmp_path: Path) -> None:
    pd.DataFrame({"id": ["1", "2"], "insured": [3, 4], "patents": [0, 1]}).to_csv(tmp_path / "tax.csv", index=False)
    check = ("catalogue", str(tmp_path / "tax.csv"), "--node", str(folder))
    assert refused(*check).code == "uncatalogued"
    with (folder / "node.toml").open("a", encoding="utf-8") as settings:
        settings.write('insured = "SOC-01"\npatents = "PAT-01"\n')
    told = json.loads(ran(*check, "--json"))
    assert told["scopes"] == ["social"]
    assert told["columns"]["patents"]["sharing"] == "open"
    assert "Social insurance" in ran(*check)
    with duckdb.connect(str(tmp_path / "city.duckdb")) as city:
        city.execute("CREATE TABLE tax AS SELECT '1' AS id, 3 AS insured, 0 AS patents UNION ALL SELECT '2', 4, 1")
    in_table = ("catalogue", str(tmp_path / "city.duckdb"), "--node", str(folder))
    assert json.loads(ran(*in_table, "--table", "tax", "--json")) == told
    assert refused(*in_table).code == "table_needed"


def test_consents_come_in_and_go_out_and_are_revoked(folder: Path, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    one = {
        "consent": "C-1",
        "subject": "S-1",
        "purpose": "loan_model",
        "parties": ["bank"],
        "scopes": ["tax"],
        "starts": (now - timedelta(days=1)).isoformat(),
        "ends": (now + timedelta(days=1)).isoformat(),
        "evidence": "0" * 64,
    }
    file = lines(tmp_path / "c.jsonl", one, one | {"consent": "C-2"})
    node = ("--node", str(folder))
    assert json.loads(ran("consent", "import", file, "--json", *node)) == {"read": 2, "added": 2}
    assert "0 of 2" in ran("consent", "import", file, *node)
    ran("consent", "revoke", "C-1", *node)
    out = [json.loads(line) for line in ran("consent", "export", *node).splitlines()]
    assert [(c["consent"], c["revoked"] is not None) for c in out] == [("C-1", True), ("C-2", False)]
    assert refused("consent", "revoke", "C-1", *node).code == "consent_revoked"


def test_a_repair_names_who_is_to_be_assessed_again(folder: Path, tmp_path: Path) -> None:
    node = ("--node", str(folder))
    record = {
        "record": "R-1",
        "subject": "S-1",
        "item": "PEN-01",
        "severity": "ordinary",
        "published": "2026-01-05",
        "term_ends": "2026-10-05",
    }
    assert "1 of 1" in ran("records", "import", lines(tmp_path / "r.jsonl", record), *node)
    steps = [
        {"record": "R-1", "change": c, "on": f"2026-0{m}-01"} for c, m in (("repair_requested", 3), ("repaired", 4))
    ]
    told = json.loads(ran("records", "change", lines(tmp_path / "e.jsonl", *steps), "--json", *node))
    assert told == {"changes": 2, "affected_subjects": 1}
    assert ran("records", "affected", "--since", "2026-04-01", "--until", "2026-04-30", *node) == "S-1\n"
    assert ran("records", "affected", "--since", "2026-05-01", "--until", "2026-06-30", *node) == ""
    assert refused("records", "change", lines(tmp_path / "f.jsonl", steps[0]), *node).code == "record_change"


def test_a_repair_that_still_shows_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    repaired = (rng.random(800) < 0.4).astype(int)
    frame = pd.DataFrame(
        {"id": [f"{k:04d}" for k in range(800)], "trace": repaired + rng.normal(size=800), "was": repaired}
    )
    frame.to_csv(tmp_path / "features.csv", index=False)
    found = json.loads(ran("records", "leak-test", str(tmp_path / "features.csv"), "--repaired", "was", "--json"))
    assert found["tells"] is True
    assert found["auc"]["low"] > 0.5


def test_a_project_is_proposed_tried_approved_and_stopped(folder: Path, tmp_path: Path) -> None:
    node = ("--node", str(folder))
    terms = tmp_path / "terms.toml"
    terms.write_text(
        'parties = ["bank"]\npurposes = ["loan_model"]\nalgorithms = ["scorecard"]\nmax_uses = 2\n', "utf-8"
    )
    assert "proposed" in ran("policy", "propose", "loans", str(terms), "--by", "Li", *node)
    trial = (
        "policy",
        "dry-run",
        "loans",
        "--party",
        "bank",
        "--algorithm",
        "scorecard",
        "--rows",
        "100",
        "--json",
        *node,
    )
    told = json.loads(ran(*trial))
    assert (told["allowed"], told["code"]) == (False, "project_not_approved")
    ran("policy", "approve", "loans", "--by", "Wang", *node)
    told = json.loads(ran(*trial))
    assert (told["allowed"], told["uses_left"]) == (True, 2)
    assert {m["message"].partition(".")[0] for m in told["learns"]} >= {"alignment", "binning", "logistic"}
    assert not any(m["en"].lower().startswith("nothing") for m in told["learns"])
    assert "binning.prebin_sums" in ran(*(a for a in trial if a != "--json"))
    terms.write_text(f"{terms.read_text('utf-8')}epsilon = 0.5\nepsilon_total = 4\n", "utf-8")
    ran("policy", "propose", "noisy", str(terms), "--by", "Li", *node)
    ran("policy", "approve", "noisy", "--by", "Wang", *node)
    trial = tuple("noisy" if a == "loans" else a for a in trial)
    told = json.loads(ran(*trial, "--features", "8"))
    assert (told["allowed"], told["epsilon_left"]) == (True, 4.0)
    assert [m["message"] for m in told["learns"] if "Noise of epsilon 0.5" in m["en"]] == ["binning.prebin_sums"]
    told = json.loads(ran(*trial, "--features", "9"))
    assert (told["allowed"], told["code"]) == (False, "epsilon_spent")
    assert "epsilon 0.5 per feature" in ran(*(a for a in trial if a != "--json"))
    shown = json.loads(ran("policy", "show", "noisy", "--json", *node))
    assert (shown["epsilon"], shown["epsilon_total"], shown["epsilon_left"]) == (0.5, 4.0, 4.0)
    ran("policy", "stop", "loans", "--by", "Wang", *node)
    assert json.loads(ran("policy", "show", "loans", "--json", *node))["status"] == "stopped"
    assert refused("policy", "approve", "loans", "--by", "Wang", *node).code == "project_decision"
    terms.write_text("parties = 3\n", "utf-8")
    assert refused("policy", "propose", "more", str(terms), "--by", "Li", *node).code == "terms_unreadable"


def test_every_term_of_a_project_has_a_chinese_name() -> None:
    assert {*NAMES_ZH} == {"project", "status", "epsilon_left", *Terms.model_fields}
