"""A training session countersigns once the half is sealed, with a host that keeps a log, and not otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from federation.audit.host import AuditHost
from federation.audit.messages import AllHeads, AllSignatures, HeadWanted
from federation.errors import LocalProtocolError, Refused
from federation.messages import Message
from federation.script import run
from federation.transports.memory import AmnesiacWire
from federation.vertical.guest import train
from federation.vertical.host import ALLOWED, TrainingHost
from tests.builders import BANK, HOSTS, Problem, Session
from tests.federation.audit.test_countersigning import Log, digest

FIELDS = (BANK, 1, b"d" * 32, "international", "bank.1", b"s")
REQUESTS: tuple[Message, ...] = (
    HeadWanted(session="m-1", head=FIELDS, held=()),
    AllHeads(heads=(FIELDS,), countersignature=b"s"),
    AllSignatures(countersignatures=((BANK, b"s"),)),
)


def logs() -> dict[str, Log]:
    return {party: Log(party, [digest(party, 1)]) for party in (BANK, *HOSTS)}


def audited(host: TrainingHost, log: Log) -> TrainingHost:
    host.audit = AuditHost(host.party, BANK, "m-1", log)
    return host


def test_a_session_ends_countersigned_whatever_is_forgotten_between_two_messages(problem: Problem) -> None:
    session, held = Session(problem), logs()
    job = replace(session.job, keeper=lambda _: held[BANK])
    builds = {p: (lambda p=p, build=build: audited(build(), held[p])) for p, build in session.builds.items()}
    run(train(job), AmnesiacWire(BANK, builds, ALLOWED))
    for log in held.values():
        assert [sorted(s.countersignatures) for s in log.kept] == [sorted(held)]


def test_a_host_without_a_log_does_not_countersign(problem: Problem) -> None:
    session = Session(problem)
    with pytest.raises(Refused) as caught:
        run(train(replace(session.job, keeper=lambda _: logs()[BANK])), session.wire())
    assert caught.value.code == "out_of_turn"


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.kind)
def test_heads_are_not_signed_before_the_half_is_sealed(problem: Problem, request_: Message) -> None:
    session, log = Session(problem), logs()[HOSTS[0]]
    host = audited(session.hosts[HOSTS[0]], log)
    for stage in ("new", "chosen"):
        if stage == "chosen":
            host.alignment.state.phase = "chosen"
        before = host.dump()
        with pytest.raises(LocalProtocolError) as caught:
            host.answer(request_)
        assert caught.value.code == "out_of_turn"
        assert host.dump() == before
    assert not log.kept
