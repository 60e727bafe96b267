"""Runs in both directions at a hub: data nodes may be asked by a coordinator, and what they make of its terms."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from federation.errors import LocalProtocolError
from lab.errors import ConfigError
from lab.horizontal.config import parse_horizontal
from lab.horizontal.jobs import DataNodeJob, SiteJob, SiteTerms
from lab.horizontal.membership import site_job_of
from models.bundle import load
from tests.lab.hub.harness import HubAtWork, hub_at_work
from tests.lab.hybrid.cities import BANKS, HOSTS, STANDARDS, run_file, write_cities
from tests.lab.membership.test_session import joined

SESSION = "a" * 32
HOST = "host:tax-suzhou"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubAtWork]:
    with hub_at_work(tmp_path_factory.mktemp("hub")) as at_work:
        yield at_work


def test_a_coordinator_asks_banks_and_data_nodes(hub: HubAtWork, tmp_path: Path) -> None:
    parties = ("coordinator", *BANKS, *HOSTS)
    members = {party: hub.joined(tmp_path / party.replace(":", "-"), party) for party in parties}
    hub.flower.outcomes[SESSION] = {party: {"code": ""} for party in parties}
    members["coordinator"].begin(SESSION, parties[1:], {"run": "horizontal"})
    waiting = threading.Event()
    for _ in range(200):
        if members["coordinator"].run(SESSION)["state"] == "done":
            break
        waiting.wait(0.05)
    assert set(members["coordinator"].run(SESSION)["parties"]) == set(parties)
    assert hub.flower.started[-1]["lead"] == "coordinator"


@pytest.fixture
def terms(tmp_path: Path) -> SiteTerms:
    write_cities(tmp_path)
    return SiteTerms.of(parse_horizontal(run_file(), tmp_path))


@pytest.fixture
def data_node(tmp_path: Path) -> Path:
    node = joined(tmp_path / "node", HOST, "host")
    (node / "party.toml").write_text(f'party = "{HOST}"\ndata = "../tax-suzhou.csv"\nmin_rows = 30\n')
    return node


def told(terms: SiteTerms, **changed: Any) -> dict[str, Any]:
    made = terms.model_copy(update=changed).model_dump_json()
    return {"session": SESSION, "ticket": "t", "terms": made}


def test_a_data_nodes_job_is_its_own_file_and_the_banks_of_its_city(data_node: Path, terms: SiteTerms) -> None:
    job = site_job_of(data_node, HOST, told(terms))
    assert isinstance(job, DataNodeJob)
    assert job.banks == ("bank:a", "bank:b")
    assert job.peers == ("coordinator", "bank:a", "bank:b")
    assert job.party.data == (data_node.parent / "tax-suzhou.csv").resolve()
    assert job.party.min_rows == 30
    assert load(job.directory / "job.json")["link"] is None  # the ticket is spent at once


def test_terms_name_no_column_of_a_data_node(terms: SiteTerms) -> None:
    assert not hasattr(terms.hybrid, "standards")
    text = terms.model_dump_json()
    for standard in STANDARDS.values():
        for name in [*standard.get("numbers", ()), *standard.get("levels", {})]:
            assert name not in text
    assert all(party in text for party in (*BANKS, *HOSTS))


def test_terms_that_do_not_fit_are_refused(data_node: Path, terms: SiteTerms) -> None:
    assert terms.hybrid
    suzhou = {"suzhou": terms.hybrid.cities["suzhou"]}
    wuxi = {"wuxi": terms.hybrid.cities["wuxi"]}
    for changed in (
        {"hybrid": None},  # a run over sites has no part for it
        {"hybrid": terms.hybrid.model_copy(update={"cities": wuxi}), "sites": ("bank:c",)},
        {"hybrid": terms.hybrid.model_copy(update={"cities": suzhou})},  # sums over a bank without data nodes
        {"algorithm": "averaging"},  # under another project's leave
        {"coordinator": "bank:a"},
    ):
        with pytest.raises(LocalProtocolError, match="terms"):
            site_job_of(data_node, HOST, told(terms, **changed))
    assert not (data_node / "runs").exists()


def test_a_data_node_without_its_file_says_so(data_node: Path, terms: SiteTerms) -> None:
    (data_node / "party.toml").unlink()
    with pytest.raises(ConfigError) as caught:
        site_job_of(data_node, HOST, told(terms))
    assert caught.value.code == "party_missing"


def test_a_bank_speaks_with_data_nodes_of_its_city_alone(tmp_path: Path, terms: SiteTerms) -> None:
    node = joined(tmp_path / "bank", "bank:c", "guest")
    (node / "site.toml").write_text('party = "bank:c"\ndata = "../c.csv"\nlabel = "bad"\n')
    job = site_job_of(node, "bank:c", told(terms))
    assert isinstance(job, SiteJob)
    assert dict(job.hosts) == {kind: f"host:{kind}-wuxi" for kind in STANDARDS}
    assert job.peers == ("coordinator", "bank:a", "bank:b", *job.hosts.values())
