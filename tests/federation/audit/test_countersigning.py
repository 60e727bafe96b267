"""Every party ends a session with every other's signed head, and whoever lies about one is named."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from federation.audit.guest import countersign
from federation.audit.heads import Countersigned, SignedHead, canonical, head_statement, heads_statement
from federation.audit.host import ALLOWED, TRANSITIONS, AuditHost, AuditState
from federation.audit.messages import AllHeads, AllSignatures, HeadShown, HeadsSigned, HeadWanted, Kept
from federation.codec import decode, encode
from federation.endpoint import Endpoint
from federation.errors import LianmoError, LocalProtocolError, PartyId, Refused, RemoteProtocolError
from federation.messages import Failure, Goodbye, Message
from federation.script import Wire, run
from federation.transports.memory import AmnesiacWire, FaultyWire, MemoryWire
from lab.governance.audit_entry import is_signed
from tests.signing import SUITE, TestSigner, public_key

PARTIES = ("bank", "host:tax", "host:电信")
HOSTS = PARTIES[1:]


def digest(party: PartyId, number: int) -> bytes:
    """Of the entry of that number in a log that nobody touched."""
    return hashlib.sha256(f"{party} {number}".encode()).digest()


@dataclass
class Log:
    """A keeper whose log is a list of digests."""

    party: PartyId
    digests: list[bytes] = field(default_factory=list)
    kept: list[Countersigned] = field(default_factory=list)
    disputed: list[SignedHead] = field(default_factory=list)
    suite: str = "international"

    @property
    def key(self) -> str:
        return TestSigner(self.party).key_id

    def last(self) -> tuple[int, bytes]:
        return len(self.digests), self.digests[-1]

    def contains(self, number: int, digest: bytes) -> bool:
        return number <= len(self.digests) and self.digests[number - 1] == digest

    def sign(self, message: bytes) -> bytes:
        return TestSigner(self.party).sign(message)

    def is_signed(self, party: PartyId, suite: str, key: str, message: bytes, signature: bytes) -> bool:
        return is_signed({suite: SUITE}, public_key(party, key), message, signature)

    def held(self, party: PartyId) -> tuple[str, SignedHead] | None:
        found = [(s.session, h) for s in self.kept for h in s.heads if h.party == party]
        return found[-1] if found else None

    def keep(self, statement: Countersigned) -> None:
        self.kept.append(statement)

    def dispute(self, session: str, head: SignedHead) -> None:
        self.disputed.append(head)


def logs(**lengths: int) -> dict[PartyId, Log]:
    return {p: Log(p, [digest(p, k + 1) for k in range(4 + n)]) for n, p in enumerate(PARTIES)}


def host(log: Log, session: str = "s-1") -> AuditHost:
    return AuditHost(log.party, "bank", session, log)


def wire(held: dict[PartyId, Log], session: str = "s-1") -> MemoryWire:
    return MemoryWire({h: Endpoint(host(held[h], session), "bank", ALLOWED).answer for h in HOSTS})


def end(held: dict[PartyId, Log], session: str = "s-1", through: Wire | None = None) -> Countersigned:
    return run(countersign("bank", session, HOSTS, held["bank"]), through or wire(held, session))


def test_every_party_keeps_every_head_signed_by_every_party() -> None:
    held = logs()
    signed = end(held)
    assert [log.kept for log in held.values()] == [[signed]] * 3
    assert [h.party for h in signed.heads] == sorted(PARTIES)
    for head in signed.heads:
        log = held[head.party]
        assert (head.number, head.digest) == log.last()
        public = TestSigner(head.party).public
        SUITE.verify(public, head_statement("s-1", head.party, head.number, head.digest), head.signature)
        SUITE.verify(public, heads_statement("s-1", signed.heads), signed.countersignatures[head.party])


def test_hosts_without_memory_end_the_same_way() -> None:
    held, twin = logs(), logs()

    def build(party: PartyId) -> Callable[[], AuditHost]:
        return lambda: _Dumpable(host(held[party]))  # type: ignore[return-value]

    forgetful = AmnesiacWire("bank", {party: build(party) for party in HOSTS}, ALLOWED)
    assert end(held, through=forgetful) == end(twin)
    assert held["host:tax"].kept == twin["host:tax"].kept


@dataclass
class _Dumpable:
    inner: AuditHost

    def answer(self, request: Message) -> Message:
        return self.inner.answer(request)

    def dump(self) -> bytes:
        return self.inner.state.dump()

    def load(self, data: bytes) -> None:
        self.inner.state = AuditState.load(data)


def test_a_statement_is_tagged_canonical_json_of_what_it_says() -> None:
    said = b'lianmo.audit.head.1\0["s-1","host:\xe7\x94\xb5\xe4\xbf\xa1",7,"' + b"ab" * 32 + b'"]'
    assert head_statement("s-1", "host:电信", 7, b"\xab" * 32) == said
    a, b = (SignedHead(p, 1, bytes(32), "international", "k", b"s") for p in ("a", "b"))
    both = b'lianmo.audit.heads.1\0["s-1",[["a",1,"' + b"00" * 32 + b'"],["b",1,"' + b"00" * 32 + b'"]]]'
    assert heads_statement("s-1", [b, a]) == heads_statement("s-1", [a, b]) == both


def test_canonical_json_is_that_of_rfc_8785_for_text() -> None:
    # the strings and key order of its section 3.2.2 and 3.2.3
    assert (
        canonical({"string": '\u20ac$\u000f\nA\'B"\\\\"/'}) == '{"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'.encode()
    )
    assert canonical({"b": 1, "a": [], "1": True}) == b'{"1":true,"a":[],"b":1}'
    with pytest.raises(ValueError):
        canonical("\ud800")


# -- every state meets every message -------------------------------------------------------------------------------


def steps(held: dict[PartyId, Log], session: str = "s-1") -> list[tuple[HeadWanted | AllHeads | AllSignatures, ...]]:
    """What the guest asks of ``host:tax`` in an honest session over copies of these logs."""
    asked: list[Message] = []

    def note(sender: PartyId, receiver: PartyId, message: Message, size: int) -> None:
        if receiver == "host:tax":
            asked.append(message)

    copies = {p: replace(log, kept=list(log.kept), disputed=[]) for p, log in held.items()}
    run(countersign("bank", session, HOSTS, copies["bank"]), wire(copies, session), note)
    return asked  # type: ignore[return-value]


PHASES = ["open", "shown", "signed", "kept"]


def host_in(phase: str) -> tuple[AuditHost, list[Message]]:
    held = logs()
    asked = steps(held)
    responder = host(held["host:tax"])
    for request in asked[: PHASES.index(phase)]:
        responder.answer(request)
    assert responder.state.phase == phase
    return responder, asked


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("which", range(8))
def test_every_state_meets_every_message(phase: str, which: int) -> None:
    responder, asked = host_in(phase)
    head = asked[0].head
    others = [HeadShown(head=head, held=()), HeadsSigned(countersignature=b"x"), Kept(), Failure(code="policy")]
    request = [*asked, *others, Goodbye(code="")][which]
    before, kept = responder.state.dump(), len(responder.keeper.kept)
    if (phase, type(request)) in TRANSITIONS:
        responder.answer(request)
        assert responder.state.phase == TRANSITIONS[phase, type(request)]
    else:
        with pytest.raises(LocalProtocolError) as caught:
            responder.answer(request)
        assert caught.value.code == "out_of_turn"
        assert responder.state.dump() == before
        assert len(responder.keeper.kept) == kept


def resigned(log: Log, number: int, value: bytes, session: str = "s-1") -> SignedHead:
    """A head that ``log``'s owner really signs, true or not."""
    return SignedHead(
        log.party, number, value, log.suite, log.key, log.sign(head_statement(session, log.party, number, value))
    )


def hostile(asked: list[Message]) -> dict[str, tuple[str, Message, str]]:
    """name → (phase, request, code) of what a lying guest can ask."""
    wanted, heads, signatures = asked
    bank, tax, telecom = heads.heads
    moved = resigned(Log("bank", []), 4, bytes(32)).fields
    forged = replace(SignedHead(*telecom), number=99).fields
    parties, signed = zip(*signatures.countersignatures, strict=True)
    swapped = tuple(zip(parties, signed[::-1], strict=True))
    return {
        "another session": ("open", replace(wanted, session="s-2"), "bad_value"),
        "a head of another party": ("open", replace(wanted, head=telecom), "bad_value"),
        "a head that nobody signed": ("open", replace(wanted, head=replace_at(bank, 1, 5)), "audit_mismatch"),
        "a digest too short": ("open", replace(wanted, head=replace_at(bank, 2, b"x")), "bad_value"),
        "number zero": ("open", replace(wanted, head=replace_at(bank, 1, 0)), "bad_value"),
        "no signature": ("open", replace(wanted, head=replace_at(bank, 5, b"")), "bad_value"),
        "an unknown key": ("open", replace(wanted, head=replace_at(bank, 4, "other")), "audit_mismatch"),
        "another suite": ("open", replace(wanted, head=replace_at(bank, 3, "sm")), "audit_mismatch"),
        "a held head we never signed": ("open", replace(wanted, held=(("s-0", tax),)), "audit_mismatch"),
        "a held head of another": ("open", replace(wanted, held=(("s-1", telecom),)), "bad_value"),
        "two held heads": ("open", replace(wanted, held=(("s-1", tax),) * 2), "bad_value"),
        "our head changed": ("shown", replace(heads, heads=(bank, replace_at(tax, 1, 9), telecom)), "bad_value"),
        "its own head changed": ("shown", replace(heads, heads=(moved, tax, telecom)), "bad_value"),
        "our head left out": ("shown", replace(heads, heads=(bank, telecom)), "bad_value"),
        "a party twice": ("shown", replace(heads, heads=(bank, tax, telecom, telecom)), "bad_value"),
        "no order": ("shown", replace(heads, heads=(tax, bank, telecom)), "bad_value"),
        "another's head forged": ("shown", replace(heads, heads=(bank, tax, forged)), "audit_mismatch"),
        "a party left out of what it signed": ("shown", replace(heads, heads=(bank, tax)), "audit_mismatch"),
        "its countersignature false": ("shown", replace(heads, countersignature=b"x" * 64), "audit_mismatch"),
        "a countersignature left out": (
            "signed",
            replace(signatures, countersignatures=signatures.countersignatures[:2]),
            "bad_value",
        ),
        "countersignatures swapped": ("signed", AllSignatures(countersignatures=swapped), "audit_mismatch"),
    }


def replace_at(fields: tuple[object, ...], place: int, value: object) -> tuple[object, ...]:
    return (*fields[:place], value, *fields[place + 1 :])


@pytest.mark.parametrize("name", hostile(steps(logs())))
def test_a_lying_guest_is_refused_and_nothing_changes(name: str) -> None:
    phase, request, code = hostile(steps(logs()))[name]
    responder, _ = host_in(phase)
    before = responder.state.dump()
    with pytest.raises(LianmoError) as caught:
        responder.answer(decode(encode(request), "bank"))
    assert caught.value.code == code
    if isinstance(caught.value, RemoteProtocolError):
        assert caught.value.party == "bank"
    assert responder.state.dump() == before
    assert not responder.keeper.kept
    assert not responder.keeper.disputed


# -- hosts that lie ------------------------------------------------------------------------------------------------


def damaged(at: int, change: Callable[[Message], Message]) -> Callable[[int, PartyId, bytes], bytes]:
    def damage(count: int, party: PartyId, frame: bytes) -> bytes:
        return encode(change(decode(frame, party))) if (count, party) == (at, "host:电信") else frame

    return damage


@pytest.mark.parametrize(
    ("at", "change", "code"),
    [
        (0, lambda m: replace(m, head=replace_at(m.head, 2, bytes(32))), "audit_mismatch"),
        (0, lambda m: replace(m, head=replace_at(m.head, 0, "host:tax")), "bad_value"),
        (0, lambda m: replace(m, head=resigned(Log("host:tax"), 5, bytes(32)).fields), "bad_value"),
        (0, lambda m: replace(m, held=(("s-0", resigned(Log("host:电信"), 1, bytes(32), "s-0").fields),)), "bad_value"),
        (0, lambda m: Kept(), "out_of_turn"),
        (1, lambda m: HeadsSigned(countersignature=Log("host:tax").sign(b"another statement")), "audit_mismatch"),
        (1, lambda m: HeadsSigned(countersignature=Log("host:电信").sign(b"another statement")), "audit_mismatch"),
        (1, lambda m: Kept(), "out_of_turn"),
        (2, lambda m: HeadsSigned(countersignature=b""), "out_of_turn"),
    ],
)
def test_a_lying_host_is_named(at: int, change: Callable[[Message], Message], code: str) -> None:
    held = logs()
    with pytest.raises(RemoteProtocolError) as caught:
        end(held, through=FaultyWire(wire(held), damaged(at, change)))
    assert (caught.value.party, caught.value.code) == ("host:电信", code)
    assert len(held["bank"].kept) == (at == 2)  # once all have signed, nobody can take it back


def test_a_guest_that_shows_hosts_different_heads_gets_no_countersignature_that_holds() -> None:
    """Two faces: each host signs what it saw, so the signature of one does not hold for the other."""
    held = logs()
    tax, telecom = (host(held[h]) for h in HOSTS)
    bank = Log("bank", held["bank"].digests)
    faces = [resigned(bank, 4, bank.digests[-1]), resigned(bank, 5, digest("bank", 5))]
    shown = [
        SignedHead(*responder.answer(HeadWanted(session="s-1", head=face.fields, held=())).head)
        for responder, face in ((tax, faces[0]), (telecom, faces[1]))
    ]
    signatures = []
    for responder, face in ((tax, faces[0]), (telecom, faces[1])):
        heads = sorted([face, *shown], key=lambda h: h.party)
        own = bank.sign(heads_statement("s-1", heads))
        request = AllHeads(heads=tuple(h.fields for h in heads), countersignature=own)
        signatures.append((own, responder.answer(request).countersignature))
    both = (("bank", signatures[0][0]), ("host:tax", signatures[0][1]), ("host:电信", signatures[1][1]))
    with pytest.raises(RemoteProtocolError) as caught:
        tax.answer(AllSignatures(countersignatures=both))
    assert caught.value.code == "audit_mismatch"
    assert not tax.keeper.kept


# -- logs that were cut or rewritten between two sessions --------------------------------------------------------------


def cut_log(log: Log) -> None:
    del log.digests[2:]


def rewrite_last(log: Log) -> None:
    log.digests[-1] = bytes(32)


def cut_and_regrow(log: Log) -> None:
    log.digests[2:] = [hashlib.sha256(bytes([k])).digest() for k in range(9)]


@pytest.mark.parametrize("harm", [cut_log, rewrite_last])
@pytest.mark.parametrize("who", ["host:tax", "bank"])
def test_a_log_that_was_cut_or_rewritten_is_caught_at_the_next_session_with_evidence(
    harm: Callable[[Log], None], who: PartyId
) -> None:
    held = logs()
    first = end(held)
    harm(held[who])
    held[who].contains = lambda number, value: True  # type: ignore[method-assign] # and its owner hides it
    with pytest.raises((RemoteProtocolError, Refused)) as caught:
        end(held, "s-2")
    assert caught.value.code == "audit_mismatch"
    keepers = [held["bank"]] if who == "host:tax" else [held["host:tax"]]
    for keeper in keepers:
        [evidence] = keeper.disputed
        [earlier] = [h for h in first.heads if h.party == who]
        assert evidence.contradicts(earlier)
        public = TestSigner(who).public
        SUITE.verify(public, head_statement("s-2", who, evidence.number, evidence.digest), evidence.signature)
    if who == "host:tax":
        assert caught.value.party == who


@pytest.mark.parametrize("who", ["host:tax", "bank"])
def test_a_party_learns_from_the_others_that_its_own_log_was_rewritten(who: PartyId) -> None:
    held = logs()
    end(held)
    cut_and_regrow(held[who])  # longer than before: only its owner can see that entry 5 is another
    with pytest.raises((LocalProtocolError, Refused)) as caught:
        end(held, "s-2")
    assert caught.value.code == "audit_damaged"
    assert all(len(log.kept) == 1 for log in held.values())


def test_logs_that_only_grow_are_countersigned_again() -> None:
    held = logs()
    end(held)
    for log in held.values():
        log.digests.append(digest(log.party, len(log.digests) + 1))
    end(held, "s-2")
    assert {len(log.kept) for log in held.values()} == {2}
    assert not any(log.disputed for log in held.values())


def test_a_signature_of_one_session_does_not_serve_in_another() -> None:
    held = logs()
    asked = steps(held)
    responder = host(held["host:tax"], "s-2")
    with pytest.raises(RemoteProtocolError) as caught:
        responder.answer(replace(asked[0], session="s-2"))
    assert caught.value.code == "audit_mismatch"
