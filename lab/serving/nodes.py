"""A party's folder → its part in scoring: what ``serve``, ``score`` and the demonstration share."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.messages import Message
from federation.script import Wire
from federation.transports.http import HttpWire
from federation.transports.memory import MemoryWire
from federation.vertical.publishing.host import ALLOWED as PUBLISHING
from federation.vertical.publishing.host import PublishingHost
from federation.vertical.publishing.messages import Prepare
from federation.vertical.scoring.host import ALLOWED as SCORING
from federation.vertical.scoring.host import Answering, ScoringHost
from federation.vertical.scoring.messages import Wanted
from lab.config_party import Party
from lab.data.sources import read_table
from lab.errors import ConfigError
from lab.governance.admission import admitted
from lab.governance.publishing_record import PublishingRecord
from lab.governance.scoring_record import ScoringRecord
from lab.horizontal.jobs import DataNodeJob, SiteJob, is_of_sites, read_job
from lab.jobs import GuestJob, HostJob, load_job
from lab.membership.lines import wire_through_hub
from lab.serving.hosts import Hosts
from lab.serving.loaded import Published
from lab.serving.publishing.halves import HalfStore, ServedHalves, tested_half
from models.bundle import load
from models.errors import LianmoError
from models.joint import Joint, joint_from_json
from models.reasons import Words


def scoring_endpoint(directory: Path, bank: PartyId = "") -> Endpoint:
    """A host's door for scoring and publishing, over what of its own file may be used: its half in this folder, and
    those that were published since. Raises ``DataError``, ``ModelError``, and ``GovernanceError`` of its own node.

    Args:
        bank: of a data node that serves several: whose door; it is for scoring alone.
    """
    job = job_in(directory) if bank else load_job(directory / "job.json")
    if isinstance(job, DataNodeJob):
        recorded = _Recorded(*_scoring(directory, job.party, bank))
        return Endpoint(recorded, bank, SCORING)
    assert isinstance(job, HostJob)
    host, record, in_shadow = _scoring(directory, job.party, job.guest)
    store = HalfStore(directory, job)
    for other in store.published():
        host.hold(other)
    halves = ServedHalves(store, host, PublishingRecord(record.own, job.guest))
    return Endpoint(_Recorded(host, record, in_shadow, PublishingHost(halves)), job.guest, (*SCORING, *PUBLISHING))


def _scoring(directory: Path, party: Party, bank: PartyId) -> tuple[ScoringHost, ScoringRecord, ScoringRecord]:
    """What answers over a host's rows, and its records: of answers, and of those in shadow."""
    half = tested_half(directory)
    found = admitted(party, read_table(party, varied=False), bank, "scoring")
    record = ScoringRecord.of(party.node, party.party, bank, half.model_id, found.basis)
    in_shadow = replace(record, shadow=True, basis=found.shadow_basis)
    host = ScoringHost(found.table, {half.model_id: half}, found.policy, found.fresh)

    def note(answering: Answering) -> None:
        model = answering.model_id
        replace(in_shadow if answering.shadow else record, model=model).answered(
            answering.request,
            answering.subjects,
            n_refused=answering.n_unknown,
            model_digest=host.digest_of(model),
        )

    host.note = note
    return host, record, in_shadow


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A host whose refusals go on record before they are told; its answers do by ``note``."""

    host: ScoringHost
    record: ScoringRecord
    in_shadow: ScoringRecord
    publishing: PublishingHost | None = None

    def answer(self, request: Message) -> Message:
        try:
            if self.publishing and isinstance(request, PUBLISHING):
                return self.publishing.answer(request)
            return self.host.answer(request)
        except LianmoError as error:
            record = self.in_shadow if isinstance(request, Wanted | Prepare) and request.shadow else self.record
            record.refused(error, request.request if isinstance(request, Wanted) else "")
            raise


def joint_model(directory: Path) -> tuple[Joint, Published]:
    """The bank's half and what it is called. Raises ``ModelError``."""
    model = joint_from_json(load(directory / "model.json"))
    return model, published_as(directory, model)


def published_as(directory: Path, model: Joint) -> Published:
    """What the model of the bank's folder is called. Raises ``ModelError``."""
    path = directory / "published.json"
    return Published(**load(path)) if path.exists() else Published("unpublished", model.model_id[:8], None)


def bank_record(directory: Path, model: Joint) -> ScoringRecord:
    """The bank's own record of its scores. Raises ``ModelError``, and as ``node_log.own_log``."""
    job = job_in(directory)
    record = ScoringRecord.of(job.party.node, job.party.party, job.party.party, model.model_id)
    return replace(record, about={"model_digest": model.digest(), "parties": [model.party, *model.needed_hosts]})


def own_words(directory: Path) -> Mapping[str, Words]:
    """The bank's words for its own columns. Raises ``ModelError``."""
    return job_in(directory).party.reasons or {}


def job_in(directory: Path) -> GuestJob | HostJob | SiteJob | DataNodeJob:
    """The job of the party whose folder this is, which has a half of a model. Raises ``ModelError`` if it is none."""
    path = directory / "job.json"
    if is_of_sites(path):
        job = read_job(path)
        if isinstance(job, DataNodeJob) or (isinstance(job, SiteJob) and job.hosts):
            return job
    return load_job(path)


def hosts_beside(directory: Path) -> dict[str, Path]:
    """host → folder, for all hosts of the same run on this machine."""
    folders = {}
    for path in sorted(directory.parent.glob("*/half.json")):
        folders[job_in(path.parent).party.party] = path.parent
    return folders


@contextmanager
def scoring_wire(directory: Path, model: Joint, at: Hosts, *, local: bool, hub: Path | None = None) -> Iterator[Wire]:
    """The wire from the bank's folder to all hosts its model needs: over HTTP, through the hub that the bank joined
    from the folder ``hub``, or in this process if they are ``local``.

    Raises:
        ConfigError: ``hosts_missing`` naming the hosts without an address; ``not_joined``.
    """
    needed = model.needed_hosts
    if local:
        folders = hosts_beside(directory)
        need_all(needed, folders)
        yield MemoryWire({host: scoring_endpoint(folders[host], model.party).answer for host in needed})
        return
    if hub:
        with wire_through_hub(hub, needed) as wire:
            yield wire
        return
    need_all(needed, at.urls)
    with HttpWire({host: at.urls[host] for host in needed}, tls=at.tls) as wire:
        yield wire


def need_all(needed: Sequence[PartyId], given: Collection[PartyId]) -> None:
    """Raises ``ConfigError`` (``hosts_missing``) naming those of ``needed`` that are not given."""
    absent = [host for host in needed if host not in given]
    if absent:
        raise ConfigError(
            "hosts_missing",
            f"The model needs {', '.join(absent)}: give --host NAME=URL for each, --hosts FILE, or --local if "
            "they are here.",
            f"模型需要 {'、'.join(absent)}：请逐一给出 --host 名称=URL 或 --hosts 文件；若在本机，请使用 --local。",
        )
