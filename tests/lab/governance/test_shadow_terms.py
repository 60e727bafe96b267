"""Questions of a model on trial at a data node: only under terms that say so, by consent to a model, at the bank's
expense, and on record as what they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from federation.errors import Refused
from federation.script import run
from federation.transports.memory import MemoryWire
from federation.vertical.publishing.guest import prepare
from federation.vertical.scoring.guest import Scored, score
from lab.config import load_config
from lab.governance.policy import Terms
from lab.runs import train_run
from lab.serving.nodes import scoring_endpoint
from models.bundle import load, save
from tests.lab.governance.test_admission import START
from tests.lab.governance.test_session_record import WORDS, Parties
from tests.lab.serving.test_governed import Bank, both
from tests.signing import cheap_keys

TAX = "host:tax"


@pytest.fixture
def parties(files: Path, write_config: Any, monkeypatch: pytest.MonkeyPatch) -> Parties:
    monkeypatch.setenv("LIANMO_PASSPHRASE", WORDS)
    cheap_keys(monkeypatch)
    return Parties(files, write_config)


def under(parties: Parties, algorithms: Sequence[Any], **changes: Any) -> None:
    """A run under a project of its own at both hosts."""
    told = {"parties": ["bank"], "purposes": ["loan_model", "loan_score"], "algorithms": list(algorithms), **changes}
    for node in (parties.tax, parties.court):
        node.book.propose("trials", Terms(**told), "Li", START)
        node.book.decide("trials", "approved", "Wang", START)
    parties.project = "trials"
    parties.train()


class Asking:
    """The bank, with hosts opened once, as services are."""

    def __init__(self, files: Path) -> None:
        self.bank = Bank(files)
        self.wire = MemoryWire({p: scoring_endpoint(folder).answer for p, folder in self.bank.hosts.items()})

    def ask(self, *applicants: str, shadow: bool, name: str = "q-1") -> Scored:
        return run(score(self.bank.model, self.bank.table(*applicants), 0, name, shadow=shadow), self.wire)


WITH_SHADOW = ("boosting", "scoring", "shadow")


def test_a_project_whose_terms_do_not_say_so_allows_no_shadow(parties: Parties, files: Path) -> None:
    under(parties, ["boosting", "scoring"])
    asking = Asking(files)
    applicant = both(parties, asking.bank)[0]
    with pytest.raises(Refused) as caught:
        asking.ask(applicant, shadow=True)
    assert caught.value.code == "policy"
    refused = parties.said(caught.value.party, "refused")[-1].references
    assert (refused["purpose"], refused["score"], refused["code"]) == ("loan_model", "q-1", "policy")
    assert np.isfinite(asking.ask(applicant, shadow=False).margin).all()  # answers go on


def test_terms_without_it_refuse_it_when_the_model_is_published_and_that_is_on_record(
    parties: Parties, files: Path
) -> None:
    under(parties, ["boosting", "scoring"])
    asking = Asking(files)
    with pytest.raises(Refused) as caught:
        run(prepare(asking.bank.model, shadow=True), asking.wire)
    assert caught.value.code == "policy"
    refused = parties.said(caught.value.party, "refused")[-1].references
    assert (refused["purpose"], refused["code"]) == ("loan_model", "policy")
    run(prepare(asking.bank.model), asking.wire)


def test_publishing_it_costs_nothing_of_the_budget(parties: Parties, files: Path) -> None:
    under(parties, WITH_SHADOW, max_uses=2)  # the run itself is the first
    asking = Asking(files)
    for _ in range(3):
        run(prepare(asking.bank.model, shadow=True), asking.wire)
    assert np.isfinite(asking.ask(both(parties, asking.bank)[0], shadow=True).margin).all()


def test_a_host_may_forbid_what_the_terms_allow(parties: Parties, files: Path) -> None:
    under(parties, WITH_SHADOW)
    asking = Asking(files)
    applicant = both(parties, asking.bank)[0]
    assert np.isfinite(asking.ask(applicant, shadow=True).margin).all()
    path = asking.bank.hosts[TAX] / "job.json"
    job = load(path)
    save(path, {**job, "party": {**job["party"], "shadow": False}})
    with pytest.raises(Refused) as caught:
        Asking(files).ask(applicant, shadow=True)
    assert (caught.value.party, caught.value.code) == (TAX, "policy")


def test_a_shadow_says_the_same_and_stands_on_record_under_its_own_kind_and_name(parties: Parties, files: Path) -> None:
    under(parties, WITH_SHADOW)
    asking = Asking(files)
    applicant = both(parties, asking.bank)[0]
    told = asking.ask(applicant, shadow=False, name="told")
    shadow = asking.ask(applicant, shadow=True, name="aside")
    assert told.margin.tobytes() == shadow.margin.tobytes()
    for party in asking.bank.hosts:
        answered, aside = parties.said(party, "score_answered", "shadow_answered")
        assert [e.kind for e in (answered, aside)] == ["score_answered", "shadow_answered"]
        assert [e.references["score"] for e in (answered, aside)] == ["told", "aside"]
        assert [e.references["purpose"] for e in (answered, aside)] == ["loan_score", "loan_model"]
        assert answered.references["applicant"] == aside.references["applicant"]
        assert answered.references["consent"] != aside.references["consent"]  # of each purpose its own


def test_it_needs_a_consent_to_making_models_whatever_else_the_applicant_allows(parties: Parties, files: Path) -> None:
    under(parties, WITH_SHADOW)
    asking = Asking(files)
    withdrawing, staying = both(parties, asking.bank)[:2]
    parties.tax.revoke(withdrawing, "loan_model")
    assert asking.ask(withdrawing, staying, shadow=True).known[TAX].tolist() == [False, True]
    assert asking.ask(withdrawing, staying, shadow=False).known[TAX].tolist() == [True, True]
    parties.tax.revoke(staying, "loan_score")
    assert asking.ask(withdrawing, staying, shadow=True).known[TAX].tolist() == [False, True]
    assert asking.ask(withdrawing, staying, shadow=False).known[TAX].tolist() == [True, False]


def test_it_is_paid_for_out_of_the_banks_one_budget(parties: Parties, files: Path) -> None:
    under(parties, WITH_SHADOW, max_uses=4)  # the run itself is the first
    asking = Asking(files)
    applicant = both(parties, asking.bank)[0]
    for shadow in (True, False, True):
        asking.ask(applicant, shadow=shadow)
    for shadow in (True, False):
        with pytest.raises(Refused) as caught:
            asking.ask(applicant, shadow=shadow)
        assert caught.value.code == "budget_spent"


def test_without_a_node_a_host_says_in_its_own_section_whether_it_allows_it(files: Path, write_config: Any) -> None:
    train_run(load_config(write_config()), Console(quiet=True))
    asking = Asking(files)
    applicant = sorted(asking.bank.rows.index)[0]
    for folder in asking.bank.hosts.values():
        job = load(folder / "job.json")
        assert job["party"]["shadow"] is None  # the default
    with pytest.raises(Refused, match="policy"):
        asking.ask(applicant, shadow=True)
    for folder in asking.bank.hosts.values():
        job = load(folder / "job.json")
        save(folder / "job.json", {**job, "party": {**job["party"], "shadow": True}})
    Asking(files).ask(applicant, shadow=True)
