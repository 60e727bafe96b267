"""Every planted change of a log is found, and laid at the right door."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from federation.audit.heads import head_statement
from federation.errors import CipherError, PartyId, Refused, RemoteProtocolError
from lab.errors import ServiceError
from lab.governance.audit import AuditLog
from lab.governance.audit_entry import NOTHING, Entry, Event, parse
from lab.governance.audit_findings import TEXTS
from lab.governance.audit_keeper import LogKeeper
from lab.governance.audit_verify import examine
from lab.workers import party_workers
from tests.lab.governance.logs import PARTIES, Clock, Parties, folder_of, grave, verified
from tests.signing import OTHER, SUITE, SUITES, SigningSuite, TestSigner, public_key

BANK, TAX, TELECOM = PARTIES


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sessions ended, and each party did something after. Logs of 13 entries; heads are entries 5 and 10."""
    root = tmp_path_factory.mktemp("ended")
    parties = Parties(root)
    parties.session("s-1")
    parties.session("s-2")
    for log in parties.logs.values():
        log.append(Event("refused", {"code": "policy"}), Event("policy_changed", {"policy": "ab" * 32}))
    return root


@pytest.fixture
def root(ended: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ended, tmp_path / "copy"))


def path_of(root: Path, party: PartyId) -> Path:
    return folder_of(root, party) / "log.jsonl"


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def put(path: Path, changed: list[bytes]) -> None:
    path.write_bytes(b"".join(line + b"\n" for line in changed))


def resealed(entry: Entry, signer: TestSigner | None = None) -> Entry:
    """With a digest that fits, and a signature of ``signer`` where one is given."""
    if signer:
        entry = replace(entry, signature=signer.sign(entry.signed_bytes()).hex())
    return replace(entry, digest=SUITE.digest(entry.digested_bytes()).hex())


def rechained(changed: list[bytes], start: int, signer: TestSigner) -> list[bytes]:
    """From ``start`` on, numbered, linked and signed anew: what the holder of the key can do."""
    entries = [parse(line) for line in changed]
    for k in range(start, len(entries)):
        previous = entries[k - 1].digest if k else NOTHING
        entries[k] = resealed(replace(entries[k], number=k + 1, previous=previous), signer)
    return [e.line() for e in entries]


# -- one log by itself ---------------------------------------------------------------------------------------------


def test_logs_that_nobody_touched_are_intact(ended: Path) -> None:
    for party in PARTIES:
        others = [path_of(ended, p) for p in PARTIES if p != party]
        log = verified(path_of(ended, party), *others, party=party)
        assert log.party == party
        assert (log.last, len(log.digests)) == (13, 13)
        assert grave(log) == []
        assert [(f.code, f.number) for f in log.findings] == [("unwitnessed", 10)]


def edit(ls: list[bytes]) -> list[bytes]:
    return [*ls[:2], ls[2].replace(b'"n_rows":300', b'"n_rows":200'), *ls[3:]]


def edit_signature(ls: list[bytes]) -> list[bytes]:
    entry = parse(ls[2])
    return [*ls[:2], replace(entry, signature="00" * 64).line(), *ls[3:]]


def edit_with_digest(ls: list[bytes]) -> list[bytes]:
    return [*ls[:2], resealed(parse(edit(ls)[2])).line(), *ls[3:]]


def edit_last_with_digest(ls: list[bytes]) -> list[bytes]:
    return [*ls[:-1], resealed(replace(parse(ls[-1]), time="2020-01-01T00:00:00.000000Z")).line()]


def insert(ls: list[bytes]) -> list[bytes]:
    """A good-looking entry in between, everything after renumbered and rehashed: without the key."""
    entries = [parse(line) for line in [*ls[:3], ls[2], *ls[3:]]]
    for k in range(3, len(entries)):
        entries[k] = resealed(replace(entries[k], number=k + 1, previous=entries[k - 1].digest))
    return [e.line() for e in entries]


def replace_by_old(ls: list[bytes]) -> list[bytes]:
    """An entry that its party once signed with that number, but with another past."""
    other = resealed(replace(parse(ls[2]), previous="ab" * 32), TestSigner(BANK))
    return [*ls[:2], other.line(), *ls[3:]]


ALONE: list[tuple[str, Callable[[list[bytes]], list[bytes]], list[tuple[str, int]]]] = [
    ("edited", edit, [("edited", 3)]),
    ("edited signature", edit_signature, [("edited", 3)]),
    ("edited, with its digest", edit_with_digest, [("bad_signature", 3)]),
    ("last one edited, with its digest", edit_last_with_digest, [("bad_signature", 13)]),
    ("no entry", lambda ls: [*ls[:2], b"{}", *ls[3:]], [("unreadable", 3)]),
    ("a line emptied", lambda ls: [*ls[:2], b"", *ls[3:]], [("unreadable", 3)]),
    ("one deleted", lambda ls: [*ls[:2], *ls[3:]], [("deleted", 4)]),
    ("four deleted", lambda ls: [*ls[:2], *ls[6:]], [("deleted", 7)]),
    ("first deleted", lambda ls: ls[1:], [("no_beginning", 2)]),
    ("emptied", lambda ls: [], [("no_beginning", 1)]),
    ("two swapped", lambda ls: [*ls[:2], ls[3], ls[2], *ls[4:]], [("deleted", 4), ("out_of_order", 3)]),
    ("one repeated", lambda ls: [*ls[:3], ls[2], *ls[3:]], [("out_of_order", 3)]),
    ("last moved to the front", lambda ls: [ls[-1], *ls[:-1]], [("no_beginning", 13)]),
    ("inserted", insert, [("bad_signature", k) for k in range(4, 15)]),
    ("another past", replace_by_old, [("chain_broken", 3)]),
    ("edited, next deleted", lambda ls: [*edit(ls)[:3], *ls[4:]], [("edited", 3), ("deleted", 5)]),
]


@pytest.mark.parametrize(("name", "harm", "expected"), ALONE, ids=[name for name, _, _ in ALONE])
def test_what_was_done_to_a_log_is_found_and_laid_at_its_keeper(
    root: Path, name: str, harm: Callable[[list[bytes]], list[bytes]], expected: list[tuple[str, int]]
) -> None:
    path = path_of(root, BANK)
    put(path, harm(lines(path)))
    log = examine(path, SUITES, BANK)
    found = [(f.code, f.number) for f in log.findings]
    assert found[: len(expected)] == expected
    assert {f.about for f in log.findings} == {BANK}
    if name != "last moved to the front":
        assert found == expected


def test_a_thousand_changes_of_a_byte_are_all_found(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit", BANK, TestSigner(BANK), SUITES, Clock())
    log.begin("王芳")
    log.append(*(Event("score_answered", {"score": f"s-{k}", "model": "m-1"}) for k in range(2)))
    whole, rng = log.path.read_bytes(), random.Random(20260301)
    assert not examine(log.path, SUITES, BANK).findings
    for _ in range(1000):
        changed = bytearray(whole)
        changed[rng.randrange(len(whole))] ^= rng.randrange(1, 256)
        log.path.write_bytes(changed)
        findings = examine(log.path, SUITES, BANK).findings
        assert any(f.is_grave and f.about == BANK for f in findings)


# -- scores under a later signature ---------------------------------------------------------------------------------


def without_signature(entry: Entry) -> bytes:
    return resealed(replace(entry, signature="")).line()


def rehashed(ls: list[bytes], start: int) -> list[bytes]:
    """From ``start`` on linked anew, with digests that fit: what anybody can do. Signatures stay as they are."""
    entries = [parse(line) for line in ls]
    for k in range(start, len(entries)):
        entries[k] = resealed(replace(entries[k], previous=entries[k - 1].digest))
    return [e.line() for e in entries]


def edit_score(ls: list[bytes]) -> list[bytes]:
    return [*ls[:2], resealed(parse(ls[2].replace(b"s-1", b"s-7"))).line(), *ls[3:]]


def repeat_score(ls: list[bytes]) -> list[bytes]:
    entries = [parse(line) for line in [*ls[:3], ls[2], *ls[3:]]]
    return rehashed([replace(e, number=k).line() for k, e in enumerate(entries, 1)], 3)


COVERED: list[tuple[str, Callable[[list[bytes]], list[bytes]], list[tuple[str, int]]]] = [
    ("edited", lambda ls: [*ls[:2], ls[2].replace(b"s-1", b"s-7"), *ls[3:]], [("edited", 3)]),
    ("edited, with its digest", edit_score, [("chain_broken", 4)]),
    ("edited, all rehashed", lambda ls: rehashed(edit_score(ls), 3), [("bad_signature", 5), ("bad_signature", 6)]),
    ("one deleted", lambda ls: [*ls[:2], *ls[3:]], [("deleted", 4)]),
    ("one more", repeat_score, [("bad_signature", 6), ("bad_signature", 7)]),
    ("signature taken", lambda ls: [*ls[:4], without_signature(parse(ls[4])), ls[5]], [("chain_broken", 6)]),
    ("last signature taken", lambda ls: [*ls[:5], without_signature(parse(ls[5]))], [("torn", 6)]),
]


@pytest.mark.parametrize(("name", "harm", "expected"), COVERED, ids=[name for name, _, _ in COVERED])
def test_what_was_done_to_scores_without_a_signature_of_their_own_is_found(
    tmp_path: Path, name: str, harm: Callable[[list[bytes]], list[bytes]], expected: list[tuple[str, int]]
) -> None:
    """Entries 2 to 5 under the signature of the fifth, and a sixth."""
    log = AuditLog(tmp_path / "audit", BANK, TestSigner(BANK), SUITES, Clock())
    log.begin()
    log.append(*(Event("score_answered", {"score": f"s-{k}", "model": "m-1"}) for k in range(4)))
    log.append(Event("score_answered", {"score": "s-4", "model": "m-1"}))
    assert not examine(log.path, SUITES, BANK).findings
    put(log.path, harm(lines(log.path)))
    assert [(f.code, f.number) for f in examine(log.path, SUITES, BANK).findings] == expected


def test_a_key_is_not_introduced_without_a_signature(tmp_path: Path) -> None:
    """Else anybody could: an unsigned introduction of the thief's key, and all that follows signed by the thief."""
    log = AuditLog(tmp_path / "audit", BANK, TestSigner(BANK), SUITES, Clock())
    log.begin()
    log.rotate(THIEF)
    log.append(Event("refused", {"code": "policy"}))
    opened, rotated, refused = lines(log.path)
    unsigned = without_signature(parse(rotated))
    put(log.path, [opened, unsigned, resealed(replace(parse(refused), previous="ab" * 32), THIEF).line()])
    assert ("unreadable", 2) in [(f.code, f.number) for f in examine(log.path, SUITES, BANK).findings]


def test_a_thousand_cuts_inside_a_line_are_all_found(ended: Path, tmp_path: Path) -> None:
    whole = path_of(ended, BANK).read_bytes()
    path, rng = tmp_path / "log.jsonl", random.Random(20260301)
    for _ in range(20):
        size = rng.randrange(1, len(whole))
        path.write_bytes(whole[:size])
        expected = [] if whole[size - 1 : size] == b"\n" else ["torn"]
        assert [f.code for f in examine(path, SUITES, BANK).findings] == expected


@pytest.mark.parametrize("n", [1, 3])
def test_lines_of_another_party_are_found(root: Path, n: int) -> None:
    ours, theirs = lines(path_of(root, BANK)), lines(path_of(root, TAX))
    put(path_of(root, BANK), [*ours[:2], *theirs[2 : 2 + n], *ours[2 + n :]])
    log = examine(path_of(root, BANK), SUITES, BANK)
    assert [(f.code, f.about) for f in log.findings][:n] == [("foreign", BANK)] * n
    assert all(f.is_grave for f in log.findings)


def test_logs_swapped_between_parties_are_found(root: Path) -> None:
    ours = path_of(root, BANK).read_bytes()
    path_of(root, BANK).write_bytes(path_of(root, TAX).read_bytes())
    path_of(root, TAX).write_bytes(ours)
    for party in (BANK, TAX):
        log = examine(path_of(root, party), SUITES, party)
        assert [(f.code, f.about) for f in log.findings] == [("foreign", party)] * 13


def test_a_key_that_was_not_in_force_is_found(root: Path, tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit", BANK, TestSigner(BANK), SUITES, Clock())
    log.begin()
    log.rotate(TestSigner("bank-new"))
    log.append(Event("refused", {"code": "policy"}), Event("refused", {"code": "policy"}))
    ls = lines(log.path)
    old = resealed(replace(parse(ls[2]), key=TestSigner(BANK).key_id), TestSigner(BANK))
    put(log.path, [*ls[:2], old.line(), ls[3]])
    assert [(f.code, f.number) for f in examine(log.path, SUITES, BANK).findings] == [("wrong_key", 3)]


def test_a_suite_that_was_not_in_force_is_found(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit", BANK, TestSigner(BANK), SUITES, Clock())
    log.begin()
    log.append(Event("refused", {"code": "policy"}))
    ls = lines(log.path)
    other = replace(parse(ls[1]), suite=OTHER.name)
    other = replace(other, signature=TestSigner(BANK).sign(other.signed_bytes()).hex())
    other = replace(other, digest=OTHER.digest(other.digested_bytes()).hex())
    put(log.path, [ls[0], other.line()])
    assert [(f.code, f.number) for f in examine(log.path, SUITES, BANK).findings] == [("wrong_key", 2)]


def test_a_suite_without_its_library_is_an_error_and_no_finding(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: object) -> None:
        raise CipherError("suite_unavailable", "no library", "缺少库")

    monkeypatch.setattr(SigningSuite, "verify", unavailable)
    with pytest.raises(CipherError):
        examine(path_of(root, BANK), SUITES)


def test_a_key_that_is_not_registered_is_found(root: Path) -> None:
    """A whole log made anew with a key of the forger's own, under the old key's name."""
    path, thief = path_of(root, BANK), TestSigner("thief")
    first = parse(lines(path)[0])
    introduced = replace(first, references={**first.references, "public": thief.public.hex()})
    put(path, rechained([introduced.line()], 0, thief))
    assert grave(verified(path, registered=False)) == []
    assert grave(verified(path)) == [("unregistered", BANK, 1)]


def test_a_suite_that_is_not_here_is_said(root: Path) -> None:
    with pytest.raises(ServiceError) as caught:
        examine(path_of(root, BANK), {"other": SUITE})
    assert caught.value.code == "audit_suite"


def test_workers_find_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.governance.audit_verify._BLOCK", 5)
    path = path_of(root, BANK)
    put(path, edit(lines(path)))
    with party_workers("loky", 2):
        assert [(f.code, f.number) for f in examine(path, SUITES, BANK).findings] == [("edited", 3)]


@pytest.mark.parametrize("code", TEXTS)
def test_every_finding_reads_in_two_languages(code: str) -> None:
    _, english, chinese = TEXTS[code]
    assert english.isascii()
    assert any("\u4e00" <= c <= "\u9fff" for c in chinese)
    assert "{who}" in english
    assert "{who}" in chinese


# -- heads in a log ------------------------------------------------------------------------------------------------


def with_heads(path: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """The bank rewrites, with its key, the heads of the first session it keeps, and all that follows."""
    ls = lines(path)
    entry = parse(ls[5])
    assert entry.kind == "heads_countersigned"
    heads = change(json.loads(json.dumps(entry.references["heads"])))
    changed = replace(entry, references={**entry.references, "heads": heads})
    put(path, rechained([*ls[:5], changed.line(), *ls[6:]], 5, TestSigner(BANK)))


def of(party: PartyId, **fields: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda heads: [{**h, **fields} if h["party"] == party else h for h in heads]


THIEF = TestSigner("thief")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (of(TAX, countersignature=""), ("countersignature_missing", TAX)),
        (of(TAX, countersignature="ab" * 64), ("countersignature_wrong", TAX)),
        (lambda heads: [h for h in heads if h["party"] != TELECOM], ("countersignature_missing", TELECOM)),
        (of(TELECOM, signature="ab" * 64), ("head_forged", TELECOM)),
        (of(TELECOM, public=THIEF.public.hex()), ("head_unknown_key", TELECOM)),
        (of(TAX, number=4), ("head_forged", TAX)),
        (of(BANK, digest="ab" * 32), ("own_head_differs", BANK)),
    ],
)
def test_a_head_or_countersignature_that_is_missing_or_wrong_is_found_with_its_party(
    root: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], expected: tuple[str, PartyId]
) -> None:
    path = path_of(root, BANK)
    with_heads(path, change)
    log = verified(path)
    first = [(f.code, f.about) for f in log.findings if f.is_grave and f.number == 6]
    assert expected in first
    assert not {f.code for f in log.findings} & {"edited", "bad_signature", "chain_broken"}


def test_a_session_that_was_never_countersigned_is_said_but_is_no_tampering(root: Path, tmp_path: Path) -> None:
    parties = Parties(tmp_path / "other")
    parties.session("s-1")
    log = parties.logs[BANK]
    log.append(Event("session_opened", {"session": "s-2", "parties": list(PARTIES)}))
    found = verified(log.path)
    assert grave(found) == []
    assert [(f.code, f.number, f.session) for f in found.findings] == [
        ("session_open", 7, "s-2"),
        ("unwitnessed", 5, ""),
    ]


# -- what others hold: the end cut off, the whole rewritten with the key ---------------------------------------------


def test_an_end_that_was_cut_off_shows_only_in_what_others_hold(root: Path) -> None:
    path = path_of(root, BANK)
    put(path, lines(path)[:8])
    assert grave(verified(path)) == []
    for other in (TAX, TELECOM):
        assert ("cut", BANK, 10) in grave(verified(path, path_of(root, other)))


def test_an_end_that_was_cut_right_after_the_head_shows_in_what_others_hold(root: Path) -> None:
    path = path_of(root, BANK)
    put(path, lines(path)[:10])
    log = verified(path, path_of(root, TAX))
    assert grave(log) == []
    assert ("not_kept", BANK, "s-2") in [(f.code, f.about, f.session) for f in log.findings]


@pytest.mark.parametrize("keep_heads", [True, False])
def test_a_log_rewritten_with_its_own_key_shows_in_what_others_hold(root: Path, keep_heads: bool) -> None:
    """The holder of the key changes a past entry and chains and signs everything anew: by itself all is well."""
    path = path_of(root, BANK)
    ls = edit(lines(path))
    kept = [line for line in ls if keep_heads or b'"kind":"heads_countersigned"' not in line]
    put(path, rechained(kept, 2, TestSigner(BANK)))
    alone = {code for code, _, _ in grave(verified(path))}
    assert alone == ({"own_head_differs"} if keep_heads else set())
    for other in (TAX, TELECOM):
        against = grave(verified(path, path_of(root, other)))
        assert ("rewritten", BANK, 5) in against
        assert {about for _, about, _ in against} == {BANK}


def test_the_liar_is_the_one_who_kept_what_the_other_never_signed(root: Path) -> None:
    """The tax bureau makes up a head of the bank's, to have its log look cut."""
    path = path_of(root, TAX)
    entry = parse(lines(path)[5])
    heads = [{**h, "number": 99} if h["party"] == BANK else h for h in entry.references["heads"]]
    changed = replace(entry, references={**entry.references, "heads": heads})
    put(path, rechained([*lines(path)[:5], changed.line(), *lines(path)[6:]], 5, TestSigner(TAX)))
    log = verified(path_of(root, BANK), path)
    assert ("head_forged", BANK, 99) in grave(log)
    [finding] = [f for f in log.findings if f.code == "head_forged"]
    assert finding.keeper == TAX
    assert "host:tax keeps what bank did not sign" in finding.english
    assert "cut" not in {f.code for f in log.findings}


def test_a_log_begun_anew_with_another_key_shows_in_what_others_hold(root: Path) -> None:
    path = path_of(root, BANK)
    first = parse(lines(path)[0])
    introduced = replace(first, references={**first.references, "public": THIEF.public.hex()})
    put(path, rechained([introduced.line()], 0, THIEF))
    assert ("head_unknown_key", BANK) in [
        (code, about) for code, about, _ in grave(verified(path, path_of(root, TAX), registered=False))
    ]


def test_two_heads_for_one_session_are_laid_at_whoever_signed_both(root: Path) -> None:
    """The telecom host shows the bank one head, and signs another that the tax bureau keeps."""
    signer, other = TestSigner(TELECOM), "ab" * 32
    twin = signer.sign(head_statement("s-1", TELECOM, 5, bytes.fromhex(other))).hex()
    path = path_of(root, TAX)
    entry = parse(lines(path)[5])
    heads = of(TELECOM, digest=other, signature=twin)(list(entry.references["heads"]))
    changed = replace(entry, references={**entry.references, "heads": heads})
    put(path, rechained([*lines(path)[:5], changed.line(), *lines(path)[6:]], 5, TestSigner(TAX)))
    found = grave(verified(path_of(root, BANK), path))
    assert ("two_heads", TELECOM, 5) in found
    assert {about for _, about, _ in found} == {TELECOM}


def test_a_second_head_that_nobody_signed_is_laid_at_nobody_but_its_keeper(root: Path) -> None:
    path = path_of(root, TAX)
    entry = parse(lines(path)[5])
    heads = of(TELECOM, digest="ab" * 32)(list(entry.references["heads"]))
    changed = replace(entry, references={**entry.references, "heads": heads})
    put(path, rechained([*lines(path)[:5], changed.line(), *lines(path)[6:]], 5, TestSigner(TAX)))
    assert "two_heads" not in {code for code, _, _ in grave(verified(path_of(root, BANK), path))}
    assert ("head_forged", TELECOM, 6) in grave(verified(path))


def test_a_key_signs_in_its_own_suite_only(root: Path) -> None:
    keeper = LogKeeper(Parties(root, new=False).logs[BANK], public_key)
    signature = TestSigner(TAX).sign(b"head")
    assert keeper.is_signed(TAX, SUITE.name, TestSigner(TAX).key_id, b"head", signature)
    assert not keeper.is_signed(TAX, OTHER.name, TestSigner(TAX).key_id, b"head", signature)
    assert not keeper.is_signed(TELECOM, SUITE.name, TestSigner(TAX).key_id, b"head", signature)


def test_evidence_against_a_party_is_shown(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log was cut between two sessions; the bank refused and kept the contradicting head."""
    parties = Parties(root, new=False)
    put(parties.path(TAX), lines(parties.path(TAX))[:4])
    monkeypatch.setattr(LogKeeper, "contains", lambda *_: True)  # the tax bureau hides it
    with pytest.raises(RemoteProtocolError) as caught:
        parties.countersign("s-3")
    assert (caught.value.party, caught.value.code) == (TAX, "audit_mismatch")
    assert ("disputed", TAX, 14) in grave(verified(parties.path(BANK)))


def test_a_head_covers_what_a_party_says_last_of_the_session(tmp_path: Path) -> None:
    parties = Parties(tmp_path)
    parties.countersign("s-1", Event("session_ended", {"session": "s-1"}))
    for log in parties.logs.values():
        _, ended, heads = log.entries()
        assert ended.kind == "session_ended"
        assert {h["number"] for h in heads.references["heads"]} == {2}
        assert [h["digest"] for h in heads.references["heads"] if h["party"] == log.party] == [ended.digest]


def test_a_new_log_is_taken_once_people_have_accepted_it(root: Path) -> None:
    parties = Parties(root, new=False)
    parties.path(TAX).unlink()
    parties.logs[TAX].begin()
    with pytest.raises(Refused) as caught:
        parties.countersign("s-3")
    assert (caught.value.party, caught.value.code) == (TAX, "audit_damaged")
    for party in (BANK, TELECOM):
        parties.logs[party].append(Event("log_accepted", {"party": TAX, "code": "disk_lost"}, "", "王芳"))
    parties.countersign("s-4")
    assert ("cut", TAX, 5) in grave(verified(parties.path(TAX), parties.path(BANK)))
