"""A data node's part in a run in both directions: a door for the coordinator, and one for every bank it serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.hybrid.host import ALLOWED as OF_COORDINATOR
from federation.hybrid.host import HybridHost
from federation.hybrid.seat import ALLOWED as OF_BANK
from federation.hybrid.seat import Seat
from federation.messages import Message
from federation.script import Responder
from federation.transports.memory import Answer
from lab.data.sources import data_digest, read_table, source_reference
from lab.forecast import peak_rss_mb
from lab.governance.admission import PURPOSES, admitted, may_go_on
from lab.governance.session_record import OnRecord, SessionRecord, answered
from lab.horizontal.jobs import DataNodeJob
from models.bundle import save
from models.errors import LianmoError


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A responder that asks before every answer whether the project may go on, and whose refusals go on record before
    they are told."""

    responder: Responder
    still: Callable[[], None]
    record: SessionRecord

    def answer(self, request: Message) -> Message:
        return answered(request, self.responder.answer, self.still, self.record)


@dataclass(slots=True)
class DataNodePart(OnRecord):
    """Attributes:
    doors: who may ask → what answers.
    """

    job: DataNodeJob
    host: HybridHost
    doors: Mapping[PartyId, Answer]
    record: SessionRecord


def open_data_node(job: DataNodeJob) -> DataNodePart:
    """Doors over what of this party's file each bank may use, its audit log open.

    Raises:
        DataError: of its file.
        GovernanceError: of its own node: a bank, or the coordinator, may not use it so.
    """
    terms, party = job.terms, job.party
    record = SessionRecord.of(party.node, party.party, job.model_id, job.peers, terms.coordinator, countersigned=False)
    purpose, algorithm = PURPOSES[terms.algorithm], terms.algorithm
    try:
        table = read_table(party)
        still = may_go_on(party, terms.coordinator, algorithm)
        found = {bank: admitted(party, table, bank, algorithm) for bank in job.banks}
    except LianmoError as error:
        record.refused(error, purpose=purpose)
        raise
    record.opened(found[job.banks[0]].basis, model=job.model_id, purpose=purpose)
    digest, source = data_digest(party), source_reference(party)
    for use in found.values():
        record.admitted(use.table.ids, use.basis, data=digest, source=source, n_refused=use.n_refused)
    host = HybridHost(party.party, {bank: Seat(use.table, use.policy) for bank, use in found.items()})

    def door(
        asker: PartyId, responder: Responder, still: Callable[[], None], allowed: tuple[type[Message], ...]
    ) -> Answer:
        return Endpoint(_Recorded(responder, still, record), asker, allowed).answer

    doors = {bank: door(bank, host.seats[bank], use.still, OF_BANK) for bank, use in found.items()}
    doors[terms.coordinator] = door(terms.coordinator, host, still, OF_COORDINATOR)
    return DataNodePart(job, host, doors, record)


def keep_data_node(part: DataNodePart) -> dict[str, Any]:
    """Store this party's half of the model in its own folder; returns what may leave it."""
    job, half = part.job, part.host.half
    part.record.end({"half": half.digest()} if half else None)
    if half:
        save(job.directory / "half.json", half.to_json())
    outcome = {
        "data_digest": data_digest(job.party),
        "n_rows": {bank: len(seat.rows) if seat.taken else 0 for bank, seat in part.host.seats.items()},
        "n_cuts": len(half.splits) if half else 0,
        "peak_rss_mb": peak_rss_mb(),
        "audit": part.record.said,
    }
    save(job.directory / "outcome.json", outcome)
    return outcome
