"""Alignment at the size of a region: nothing grows with the number of rows but a few packed bytes for each.

The curve is replaced by integers modulo its order, which obey the same laws and cost next to nothing.
"""

from __future__ import annotations

import hashlib
import secrets
import tracemalloc
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from joblib import parallel_config

from federation.alignment.guest import choose_rows, find_common
from federation.alignment.host import TRANSITIONS, AlignmentHost
from federation.alignment.messages import RowsChosen, RowsPart
from federation.alignment.tokens import BATCH
from federation.ciphers import oprf
from federation.endpoint import Endpoint
from federation.messages import Message
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import MemoryWire
from models.errors import DataError

ALLOWED = tuple({kind for _, kind in TRANSITIONS})
ORDER = 2**252 + 27742317777372353535851937790883648493
ROWS = 50_000
LONGEST = 512 * 1024 + 64  # a full batch of points and its head


def product(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "little") * int.from_bytes(b, "little") % ORDER).to_bytes(32, "little")


@pytest.fixture
def integers_for_points(monkeypatch: pytest.MonkeyPatch) -> None:
    group = SimpleNamespace(
        crypto_core_ristretto255_scalar_random=lambda: (1 + secrets.randbelow(ORDER - 1)).to_bytes(32, "little"),
        crypto_core_ristretto255_from_hash=lambda h: product(h, (1).to_bytes(32, "little")),
        crypto_core_ristretto255_scalar_mul=product,
        crypto_scalarmult_ristretto255=product,
        crypto_core_ristretto255_scalar_invert=lambda s: pow(int.from_bytes(s, "little"), -1, ORDER).to_bytes(
            32, "little"
        ),
        crypto_core_ristretto255_is_valid_point=lambda _: True,
    )
    monkeypatch.setattr(oprf, "rbcl", group)


def identifiers(start: int, stop: int) -> tuple[str, ...]:
    return tuple(hashlib.sha256(str(i).encode()).hexdigest()[:18] for i in range(start, stop))


def align(guest_ids: tuple[str, ...], host: AlignmentHost, seen: list[tuple[Message, int]]) -> np.ndarray:
    """The chosen rows of the guest: those the host knows, from the last to the first."""
    wire = MemoryWire({"a": Endpoint(host, "bank", ALLOWED).answer})

    def witness(_sender: str, _receiver: str, message: Message, n_bytes: int) -> None:
        seen.append((message, n_bytes))

    positions = run(find_common(guest_ids, ["a"]), wire, witness)
    rows = np.flatnonzero(positions["a"] >= 0)[::-1]
    run(choose_rows(positions, rows), wire, witness)
    return rows


@pytest.mark.usefixtures("integers_for_points")
def test_no_message_is_longer_than_a_batch() -> None:
    host = AlignmentHost(identifiers(ROWS // 5, ROWS + ROWS // 5), HostPolicy())
    guest_ids = identifiers(0, ROWS)
    seen: list[tuple[Message, int]] = []
    rows = align(guest_ids, host, seen)
    assert rows.tolist() == list(range(ROWS - 1, ROWS // 5 - 1, -1))
    assert [host.ids[k] for k in host.state.rows] == [guest_ids[k] for k in rows]
    assert max(n_bytes for _, n_bytes in seen) <= LONGEST
    kinds = Counter(type(message) for message, _ in seen)
    assert (kinds[RowsPart], kinds[RowsChosen]) == ((ROWS * 4 // 5 - 1) // BATCH, 1)


@pytest.mark.usefixtures("integers_for_points")
def test_a_row_takes_up_few_bytes_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = 1024
    for room in ("guest", "host"):
        monkeypatch.setattr(f"federation.alignment.{room}.BATCH", batch)

    def peak(n_rows: int) -> int:
        ids = identifiers(0, n_rows)
        host = AlignmentHost(ids, HostPolicy())
        tracemalloc.start()
        try:
            align(ids, host, [])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small, large = peak(4 * batch), peak(12 * batch)
    # Two tokens of 16 bytes and some numbers of 8. One list of tokens, as objects, would take 57 more.
    assert (large - small) / (8 * batch) < 130


@pytest.mark.parametrize("n_rows", [0, 1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH])
@pytest.mark.usefixtures("integers_for_points")
def test_the_last_batch_may_be_full_or_empty(n_rows: int) -> None:
    host = AlignmentHost(identifiers(0, n_rows), HostPolicy())
    hosts = {"a": host, "b": AlignmentHost(identifiers(0, 5), HostPolicy())}
    wire = MemoryWire(
        {name: Endpoint(h, "bank", tuple({k for _, k in TRANSITIONS})).answer for name, h in hosts.items()}
    )
    guest_ids = identifiers(0, 3)
    if not n_rows:
        with pytest.raises(DataError):
            run(find_common(guest_ids, ["a", "b"]), wire)
        return
    positions = run(find_common(guest_ids, ["a", "b"]), wire)
    assert (positions["a"] >= 0).tolist() == [k < n_rows for k in range(3)]
    assert host.state.n_shown == n_rows


@pytest.mark.parametrize("step", ["_blind_piece", "_evaluate_piece", "_finalize_piece", "_own_piece"])
def test_every_step_of_a_batch_is_shared_among_all_lanes(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    work: Callable[..., object] = getattr(oprf, step)
    shares: list[object] = []

    def counted(*piece: object) -> object:
        shares.append(piece)
        return work(*piece)

    monkeypatch.setattr(oprf, step, counted)
    ids = identifiers(0, 30)
    with parallel_config(backend="threading", n_jobs=3):
        align(ids, AlignmentHost(ids, HostPolicy(min_rows=1)), [])
    assert len(shares) == 3
