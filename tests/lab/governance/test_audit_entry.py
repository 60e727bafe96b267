"""An entry has one form: what it says comes back, what is not that form is refused, and nothing personal fits in."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.ciphers.suites.choice import suite
from federation.errors import CipherError
from lab.errors import ServiceError
from lab.governance.audit_entry import (
    COVERED,
    KEYED,
    MAX_LINE,
    NOTHING,
    Entry,
    Event,
    fault_of,
    is_covered,
    keyed_digest,
    parse,
)
from lab.governance.audit_kinds import KINDS, REFERENCES, is_name
from tests.signing import SUITE, TestSigner

SIGNER = TestSigner("bank")

ids = st.from_regex(r"[A-Za-z][A-Za-z0-9._:@/+-]{0,20}", fullmatch=True)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).filter(is_name)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
hexes = st.binary(min_size=1, max_size=70).map(bytes.hex)
counts = st.integers(0, 2**53 - 1)
heads = st.fixed_dictionaries(
    {
        "party": names,
        "number": counts,
        "digest": digests,
        "suite": ids,
        "key": ids,
        "public": hexes,
        "signature": hexes,
        "countersignature": st.one_of(st.just(""), hexes),
    }
)
codes = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
SPECIAL = {
    "public": hexes,
    "party": names,
    "source": names,
    "code": codes,
    "decision": codes,
    "decided_by": st.lists(codes, min_size=1, max_size=4),
    "parties": st.lists(names, min_size=1, max_size=4),
    "sources": st.lists(names, min_size=1, max_size=4),
    "items": st.lists(ids, min_size=1, max_size=4),
    "heads": st.lists(heads, min_size=1, max_size=3),
}
DIGESTS = (
    *("data", "half", "model_digest", "policy", "consent_set", "consent", "torn", "applicant", "record"),
    "decision_policy",
)


def values_of(reference: str) -> st.SearchStrategy[Any]:
    if reference in SPECIAL:
        return SPECIAL[reference]
    if reference in DIGESTS:
        return digests
    return counts if reference.startswith("n_") or reference.endswith("_millionths") or reference == "offset" else ids


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(sorted(KINDS)))
    chosen = {*KINDS[kind].needs, *draw(st.sets(st.sampled_from(sorted(KINDS[kind].may or {""}))))} - {""}
    references = {name: draw(values_of(name)) for name in sorted(chosen)}
    return Event(kind, references, draw(st.one_of(st.just(""), names)), draw(st.one_of(st.just(""), names)))


def entry_of(event: Event, number: int = 1, previous: str = NOTHING) -> Entry:
    bare = Entry(
        party="bank",
        number=number,
        time="2026-03-01T08:00:00.000001Z",
        kind=event.kind,
        actor=event.actor or "bank",
        operator=event.operator,
        references=event.references,
        previous=previous,
        suite=SUITE.name,
        key=SIGNER.key_id,
    )
    signed = replace(bare, signature=SIGNER.sign(bare.signed_bytes()).hex())
    return replace(signed, digest=SUITE.digest(signed.digested_bytes()).hex())


EXAMPLE = entry_of(
    Event("score_answered", {"score": "s-1", "model": "m-1", "applicant": "ab" * 32, "parties": ["bank"]}, "", "王芳")
)


@given(events())
def test_every_entry_comes_back_from_its_line(event: Event) -> None:
    entry = entry_of(event)
    assert parse(entry.line()) == entry
    assert b"\n" not in entry.line()


@given(events())
def test_digest_and_signature_can_be_checked_with_other_tools(event: Event) -> None:
    """As docs/protocols/audit.md tells an auditor: any JSON library, SHA-256, Ed25519."""
    entry = entry_of(event)
    data = json.loads(entry.line())

    def bare(*without: str) -> bytes:
        kept = {k: v for k, v in data.items() if k not in without}
        return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    assert hashlib.sha256(b"lianmo.audit.line.1\0" + bare("digest")).hexdigest() == data["digest"]
    signed = b"lianmo.audit.entry.1\0" + bare("digest", "signature")
    SUITE.verify(SIGNER.public, signed, bytes.fromhex(data["signature"]))
    with pytest.raises(CipherError):
        SUITE.verify(SIGNER.public, signed[:-1] + b" ", bytes.fromhex(data["signature"]))


@given(st.binary(max_size=80))
def test_other_bytes_are_no_entry(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse(data)


@given(st.data())
def test_a_changed_line_is_no_entry_or_has_another_digest(data: st.DataObject) -> None:
    line = bytearray(EXAMPLE.line())
    line[data.draw(st.integers(0, len(line) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        entry = parse(bytes(line))
    except ValueError:
        return
    assert SUITE.digest(entry.digested_bytes()).hex() != entry.digest


def changed(**fields: Any) -> bytes:
    data = {**json.loads(EXAMPLE.line()), **fields}
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "line",
    [
        EXAMPLE.line() + b" ",
        b" " + EXAMPLE.line(),
        EXAMPLE.line().replace(b",", b", ", 1),
        EXAMPLE.line()[:-1] + b',"number":1}',  # a key twice
        json.dumps(json.loads(EXAMPLE.line()), sort_keys=True, separators=(",", ":")).encode(),  # 王 as an escape
        json.dumps(json.loads(EXAMPLE.line()), separators=(",", ":"), ensure_ascii=False).encode()[::-1],
        changed(number=True),
        changed(number=0),
        changed(number=1.0),
        changed(number=2**53),
        changed(format=2),
        changed(time="2026-03-01 08:00:00.000001Z"),
        changed(time=5),
        changed(kind="anything"),
        changed(kind=["log_opened"]),
        changed(party=""),
        changed(party="a\x7f"),
        changed(operator=None),
        changed(suite=None),
        changed(key=7),
        changed(previous="0" * 63),
        changed(previous="G" * 64),
        changed(digest="AB" * 32),
        changed(signature="", kind="model_frozen", references={"model": "m-1"}),
        changed(signature="", kind="log_opened", references={"key": "k", "suite": "s", "public": "ab"}),
        changed(signature=["00"]),
        changed(references=[]),
        changed(references={}),
        changed(more=1),
        b'"' + b"a" * MAX_LINE + b'"',
        b"[" * 100_000,
        b'{"number":' + b"9" * 5000 + b"}",
        b"",
    ],
)
def test_what_is_not_the_one_form_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        parse(line)


def test_only_what_is_written_by_the_thousand_may_go_without_a_signature() -> None:
    assert parse(changed(signature="")).signature == ""
    assert is_covered(changed(signature=""))
    assert not is_covered(EXAMPLE.line())
    assert COVERED == ("score_answered",)
    assert not {*COVERED} & {*KEYED}


@given(events(), st.sampled_from(["", "ab" * 64]))
def test_a_line_is_put_together_from_its_pieces(event: Event, signature: str) -> None:
    entry = replace(entry_of(event), signature=signature)
    pieces = replace(entry, signature="", digest="").pieces()
    assert pieces == entry.pieces()
    assert pieces.line(entry.digest, signature) == entry.line()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_reads_in_two_languages_and_knows_its_references(kind: str) -> None:
    known = KINDS[kind]
    assert known.english.isascii()
    assert any("\u4e00" <= c <= "\u9fff" for c in known.chinese)
    assert (known.needs | known.may) <= set(REFERENCES)
    assert not known.needs & known.may


IDENTIFIERS = [
    "330102199001011234",
    "33010219900101123X",
    "330102900101123",
    "91330100MA27XYEW3K",
    "13812345678",
    "loan/13812345678",
    "app-330102199001011234",
]


@pytest.mark.parametrize("identifier", IDENTIFIERS)
@pytest.mark.parametrize("where", ["score", "actor", "operator", "parties"])
def test_an_identifier_in_clear_is_refused_wherever_it_stands_and_not_repeated(identifier: str, where: str) -> None:
    references: dict[str, Any] = {"model": "m-1"}
    if where in ("score", "parties"):
        references[where] = [identifier] if where == "parties" else identifier
    people = {where: identifier} if where in ("actor", "operator") else {}
    with pytest.raises(ServiceError) as caught:
        Event("score_answered", references, **people)
    assert caught.value.code == "audit_entry"
    assert identifier not in str(caught.value)


@pytest.mark.parametrize(
    ("references", "fault"),
    [
        ({}, "model"),
        ({"model": "m-1", "income": 5000}, "another reference"),
        ({"model": "m-1", "applicant": "王芳"}, "applicant"),
        ({"model": "m-1", "applicant": "ab" * 31}, "applicant"),
        ({"model": "m-1", "n_rows": -1}, "n_rows"),
        ({"model": "m-1", "n_rows": 0.5}, "n_rows"),
        ({"model": "m-1", "n_rows": True}, "n_rows"),
        ({"model": "m 1"}, "model"),
        ({"model": ["m-1"]}, "model"),
        ({"model": "m-1", "parties": []}, "parties"),
        ({"model": "m-1", "parties": "bank"}, "parties"),
        ({"model": "m-1", "parties": ["a\nb"]}, "parties"),
        ({"model": "m-1", "score": "x" * 129}, "score"),
    ],
)
def test_what_is_no_id_digest_count_or_code_is_refused(references: dict[str, Any], fault: str) -> None:
    assert fault_of("score_answered", references) == fault
    with pytest.raises(ServiceError):
        Event("score_answered", references)


@given(st.binary(min_size=32, max_size=100), st.text(st.characters(codec="utf-8"), max_size=40))
def test_a_keyed_digest_is_hmac(secret: bytes, identifier: str) -> None:
    expected = hmac.new(secret, identifier.encode(), "sha256").hexdigest()
    assert keyed_digest(suite("international"), secret, identifier) == expected


def test_a_keyed_digest_wants_a_real_secret() -> None:
    with pytest.raises(ValueError, match="too short"):
        keyed_digest(SUITE, bytes(31), "x")
