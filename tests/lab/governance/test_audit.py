"""A log survives many writers, crashes at every byte and a full disk; it does not build on what was tampered with."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from lab.errors import ServiceError
from lab.governance.audit import AuditLog
from lab.governance.audit_entry import NOTHING, AuditKey, Event, parse
from tests.lab.governance.logs import Clock, grave, verified
from tests.signing import OTHER, SUITE, SUITES, TestSigner

BANK = TestSigner("bank")


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    opened = AuditLog(tmp_path / "audit", "bank", BANK, SUITES, Clock())
    opened.begin("王芳")
    return opened


@pytest.fixture
def no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that write very often: what is on the disk is not what they look at."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def scored(k: int = 0) -> Event:
    return Event("score_answered", {"score": f"s-{k}", "model": "m-1"})


def again(log: AuditLog) -> AuditLog:
    """As another process sees it."""
    return AuditLog(log.folder, "bank", BANK, SUITES, Clock())


def test_entries_are_numbered_chained_dated_and_signed(log: AuditLog) -> None:
    one, two = log.append(scored(1), scored(2))
    (three,) = again(log).append(Event("refused", {"code": "policy", "party": "host:tax"}, "host:tax", "李 雷"))
    first, *others = log.entries()
    assert others == [one, two, three]
    assert [e.number for e in log.entries()] == [1, 2, 3, 4]
    assert [e.previous for e in log.entries()] == [NOTHING, first.digest, one.digest, two.digest]
    assert first.time == "2026-03-01T08:00:01.000000Z"
    assert (first.kind, first.operator, first.actor) == ("log_opened", "王芳", "bank")
    assert (three.actor, three.operator) == ("host:tax", "李 雷")
    assert log.last() == three
    assert grave(verified(log.path)) == []
    assert log.path.stat().st_mode & 0o077 == 0
    assert log.folder.stat().st_mode & 0o077 == 0


def test_entries_of_a_kind_are_found(log: AuditLog) -> None:
    log.append(scored(1), Event("refused", {"code": "policy"}), scored(2))
    assert [e.references["score"] for e in log.entries("score_answered")] == ["s-1", "s-2"]
    assert [e.kind for e in log.entries("refused", "log_opened")] == ["log_opened", "refused"]


def test_the_time_is_utc_whatever_the_clock_says(tmp_path: Path) -> None:
    shanghai = datetime(2026, 3, 1, 8, 0, tzinfo=timezone(timedelta(hours=8)))
    log = AuditLog(tmp_path, "bank", BANK, SUITES, lambda: shanghai)
    assert log.begin().time == "2026-03-01T00:00:00.000000Z"


def test_a_log_is_opened_once_and_must_exist(log: AuditLog, tmp_path: Path) -> None:
    with pytest.raises(ServiceError) as caught:
        again(log).begin()
    assert caught.value.code == "audit_exists"
    absent = AuditLog(tmp_path / "none", "bank", BANK, SUITES)
    for ask in (lambda: absent.append(scored()), absent.last, lambda: list(absent.entries())):
        with pytest.raises(ServiceError) as caught:
            ask()
        assert caught.value.code == "audit_missing"
    log.path.write_bytes(b"")  # somebody emptied it: nothing starts over by itself
    with pytest.raises(ServiceError) as caught:
        again(log).append(scored())
    assert caught.value.code == "audit_missing"


def test_an_entry_that_is_too_long_is_refused_and_nothing_is_written(log: AuditLog) -> None:
    before = log.path.read_bytes()
    signature = "ab" * 1024
    head = {"party": "p", "number": 1, "digest": "ab" * 32, "suite": "s", "key": "k", "public": signature}
    heads = [{**head, "signature": signature, "countersignature": signature}] * 50
    long = Event("heads_countersigned", {"session": "s-1", "heads": heads})
    with pytest.raises(ServiceError) as caught:
        log.append(scored(), long)
    assert caught.value.code == "audit_entry"
    assert log.path.read_bytes() == before
    log.append(scored())


# -- many writers --------------------------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from lab.governance.audit import AuditLog
from lab.governance.audit_entry import Event
from tests.signing import SUITES, TestSigner
log = AuditLog(Path(sys.argv[1]), "bank", TestSigner("bank"), SUITES)
for k in range(25):
    log.append(Event("score_answered", {"score": f"{sys.argv[2]}-{k}", "model": "m-1"}))
"""


def test_several_processes_write_one_chain(log: AuditLog) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(log.folder), name], cwd=Path(__file__).parents[3])
        for name in ("a", "b", "c")
    ]
    for k in range(25):
        log.append(scored(k))
    assert [w.wait(60) for w in writers] == [0, 0, 0]
    found = [e.references["score"] for e in log.entries("score_answered")]
    assert sorted(found) == sorted(f"{name}-{k}" for name in ("a", "b", "c", "s") for k in range(25))
    for name in ("a", "b", "c", "s"):
        assert [s for s in found if s.startswith(name)] == [f"{name}-{k}" for k in range(25)]
    assert grave(verified(log.path)) == []


def test_several_threads_write_one_chain(log: AuditLog, no_flush: None) -> None:
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(lambda k: log.append(scored(k))[0], range(200)))
    assert sorted(e.number for e in entries) == list(range(2, 202))
    assert [e.references["score"] for e in entries] == [f"s-{k}" for k in range(200)]
    assert grave(verified(log.path)) == []


def test_threads_that_wait_share_one_flush(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one write is on its way to the disk the others gather, and go together."""
    gathered, flushing, flushes = threading.Event(), threading.Event(), []

    class Gathering(list):  # type: ignore[type-arg]
        def append(self, item: object) -> None:
            super().append(item)
            if len(self) == 8:
                gathered.set()

    def flush(descriptor: int) -> None:
        flushes.append(descriptor)
        if len(flushes) == 1:
            log._waiting = Gathering()
            flushing.set()
            assert gathered.wait(30)

    monkeypatch.setattr(os, "fsync", flush)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(log.append, scored(0))
        assert flushing.wait(30)
        others = [pool.submit(log.append, scored(k)) for k in range(1, 9)]
        entries = [f.result()[0] for f in [first, *others]]
    assert len(flushes) == 2
    assert [e.references["score"] for e in entries] == [f"s-{k}" for k in range(9)]


def test_an_entry_is_returned_only_when_it_is_on_the_disk(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(log.path.read_bytes()))
    (entry,) = log.append(scored())
    assert flushed[-1].endswith(entry.line() + b"\n")


# -- one signature for many scores ----------------------------------------------------------------------------------


def test_scores_written_together_share_the_last_ones_signature(log: AuditLog) -> None:
    log.append(scored(0), Event("refused", {"code": "policy"}), *map(scored, range(1, 40)))
    log.append(scored(40))
    signed = [e for e in log.entries() if e.signature]
    assert [e.references.get("score", e.kind) for e in signed] == ["log_opened", "refused", "s-39", "s-40"]
    assert grave(verified(log.path)) == []


def test_what_somebody_adds_without_a_key_is_never_signed_over(log: AuditLog) -> None:
    """A score that nobody gave, numbered, linked and with a digest that fits: all but a signature."""
    (last,) = log.append(scored(1))
    before = log.path.read_bytes()
    forged = replace(last, number=3, previous=last.digest, references={"score": "s-7", "model": "m-1"}, signature="")
    line = replace(forged, digest=SUITE.digest(forged.digested_bytes()).hex()).line()
    log.path.write_bytes(before + line + b"\n")
    assert grave(verified(log.path)) == [("torn", "bank", 3)]
    assert log.last() == last
    for process in (log, again(log)):
        process.append(scored(2))
        assert "s-7" not in [e.references["score"] for e in log.entries("score_answered")]
    (aside,) = log.folder.glob("torn-*")
    assert aside.read_bytes() == line + b"\n"
    assert grave(verified(log.path)) == []


# -- crashes -------------------------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process is gone at this point."""


def test_a_crash_in_the_middle_of_a_line_loses_no_entry_silently(log: AuditLog, no_flush: None) -> None:
    log.append(scored(1))
    whole = log.path.read_bytes()
    log.append(scored(2))
    line = log.path.read_bytes()[len(whole) :]
    for written in (*range(1, len(line), 40), len(line) - 1):
        log.path.write_bytes(whole + line[:written])
        assert grave(verified(log.path)) == [("torn", "bank", 3)]
        written_after = again(log).append(scored(3))
        after = list(log.entries())[2:]
        assert [e.kind for e in after] == ["tail_recovered", "score_answered"]
        assert written_after == (after[1],)
        references = after[0].references
        aside = log.folder / f"torn-{references['offset']}-{references['torn']}"
        assert aside.read_bytes() == line[:written]
        assert (references["n_bytes"], references["offset"]) == (written, len(whole))
        assert grave(verified(log.path)) == []
        assert "recovered" in {f.code for f in verified(log.path).findings}
        aside.unlink()


@pytest.mark.parametrize("call", ["ftruncate", "pwrite"])
def test_a_crash_in_the_middle_of_recovery_is_recovered_from(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    log.append(scored(1))
    log.path.write_bytes(log.path.read_bytes() + b'{"torn')

    def crash(*arguments: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(os, call, crash)
        with pytest.raises(Crash):
            again(log).append(scored(2))
    again(log).append(scored(3))
    again(log).append(scored(4))
    assert [e.kind for e in log.entries()] == [
        "log_opened",
        "score_answered",
        "tail_recovered",
        *["score_answered"] * 2,
    ]
    assert grave(verified(log.path)) == []


def test_of_a_write_that_a_crash_cut_off_what_is_signed_stays_and_the_rest_is_set_aside(log: AuditLog) -> None:
    """Nobody was told of any of it: that waits for the whole write."""
    refused, *_ = log.append(Event("refused", {"code": "policy"}), *map(scored, range(3)))
    whole = log.path.read_bytes()
    ends = [k + 1 for k, byte in enumerate(whole) if byte == ord("\n")]
    for cut in (ends[-1] - 20, ends[-2]):  # inside the last line; exactly before it
        log.path.write_bytes(whole[:cut])
        assert log.last() == refused
        assert list(log.entries())[1:] == [refused]
        assert grave(verified(log.path)) == [("torn", "bank", 3)]
        again(log).append(scored(9))
        *_, recovered, after = log.entries()
        assert (recovered.kind, after.references["score"]) == ("tail_recovered", "s-9")
        aside = log.folder / f"torn-{ends[1]}-{recovered.references['torn']}"
        assert aside.read_bytes() == whole[ends[1] : cut]
        assert grave(verified(log.path)) == []
        aside.unlink()


def test_a_full_disk_is_said_and_leaves_no_half_line(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    before, real = log.path.read_bytes(), os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[: len(data) // 2], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(ServiceError) as caught:
            log.append(scored(1))
    assert caught.value.code == "audit_not_written"
    assert log.path.read_bytes() == before
    log.append(scored(2))
    assert [e.references["score"] for e in log.entries("score_answered")] == ["s-2"]
    assert grave(verified(log.path)) == []


# -- nothing is built on what was tampered with --------------------------------------------------------------------


def edited(line: bytes) -> bytes:
    return line.replace(b"s-1", b"s-7")


def forged(line: bytes) -> bytes:
    """Edited with a digest that fits, but without the key."""
    entry = parse(edited(line))
    return replace(entry, digest=SUITE.digest(entry.digested_bytes()).hex()).line()


def of_another(line: bytes) -> bytes:
    """Good in all but whose log it says it is of."""
    entry = replace(parse(line), party="host:tax")
    entry = replace(entry, signature=BANK.sign(entry.signed_bytes()).hex())
    return replace(entry, digest=SUITE.digest(entry.digested_bytes()).hex()).line()


def with_another_digest(line: bytes) -> bytes:
    """The signature does not cover the digest."""
    return replace(parse(line), digest="ab" * 32).line()


@pytest.mark.parametrize(
    "harm", [edited, forged, of_another, with_another_digest, lambda line: b"", lambda line: b"x" * 300_000]
)
def test_a_log_whose_end_was_changed_is_not_extended(log: AuditLog, harm: object) -> None:
    log.append(scored(1))
    *before, last = log.path.read_bytes().splitlines()
    log.path.write_bytes(b"\n".join([*before, harm(last)]) + b"\n")  # type: ignore[operator]
    size = log.path.stat().st_size
    with pytest.raises(ServiceError) as caught:
        again(log).append(scored(2))
    assert caught.value.code == "audit_damaged"
    assert log.path.stat().st_size == size


# -- keys ----------------------------------------------------------------------------------------------------------


def test_the_key_changes_by_an_entry_under_the_old_one(log: AuditLog) -> None:
    new = TestSigner("bank-new")
    entry = log.rotate(new, "王芳")
    assert (entry.key, entry.references["key"], entry.operator) == (BANK.key_id, new.key_id, "王芳")
    (after,) = log.append(scored())
    assert after.key == new.key_id
    assert log.keys() == {k.key_id: AuditKey(SUITE.name, k.public) for k in (BANK, new)}
    (later,) = AuditLog(log.folder, "bank", new, SUITES).append(scored())
    assert later.number == 4
    assert grave(verified(log.path)) == []


def test_a_key_cannot_be_introduced_by_an_ordinary_entry(log: AuditLog) -> None:
    thief = {"key": "thief", "suite": SUITE.name, "public": "ab" * 32}
    for event in (Event("log_opened", thief), Event("audit_key_rotated", {**thief, "replaced": BANK.key_id})):
        with pytest.raises(ValueError, match="begin and rotate"):
            log.append(event)
    assert log.last().number == 1


@pytest.mark.parametrize("rest", [(), (scored(),)])
def test_the_suite_changes_with_the_key(log: AuditLog, rest: tuple[Event, ...]) -> None:
    new = TestSigner("bank-new", OTHER)
    log.rotate(new)
    log.append(*rest)
    later = AuditLog(log.folder, "bank", new, SUITES).append(scored())[-1]
    assert [e.suite for e in log.entries()] == [SUITE.name] * 2 + [OTHER.name] * (1 + len(rest))
    assert later.digest == OTHER.digest(later.digested_bytes()).hex()
    assert grave(verified(log.path)) == []


@pytest.mark.parametrize("rest", [(), (scored(),)])
def test_a_process_with_the_old_key_writes_no_more(log: AuditLog, rest: tuple[Event, ...]) -> None:
    old = again(log)
    old.append(scored())
    log.rotate(TestSigner("bank-new"))
    if rest:
        log.append(*rest)
    for process in (old, again(log)):
        with pytest.raises(ServiceError) as caught:
            process.append(scored())
        assert caught.value.code == "audit_key"
    assert grave(verified(log.path)) == []


def test_an_error_of_one_is_told_to_all_who_waited_with_it(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pwrite", fail)
    with ThreadPoolExecutor(4) as pool:
        errors = [pool.submit(log.append, scored(k)).exception() for k in range(8)]
    assert {type(e) for e in errors} == {ServiceError}
    assert {e.code for e in errors if isinstance(e, ServiceError)} == {"audit_not_written"}
