"""One party's part in a run over sites, on its own machine: join, lead or answer, keep what is its own."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from federation.ciphers.suites.choice import suite
from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.horizontal.aggregation.signing import Signing
from federation.messages import REGISTRY
from federation.transports.agreement import Seals
from federation.transports.dialogue import LenientRelayWire, RelayWire, serve_doors, serve_responder
from federation.transports.link import Link
from lab.checkpoints import Checkpoints
from lab.failures import Unable, note_error
from lab.horizontal.coordinator import coordinate
from lab.horizontal.jobs import CoordinatorJob, DataNodeJob, SiteJob, SitesJob
from lab.horizontal.site import keep_site, open_site
from lab.hybrid.host import keep_data_node, open_data_node
from lab.jobs import LinkSection
from lab.membership.papers import seal_key, tls_of
from lab.membership.session import seals_for
from models.errors import LianmoError


def take_part(job: SitesJob) -> dict[str, Any]:
    """Join the relay and do this party's part. Raises what went wrong, after noting it."""
    assert job.link
    try:
        seals = seals_for(job.link.node, job.peers) if job.link.node else None
        with _link(job.link, job.party.party, seals) as link:
            if isinstance(job, CoordinatorJob):
                wire = LenientRelayWire(link, deadline_seconds=job.answer_seconds, join_seconds=job.party_seconds)
                return coordinate(job, wire, seals)
            if isinstance(job, DataNodeJob):
                return _answer_all(job, link)
            return _answer(job, link, seals)
    except LianmoError as error:
        note_error(job, error)
        raise


def _link(told: LinkSection, party: PartyId, seals: Seals | None) -> Link:
    """To the relay: in clear on one machine; else over TLS, sealed to those we speak with."""
    if told.node is None:
        return Link(told.address, told.session, party, told.ticket)
    return Link(told.address, told.session, party, told.ticket, tls=tls_of(told.node), seals=seals)


def signing_of(job: SiteJob, seals: Seals | None = None) -> Signing:
    """What a site signs with in sums, and whose keys it knows, its own among them."""
    if seals and job.link and job.link.node:
        own = seals.suite, suite(seals.suite).verifying_key(seal_key(job.link.node))
        return replace(seals, known={**seals.known, job.party.party: own})
    assert job.keys
    return job.keys.signing


def _answer(job: SiteJob, link: Link, seals: Seals | None) -> dict[str, Any]:
    coordinator = job.terms.coordinator
    to_hosts = RelayWire(link, deadline_seconds=job.answer_seconds, join_seconds=job.terms.party_seconds)
    try:
        part = open_site(job, signing_of(job, seals), to_hosts)
    except LianmoError as error:
        note_error(job, error)
        unable = Endpoint(Unable(error), coordinator, tuple(REGISTRY.values()))
        with suppress(LianmoError):
            idle = job.terms.party_seconds
            serve_responder(link, lambda frame: (unable.answer(frame)[0], True), coordinator, idle_seconds=idle)
        raise
    endpoint = Endpoint(part, coordinator, part.allowed)
    with part:
        # Longer than the coordinator waits for others: who is stuck is left behind by it, not by a site that answered.
        serve_responder(link, endpoint.answer, coordinator, idle_seconds=3 * job.answer_seconds)
        kept = keep_site(part)
        if job.link and job.link.node:  # on one machine whoever leads the run does, when all of it is in place
            Checkpoints.of(job).clear()
        return kept


def _answer_all(job: DataNodeJob, link: Link) -> dict[str, Any]:
    """Whose file cannot be used leaves at once: whoever waits for it is told so."""
    part = open_data_node(job)
    with part:
        serve_doors(link, part.doors, job.terms.coordinator, idle_seconds=3 * job.answer_seconds)
        return keep_data_node(part)
