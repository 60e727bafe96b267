"""A site behind its data node: rows without consent, columns without a legal basis and other projects stay out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from lab.errors import GovernanceError
from lab.governance.catalogue import SAMPLE
from lab.governance.consents import Consent, ConsentLedger
from lab.governance.policy import Algorithm, PolicyBook, Terms
from lab.governance.settings import load_settings
from lab.governance.store import open_store
from lab.horizontal.config import parse_horizontal
from lab.horizontal.runs import train_over_sites
from tests.lab.horizontal.cities import AVERAGE, TREES, run_file, write_sites

START = datetime(2020, 1, 1, tzinfo=UTC)


class Node:
    """The data node of site a: two of three subjects consent."""

    def __init__(self, folder: Path, columns: tuple[str, ...], algorithms: list[Algorithm]) -> None:
        node = folder / "node-a"
        node.mkdir()
        (node / "catalogue.toml").write_text(SAMPLE.read_text("utf-8"), "utf-8")
        told = "".join(f"{json.dumps(column)} = 'SOC-01'\n" for column in columns)
        (node / "node.toml").write_text(f'party = "site:a"\n[citations]\n{told}', "utf-8")
        engine = open_store(load_settings(node).store)
        book, self.ledger = PolicyBook(engine), ConsentLedger(engine)
        terms = Terms(parties=["coordinator"], purposes=["loan_model"], algorithms=algorithms, min_rows=50)
        book.propose("loans", terms, "Li", START)
        book.decide("loans", "approved", "Wang", START)
        ids = sorted(pd.read_csv(folder / "a.csv", dtype={"id": str})["id"])
        self.willing = ids[: len(ids) * 2 // 3]
        self.ledger.add([self.consent(subject) for subject in self.willing])

    def consent(self, subject: str) -> Consent:
        return Consent(
            consent=f"loan_model-{subject}",
            subject=subject,
            purpose="loan_model",
            parties=["coordinator"],
            scopes=["social"],
            starts=START,
            ends=START + timedelta(days=36_500),
            evidence="0" * 64,
        )


def train(folder: Path, **sections: Any) -> dict[str, Any]:
    told = run_file(**sections)
    told["sites"][0] |= {"node": "node-a", "project": "loans", "min_rows": 1}
    return train_over_sites(parse_horizontal(told, folder), Console(quiet=True))


def test_rows_without_consent_are_in_no_part_of_a_run(tmp_path: Path) -> None:
    write_sites(tmp_path)
    node = Node(tmp_path, ("a", "b", "c"), ["averaging"])
    result = train(tmp_path, **AVERAGE)
    rows = result["sites"]["site:a"]["n_rows"]
    assert rows["fit"] + rows["holdout"] == len(node.willing)
    held_out = pd.read_csv(tmp_path / "runs/memory/nodes/site-a/scores.csv")["id"]
    assert set(held_out) <= set(node.willing)


def test_a_project_that_is_for_other_models_is_refused(tmp_path: Path) -> None:
    write_sites(tmp_path)
    Node(tmp_path, ("a", "b", "c"), ["averaging"])
    with pytest.raises(GovernanceError) as refused:
        train(tmp_path, **TREES)
    assert refused.value.code == "algorithm_not_allowed"


def test_a_column_that_cites_no_item_is_refused(tmp_path: Path) -> None:
    write_sites(tmp_path)
    Node(tmp_path, ("a", "b"), ["boosting"])
    with pytest.raises(GovernanceError, match=r"cite no item of catalogue .*: c") as refused:
        train(tmp_path, **TREES)
    assert refused.value.code == "uncatalogued"
    assert not (tmp_path / "runs" / "memory").exists()


def test_a_consent_that_is_withdrawn_while_a_run_goes_on_ends_nothing_said_before(tmp_path: Path) -> None:
    """Rows are admitted when the site opens; who withdraws later is out of the next run."""
    write_sites(tmp_path)
    node = Node(tmp_path, ("a", "b", "c"), ["averaging"])
    before = train(tmp_path, **AVERAGE)["sites"]["site:a"]["n_rows"]
    node.ledger.revoke(f"loan_model-{node.willing[0]}", datetime.now(UTC))
    after = train(tmp_path, **AVERAGE)["sites"]["site:a"]["n_rows"]
    assert sum(after.values()) == sum(before.values()) - 1
