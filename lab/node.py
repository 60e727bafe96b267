"""One party's part in one session, on its own machine: load the own file, join, lead or follow, keep the own half.

Every party writes into its own folder only: ``model.json`` or ``half.json``, ``outcome.json``, and ``error.json`` if
it failed.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from federation.audit.host import AuditHost
from federation.endpoint import Endpoint
from federation.messages import Message
from federation.script import Wire
from federation.transports.dialogue import RelayWire, serve_responder
from federation.transports.link import Link
from federation.vertical.boosting.checkpoint import HostCheckpoint
from federation.vertical.boosting.messages import Keep
from federation.vertical.host import ALLOWED, TrainingHost
from lab.checkpoints import Checkpoints
from lab.common_applicants import lead_alignment
from lab.data.sources import check_wishes, data_digest, read_table, source_reference
from lab.failures import Unable, note_error
from lab.forecast import peak_rss_mb
from lab.governance.admission import PURPOSES, Basis, admitted
from lab.governance.session_record import OnRecord, SessionRecord, answered
from lab.horizontal.jobs import is_of_sites, read_job
from lab.horizontal.party import take_part as take_part_of_sites
from lab.jobs import GuestJob, HostJob, Job, LinkSection, load_job
from lab.membership.papers import tls_of
from lab.membership.session import seals_for
from lab.party_processes import TIED, end_with_parent
from lab.workers import party_workers
from models.bundle import Half, load, save
from models.errors import LianmoError
from models.examples import examples_of

log = logging.getLogger("lianmo.node")


def take_part(job: GuestJob | HostJob) -> dict[str, Any]:
    """Join the relay and do this party's part; returns counts only. Raises what went wrong, after noting it."""
    assert job.link
    try:
        with party_workers(job.workers, job.n_jobs), _link(job, job.link) as link:
            if isinstance(job, GuestJob):
                wire = RelayWire(link, deadline_seconds=job.answer_seconds, join_seconds=job.party_seconds)
                return lead(job, wire)
            return _follow(job, link)
    except LianmoError as error:
        note_error(job, error)
        raise


def _link(job: GuestJob | HostJob, told: LinkSection) -> Link:
    """To the relay: in clear on one machine; else over TLS, sealed to those we speak with."""
    party, node = job.party.party, told.node
    if node is None:
        return Link(told.address, told.session, party, told.ticket)
    seals = seals_for(node, job.hosts if isinstance(job, GuestJob) else (job.guest,))
    return Link(told.address, told.session, party, told.ticket, tls=tls_of(node), seals=seals)


# -- host ----------------------------------------------------------------------------------------------------------


def _follow(job: HostJob, link: Link) -> dict[str, Any]:
    try:
        part = open_host(job)
    except LianmoError as error:
        note_error(job, error)
        unable = Endpoint(Unable(error), job.guest, ALLOWED)
        serve_responder(link, lambda frame: (unable.answer(frame)[0], True), job.guest, idle_seconds=job.party_seconds)
        raise
    endpoint = Endpoint(part, job.guest, ALLOWED)
    with part:
        # Longer than the guest waits for others: who is stuck is named by the guest, not by a host that answered.
        serve_responder(link, endpoint.answer, job.guest, idle_seconds=2 * job.answer_seconds)
        kept = keep_half(part)
        if job.link and job.link.node:  # on one machine whoever leads the run does, when all of it is in place
            part.checkpoints.clear()
        return kept


@dataclass(slots=True)
class HostPart(OnRecord):
    """A host's part in one session: its responder, whose refusals go on record before they are told. As a context it
    records an error that ends the session.

    Attributes:
        basis: what the use of its rows rests on; None without a node.
        still: asked before every answer: may the project go on?
        checkpoints: of its half, kept when the guest asks.
    """

    job: HostJob
    host: TrainingHost
    record: SessionRecord
    basis: Basis | None
    still: Callable[[], None]
    checkpoints: Checkpoints

    def answer(self, request: Message) -> Message:
        return answered(request, self._answer, self.still, self.record)

    def _answer(self, request: Message) -> Message:
        reply = self.host.answer(request)
        if isinstance(request, Keep) and self.host.checkpoint:
            self.checkpoints.keep(self.host.checkpoint.dump())
        return reply

    def sealed(self) -> dict[str, Any] | None:
        """What the audit log says of the half, once sealed."""
        half, basis = self.host.half, self.basis
        cited = {"items": basis.items, "catalogue": basis.catalogue} if basis else {}
        return {"half": half.digest(), **cited} if half else None


def open_host(job: HostJob) -> HostPart:
    """The responder over what of this party's file may be used, its audit log open. Raises ``DataError``;
    ``GovernanceError`` of its own node; ``ModelError`` if its earlier half is unreadable; as ``SessionRecord.of``."""
    record = _record(job)
    purpose = PURPOSES[job.algorithm]
    try:
        found = admitted(job.party, read_table(job.party), job.guest, job.algorithm, noted=record.noise_spent)
        check_wishes(job.party, found.table)
        earlier = Half.from_json(load(job.earlier / "half.json")) if job.earlier else None
        checkpoints = Checkpoints.of(job)
        kept = checkpoints.read(HostCheckpoint.load)
    except LianmoError as error:
        record.refused(error, purpose=purpose)
        raise
    data = data_digest(job.party)
    record.opened(found.basis, model=job.model_id, purpose=purpose)
    record.admitted(
        found.table.ids, found.basis, data=data, source=source_reference(job.party), n_refused=found.n_refused
    )
    host = TrainingHost(job.party.party, found.table, found.policy, job.party.prebinning, earlier, kept=kept)
    part = HostPart(job, host, record, found.basis, found.still, checkpoints)
    if record.countersigned:
        host.audit = AuditHost(job.party.party, job.guest, job.model_id, record.keeper(part.sealed))
    return part


def keep_half(part: HostPart) -> dict[str, Any]:
    """Store the host's half of the model in its own folder; returns what may leave it."""
    job, host, half = part.job, part.host, part.host.half
    part.record.end(part.sealed())
    if half:
        save(job.directory / "half.json", half.to_json())
        save(job.directory / "selftest.json", examples_of(half))
    if host.moved:  # with names: for this party alone
        save(job.directory / "stability.json", {"features": [asdict(shift) for shift in host.moved.shifts()]})
    if host.scorecard and host.scorecard.kept:
        save(job.directory / "bins.json", host.scorecard.kept.to_json())
    outcome = {
        "data_digest": data_digest(job.party),
        "n_rows": len(host.table),
        "n_features": len(host.table.columns),
        "n_cuts": len(half.splits) if isinstance(half, Half) else 0,
        "peak_rss_mb": peak_rss_mb(),
        "audit": part.record.said,
    }
    save(job.directory / "outcome.json", outcome)
    return outcome


# -- guest ---------------------------------------------------------------------------------------------------------


def lead(job: GuestJob, wire: Wire) -> dict[str, Any]:
    """The bank's part: alignment alone, a scorecard if the job has a section for it, else boosted trees."""
    with _record(job) as record:
        purpose = PURPOSES["scorecard" if job.scorecard else "boosting"]
        record.opened(model=job.model_id, purpose=purpose, data=data_digest(job.party))
        if job.task == "align":
            done = lead_alignment(job, wire)
            record.end()
            return done
        # Measures, figures and the bank's own models: a host does not load them.
        if job.scorecard:
            from lab.scorecards import lead_scorecard

            return lead_scorecard(job, wire, record)
        from lab.trees import lead_trees

        return lead_trees(job, wire, record)


def _record(job: Job) -> SessionRecord:
    party = job.party
    return SessionRecord.of(
        party.node, party.party, job.model_id, job.parties, job.guest, countersigned=job.countersigned
    )


# -- entry points --------------------------------------------------------------------------------------------------


def begin(path: Path) -> dict[str, Any]:
    """One party's part, of whichever kind of run its job is."""
    return take_part_of_sites(read_job(path)) if is_of_sites(path) else take_part(load_job(path))


def main() -> int:
    """``python -m lab.node JOB.json [--tied]``: the same part without Flower, ending with who started it if tied.
    Returns the exit code."""
    if TIED in sys.argv:
        end_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    try:
        print(json.dumps(begin(Path(sys.argv[1]))))
    except LianmoError as error:
        log.error("%s: %s", error.code, error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
