"""Whoever takes the relay's machine: all memory of its process and all it wrote, after a real training, searched for
pieces of what the parties said. With seals nothing is there; without, the same search finds it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from federation.codec import decode
from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.policy import HostPolicy
from federation.script import Wire
from federation.transports.dialogue import RelayWire, serve_responder
from federation.transports.link import Link
from federation.vertical.host import ALLOWED
from tests.builders import BANK, HOSTS, Session, vertical_problem
from tests.conftest import Key
from tests.federation.transports.hub import SECONDS, TICKETS
from tests.federation.transports.keyring import seals

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/PID/mem")


@dataclass
class Recording:
    """Keeps every frame that passes, in both directions, as the guest knows it."""

    wire: Wire
    frames: list[bytes] = field(default_factory=list)

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        replies = self.wire.exchange(frames)
        self.frames += (*frames.values(), *replies.values())
        return replies


@contextmanager
def relay_process(folder: Path) -> Iterator[tuple[int, str]]:
    """Process id and address."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "HOME": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.federation.transports.relay_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(folder / "log.txt").open("wb"),
        text=True,
        cwd=folder,
        env=environment,
    )
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(json.dumps(["loans", TICKETS]) + "\n")
        process.stdin.flush()
        yield process.pid, f"127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.communicate(timeout=SECONDS)


def trained_over(address: str, key: Key, sealed: bool) -> list[bytes]:
    """A small encrypted training of a bank and two hosts over the relay; the frames as the bank had them in clear."""
    session = Session(vertical_problem(240), cipher=key.secret, policy=HostPolicy(min_rows_per_bin=1))

    def link(party: str) -> Link:
        settings: dict[str, Any] = {"seals": seals(party)} if sealed else {}
        return Link(address, "loans", party, TICKETS[party], **settings)

    def serve(party: str) -> None:
        endpoint = Endpoint(session.hosts[party], BANK, ALLOWED)
        with link(party) as line:
            serve_responder(line, endpoint.answer, BANK, idle_seconds=60)

    with ThreadPoolExecutor(len(HOSTS)) as pool:
        served = [pool.submit(serve, host) for host in HOSTS]
        with link(BANK) as line:
            recording = Recording(RelayWire(line, deadline_seconds=60))
            trained = session.train(recording)
        for host in served:
            host.result(SECONDS)
    assert {n.owner for t in trained.fitted.model.trees for n in t} > {BANK}
    return recording.frames


def canaries(frames: list[bytes]) -> dict[str, bytes]:
    """Kinds of messages, and pieces of the longest frames: blinded points, tokens, ciphertexts, parted rows."""
    kinds = {decode(frame, "x").kind for frame in frames} - {"failure", "goodbye"}
    assert {"boosting.open", "boosting.gradients"} <= kinds
    found = {kind: kind.encode() for kind in kinds}
    draw = random.Random(0)
    for k, frame in enumerate(sorted(frames, key=len)[-12:]):
        start = draw.randrange(len(frame) // 4, len(frame) - 24)
        found[f"piece {k}"] = frame[start : start + 24]
    return found


def memory_of(pid: int) -> Iterator[bytes]:
    """Every readable part of a process's memory."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
            where, rights, *rest = line.split(maxsplit=5)
            if "r" not in rights or rest[-1] in ("[vvar]", "[vvar_vclock]", "[vsyscall]"):
                continue
            start, end = (int(part, 16) for part in where.split("-"))
            memory.seek(start)
            parts = []
            while start < end and (part := memory.read(min(end - start, 2**26))):
                parts.append(part)
                start += len(part)
            yield b"".join(parts)


def search(regions: Iterator[bytes], wanted: Mapping[str, bytes]) -> tuple[set[str], int]:
    """Which are there, and how many bytes were searched."""
    found, size = set(), 0
    for region in regions:
        size += len(region)
        found |= {name for name, piece in wanted.items() if name not in found and piece in region}
    return found, size


def stolen(folder: Path, key: Key, sealed: bool) -> tuple[set[str], set[str]]:
    """What of the conversation is in memory or files of the relay; what of its own is, so that the search can fail."""
    with relay_process(folder) as (pid, address):
        wanted = canaries(trained_over(address, key, sealed))
        own = {"ticket": TICKETS[BANK].encode(), "party": HOSTS[0].encode(), "code": b"lianmo_relay_queue_bytes"}
        found, size = search(memory_of(pid), wanted | own)
        assert size > 20 * 2**20
    written, _ = search((path.read_bytes() for path in folder.rglob("*") if path.is_file()), wanted)
    return (found | written) - own.keys(), found & own.keys()


def test_sealed_frames_leave_nothing_at_the_relay(tmp_path: Path, real_key: Key) -> None:
    found, own = stolen(tmp_path, real_key, sealed=True)
    assert found == set()
    assert own == {"ticket", "party", "code"}  # it knows who takes part: the memory was really read


def test_the_same_search_finds_frames_that_are_not_sealed(tmp_path: Path, real_key: Key) -> None:
    found, _ = stolen(tmp_path, real_key, sealed=False)
    assert any(name.startswith("boosting.") for name in found)
    assert any(name.startswith("piece") for name in found)
