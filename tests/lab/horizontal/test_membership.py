"""Runs over sites at a hub: who may lead them, who is asked, how they end; and what a node makes of their terms."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from federation.errors import LocalProtocolError
from lab.errors import ConfigError, ReportedError
from lab.horizontal.config import parse_horizontal
from lab.horizontal.jobs import CoordinatorJob, SiteJob, SiteTerms, jobs_of, keep_job
from lab.horizontal.membership import site_job_of
from lab.membership.hub_client import Hub
from lab.membership.session import ask_for, job_of
from lab.membership.terms import Terms
from models.bundle import load
from tests.lab.horizontal.cities import SITES, TREES, run_file, write_sites
from tests.lab.hub.harness import HubAtWork, hub_at_work
from tests.lab.membership.test_session import joined

FIRST, SECOND = "a" * 32, "b" * 32


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubAtWork]:
    with hub_at_work(tmp_path_factory.mktemp("hub")) as at_work:
        yield at_work


@pytest.fixture(scope="module")
def members(hub: HubAtWork, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Hub]:
    folder = tmp_path_factory.mktemp("members")
    parties = ("coordinator", "bank", "host:tax", *SITES)
    return {party: hub.joined(folder / party.replace(":", "-"), party) for party in parties}


def until(true: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(200):
        if true():
            return
        waiting.wait(0.05)
    pytest.fail("it did not come to be")


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(ReportedError) as caught:
        call()
    return caught.value.code


def test_only_a_coordinator_leads_sites_and_it_leads_nobody_else(members: dict[str, Hub]) -> None:
    coordinator, bank = members["coordinator"], members["bank"]
    assert refused(lambda: members["site:a"].begin(FIRST, list(SITES[1:]), {})) == "denied"
    assert refused(lambda: bank.begin(FIRST, list(SITES), {})) == "party_absent"
    assert refused(lambda: coordinator.begin(FIRST, ["host:nobody", *SITES], {})) == "party_absent"
    assert refused(lambda: coordinator.begin(FIRST, ["site:nobody", *SITES], {})) == "party_absent"
    assert refused(lambda: coordinator.line_to("host:tax")) == "denied"


@pytest.mark.parametrize(
    ("codes", "state"), [({"site:b": "no_reply"}, "done"), ({"coordinator": "too_few_sites"}, "failed")]
)
def test_a_run_ends_as_its_coordinator_does(
    hub: HubAtWork, members: dict[str, Hub], codes: dict[str, str], state: str
) -> None:
    session = FIRST if state == "done" else SECOND
    parties = ("coordinator", "bank", *SITES)  # a bank with labels may be a site of other runs
    hub.flower.outcomes[session] = {party: {"code": codes.get(party, "")} for party in parties}
    members["coordinator"].begin(session, parties[1:], {"run": "horizontal"})
    until(lambda: members["coordinator"].run(session)["state"] not in ("queued", "running"))
    assert members["coordinator"].run(session)["state"] == state
    assert hub.flower.started[-1]["lead"] == "coordinator"


@pytest.fixture
def terms(tmp_path: Path) -> SiteTerms:
    write_sites(tmp_path)
    return SiteTerms.of(parse_horizontal(run_file(**TREES), tmp_path))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    node = joined(tmp_path / "node", "site:a", "site")
    (node / "site.toml").write_text('party = "site:a"\ndata = "../a.csv"\nlabel = "bad"\nmin_rows = 30\n')
    return node


def told(terms: SiteTerms, **changed: Any) -> dict[str, Any]:
    made = terms.model_copy(update=changed).model_dump_json()
    return {"session": FIRST, "ticket": "t", "terms": made}


def test_a_sites_job_is_its_own_file_and_the_coordinators_terms(site: Path, terms: SiteTerms) -> None:
    job = site_job_of(site, "site:a", told(terms))
    assert isinstance(job, SiteJob)
    assert (job.party.min_rows, job.terms, job.keys) == (30, terms, None)
    assert job.directory == site / "runs" / FIRST
    assert load(job.directory / "job.json")["link"] is None  # the ticket is spent at once


@pytest.mark.parametrize(
    "changed",
    [
        {"sites": ("site:b", "site:c", "site:d")},
        {"sites": ("site:b", "site:a", "site:c")},
        {"sites": ("site:a", "site:a", "site:b", "site:c")},
        {"coordinator": "site:b"},
    ],
)
def test_terms_that_leave_the_site_out_or_count_one_twice_are_refused(
    site: Path, terms: SiteTerms, changed: dict[str, Any]
) -> None:
    with pytest.raises(LocalProtocolError, match="terms"):
        site_job_of(site, "site:a", told(terms, **changed))
    assert not (site / "runs").exists()


def test_a_floor_below_three_is_refused_whatever_the_terms_say(site: Path, terms: SiteTerms) -> None:
    from lab.horizontal.site import open_site
    from models.errors import ModelError
    from tests.federation.horizontal.sites import signings

    low = terms.horizontal.model_copy(update={"min_sites": 2})
    job = site_job_of(site, "site:a", told(terms, horizontal=low))
    assert isinstance(job, SiteJob)
    with pytest.raises(ModelError, match="Set min_sites to 3"):
        open_site(job, signings(3)["bank:00"])


def test_who_has_no_file_for_it_is_no_site(site: Path, terms: SiteTerms) -> None:
    (site / "site.toml").unlink()
    with pytest.raises(ConfigError) as caught:
        site_job_of(site, "site:a", told(terms))
    assert caught.value.code == "site_missing"
    other = Terms(guest="bank", party_seconds=5, answer_seconds=7).model_dump_json()
    assert site_job_of(site, "site:a", {"session": FIRST, "ticket": "t", "terms": other}) is None
    with pytest.raises(ConfigError):  # and a session of another kind needs another file
        job_of(site, "site:a", {"session": FIRST, "ticket": "t", "terms": other})


def test_a_coordinator_leads_only_what_it_asked_for(tmp_path: Path, terms: SiteTerms) -> None:
    node = joined(tmp_path / "lead", "coordinator", "coordinator")
    with pytest.raises(LocalProtocolError) as caught:
        site_job_of(node, "coordinator", told(terms))
    assert caught.value.code == "not_asked"
    job, *_ = jobs_of(parse_horizontal(run_file(**TREES), tmp_path), FIRST, tmp_path / "staging")
    keep_job(job)
    ask_for(node, FIRST, job.directory)
    found = site_job_of(node, "coordinator", told(terms))
    assert isinstance(found, CoordinatorJob)
    assert found.sites == SITES
    assert found.link
    assert found.link.node == node
