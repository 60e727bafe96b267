"""Hosts with data nodes behind HTTP and behind a hub: every call asks consent, purpose and budget anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from federation.errors import Refused
from federation.script import Wire, run
from federation.transports.http import HttpWire
from federation.vertical.scoring.guest import Scored, score
from lab.governance.policy import Terms
from lab.membership.lines import LineServer, wire_through_hub
from lab.serving.host_api import create_host_app
from lab.serving.nodes import hosts_beside, joint_model, scoring_endpoint
from lab.serving.server import running
from models.joint import Joint
from models.table import Table
from tests.lab.governance.test_admission import START
from tests.lab.governance.test_session_record import NAMES, WORDS, Parties
from tests.lab.hub.harness import HubAtWork, hub_at_work
from tests.lab.serving.test_through_hub import until_refused
from tests.signing import cheap_keys

SECONDS = 20.0


@pytest.fixture
def parties(files: Path, write_config: Any, monkeypatch: pytest.MonkeyPatch) -> Parties:
    monkeypatch.setenv("LIANMO_PASSPHRASE", WORDS)
    cheap_keys(monkeypatch)
    return Parties(files, write_config)


class Bank:
    """The bank of a finished run, with hosts that it asks one way or the other."""

    def __init__(self, files: Path) -> None:
        self.folder = files / "runs/small/nodes/bank"
        self.model: Joint = joint_model(self.folder)[0]
        self.hosts: Mapping[str, Path] = hosts_beside(self.folder)
        self.rows = pd.read_csv(files / "bank.csv", dtype={"id": str}).set_index("id")

    def table(self, *applicants: str) -> Table:
        rows = self.rows.loc[list(applicants)]
        columns = {b.name: rows[b.name].to_numpy(object if b.category else np.float64) for b in self.model.inputs}
        return Table(applicants, columns)

    def ask(self, wire: Wire, *applicants: str) -> Scored:
        return run(score(self.model, self.table(*applicants)), wire)


@contextmanager
def over_http(bank: Bank) -> Iterator[Wire]:
    with ExitStack() as stack:
        doors = {party: create_host_app(scoring_endpoint(folder)) for party, folder in bank.hosts.items()}
        urls = {party: stack.enter_context(running(door)) for party, door in doors.items()}
        yield stack.enter_context(HttpWire(urls))


@contextmanager
def through_hub(bank: Bank) -> Iterator[Wire]:
    place = bank.folder.parents[3] / "memberships"
    with hub_at_work(place / "hub") as hub:
        servers = []
        for party in ("bank", *bank.hosts):
            hub.joined(place / NAMES[party], party)
        for party, folder in bank.hosts.items():
            servers.append(LineServer(place / NAMES[party], scoring_endpoint(folder)))
            threading.Thread(target=servers[-1].serve, daemon=True).start()
        with wire_through_hub(place / "bank", list(bank.hosts), deadline_seconds=SECONDS) as wire:
            yield wire
        for server in servers:
            server.stop()


ways = pytest.mark.parametrize("way", [over_http, through_hub])


def both(parties: Parties, bank: Bank) -> list[str]:
    """Applicants whom both hosts hold and who consent."""
    return sorted({*parties.tax.willing} & {*parties.court.willing} & {*bank.rows.index})


@ways
def test_a_consent_revoked_between_two_calls_changes_the_second_answer(parties: Parties, files: Path, way: Any) -> None:
    parties.train()
    bank = Bank(files)
    withdrawing, staying = both(parties, bank)[:2]
    with way(bank) as wire:
        before = bank.ask(wire, withdrawing, staying)
        assert {host: known.tolist() for host, known in before.known.items()} == {
            host: [True, True] for host in bank.hosts
        }
        parties.tax.revoke(withdrawing, "loan_score")
        after = bank.ask(wire, withdrawing, staying)
        assert after.known["host:tax"].tolist() == [False, True]
        assert after.known["host:court"].tolist() == [True, True]
        assert np.isnan(after.margin).tolist() == [True, False]
        assert after.margin[1] == before.margin[1]
    answered = parties.said("host:tax", "score_answered")
    assert [e.references["n_rows"] for e in answered] == [2, 1]
    assert answered[0].references["consent_set"] != answered[1].references["consent"]


@ways
def test_what_is_over_the_budget_is_refused_with_its_code_and_on_record(
    parties: Parties, files: Path, way: Any
) -> None:
    terms = Terms(
        parties=["bank", "bank2"],
        purposes=["loan_model", "loan_score"],
        algorithms=["boosting", "scoring"],
        max_uses=3,
    )
    for node in (parties.tax, parties.court):
        node.book.propose("few", terms, "Li", START)
        node.book.decide("few", "approved", "Wang", START)
    parties.project = "few"
    parties.train()  # the first use
    bank = Bank(files)
    applicant = both(parties, bank)[-1]
    with way(bank) as wire:
        for _ in range(2):
            bank.ask(wire, applicant)
        with pytest.raises(Refused) as caught:
            bank.ask(wire, applicant)
    assert caught.value.code == "budget_spent"
    refused = parties.said("host:tax", "refused") + parties.said("host:court", "refused")
    assert {e.references["code"] for e in refused} == {"budget_spent"}
    assert applicant not in parties.path("host:tax").read_text("utf-8")


def test_the_commands_serve_through_a_hub_until_they_are_told_to_stop(parties: Parties, files: Path) -> None:
    parties.train()
    bank = Bank(files)
    place = files / "memberships"
    applicants = both(parties, bank)[:3]
    with over_http(bank) as wire:
        direct = bank.ask(wire, *applicants).margin
    with hub_at_work(place / "hub") as hub, ExitStack() as stack:
        for party in ("bank", *bank.hosts):
            hub.joined(place / NAMES[party], party)
        serving = {party: stack.enter_context(serve(hub, bank, place, party)) for party in bank.hosts}
        with wire_through_hub(place / "bank", list(bank.hosts), deadline_seconds=SECONDS) as wire:
            assert bank.ask(wire, *applicants).margin.tobytes() == direct.tobytes()
            serving["host:tax"].send_signal(signal.SIGTERM)
            assert serving["host:tax"].wait(SECONDS) == 0
            assert until_refused(lambda: bank.ask(wire, *applicants)) == "host:tax"


@contextmanager
def serve(hub: HubAtWork, bank: Bank, place: Path, party: str) -> Iterator[subprocess.Popen[str]]:
    """``lianmo serve`` of a host, once it says that it is there."""
    command = [sys.executable, "-m", "lab.cli", "serve", str(bank.hosts[party]), "--hub", str(place / NAMES[party])]
    environment = {**os.environ, "COLUMNS": "200"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        assert hub.settings.address in process.stdout.readline()
        yield process
        process.kill()
