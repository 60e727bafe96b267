"""A data node of several banks: each may use what its applicants consent to, under a project that names all who ask."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from lab.errors import GovernanceError
from lab.governance.catalogue import SAMPLE
from lab.governance.consents import Consent, ConsentLedger
from lab.governance.policy import PolicyBook, Terms
from lab.governance.settings import load_settings
from lab.governance.store import open_store
from lab.horizontal.config import parse_horizontal
from lab.horizontal.runs import train_over_sites
from tests.lab.hybrid.cities import run_file, write_cities

START = datetime(2020, 1, 1, tzinfo=UTC)
HOST = "host:guarantor-suzhou"
ASKERS = ["coordinator", "bank:a", "bank:b"]


class Node:
    """The data node of Suzhou's guarantor."""

    def __init__(self, folder: Path, parties: list[str]) -> None:
        self.frame = write_cities(folder)
        node = folder / "node-guarantor"
        node.mkdir()
        (node / "catalogue.toml").write_text(SAMPLE.read_text("utf-8"), "utf-8")
        cited = "occupation_class = 'SOC-01'"
        (node / "node.toml").write_text(f'party = "{HOST}"\n[citations]\n{cited}', "utf-8")
        engine = open_store(load_settings(node).store)
        book, self.ledger = PolicyBook(engine), ConsentLedger(engine)
        terms = Terms(parties=parties, purposes=["loan_model"], algorithms=["boosting"], min_rows=50)
        book.propose("loans", terms, "Li", START)
        book.decide("loans", "approved", "Wang", START)

    def consent(self, bank: str, to: list[str], wanted: Callable[[int], bool] = lambda _: True) -> list[str]:
        """Those applicants of a bank whose place is ``wanted`` consent to these parties; returns who did."""
        subjects = [s for k, s in enumerate(self.frame.index[self.frame.bank == bank]) if wanted(k)]
        self.ledger.add(
            [
                Consent(
                    consent=f"{to[0][-1]}-{subject}",
                    subject=subject,
                    purpose="loan_model",
                    parties=to,
                    scopes=["social"],
                    starts=START,
                    ends=START + timedelta(days=36_500),
                    evidence="0" * 64,
                )
                for subject in subjects
            ]
        )
        return subjects


def train(folder: Path) -> dict[str, Any]:
    told = run_file()
    [host] = [host for host in told["hosts"] if host["party"] == HOST]
    host |= {"node": "node-guarantor", "project": "loans", "min_rows": 1}
    return train_over_sites(parse_horizontal(told, folder), Console(quiet=True))


def test_consents_to_one_bank_are_no_consents_to_another(tmp_path: Path) -> None:
    node = Node(tmp_path, ASKERS)
    willing = node.consent("bank:a", ["bank:a"], lambda k: k % 4 != 0)
    node.consent("bank:a", ["bank:b"], lambda k: k % 4 == 0)  # to a bank whose applicants they are not
    everybody = node.consent("bank:b", ["bank:b"])
    result = train(tmp_path)
    common = node.frame.index[node.frame.common]
    for bank, subjects in (("bank:a", willing), ("bank:b", everybody)):
        rows = result["sites"][bank]["n_rows"]
        assert rows["fit"] + rows["holdout"] == len(set(subjects) & set(common))
        assert result["hosts"][HOST]["n_rows"][bank] == rows["fit"]
        held_out = pd.read_csv(tmp_path / "runs/memory/nodes" / bank.replace(":", "-") / "scores.csv")["id"]
        assert set(held_out) <= set(subjects)


@pytest.mark.parametrize("missing", ASKERS)
def test_a_project_names_every_bank_and_the_coordinator(tmp_path: Path, missing: str) -> None:
    node = Node(tmp_path, [party for party in ASKERS if party != missing])
    for bank in ("bank:a", "bank:b"):
        node.consent(bank, [bank])
    with pytest.raises(GovernanceError, match=missing) as refused:
        train(tmp_path)
    assert refused.value.code == "party_not_allowed"
    assert not (tmp_path / "runs" / "memory").exists()
