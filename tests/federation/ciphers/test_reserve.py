"""What is made ahead is used once, never waited for, and decrypts like everything else."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from functools import partial

import pytest
from joblib import parallel_config

from federation.ciphers.paillier import PaillierSecret
from federation.ciphers.reserve import Reserve
from tests.conftest import Key


def strings(mark: bytes, count: int) -> bytes:
    return b"".join(mark + os.urandom(15) for _ in range(count))


def settle(reserve: Reserve) -> None:
    """Let all that was ordered be made."""
    for coming in reserve._coming:
        coming.wait(60)
        assert coming.ready()


@pytest.fixture
def reserve() -> Iterator[Reserve]:
    reserve = Reserve(partial(strings, b"x"), 16, 1)
    yield reserve
    reserve.fill(0)


def test_each_is_handed_out_once_and_the_stock_is_topped_up(reserve: Reserve) -> None:
    reserve.fill(600)
    settle(reserve)
    first = reserve.take(500)
    reserve.fill(600)
    settle(reserve)
    second = reserve.take(10_000)
    assert len(first) == 500
    assert 600 <= len(second) < 600 + 256
    assert len({*first, *second}) == len(first) + len(second)
    assert all(len(made) == 16 and made[:1] == b"x" for made in first + second)
    assert reserve.take(1) == []


def test_the_stock_is_bounded(reserve: Reserve) -> None:
    reserve.fill(10**9)
    assert len(reserve._coming) * 256 == 65_536


def test_nothing_is_kept_after_the_end(reserve: Reserve) -> None:
    reserve.fill(300)
    settle(reserve)
    assert len(reserve.take(1)) == 1
    reserve.fill(0)
    assert reserve.take(300) == []


def test_its_processes_end_with_it() -> None:
    reserve = Reserve(partial(strings, b"y"), 16, 1)
    reserve.fill(1)
    settle(reserve)
    assert reserve._pool is not None
    [process] = reserve._pool._pool  # type: ignore[attr-defined]
    del reserve
    gc.collect()
    process.join(60)
    assert not process.is_alive()


def test_ciphertexts_made_from_it_are_fresh_and_right(real_key: Key) -> None:
    secret = real_key.secret()
    with parallel_config(backend="loky", n_jobs=2):
        secret.prepare(300)
        assert secret._reserve is not None
        settle(secret._reserve)
        data = secret.encrypt([7] * 400)
        assert len(secret._reserve._ready) == 512 - 400
        secret.prepare(0)
    size = secret.public.ciphertext_bytes
    assert len({data[i : i + size] for i in range(0, len(data), size)}) == 400
    assert secret.decrypt(data[: 3 * size] + data[-3 * size :]) == [7] * 6


def test_one_process_stays_one(short_keys: Key) -> None:
    secret: PaillierSecret = short_keys.secret()
    secret.prepare(1000)
    assert secret._reserve is None
