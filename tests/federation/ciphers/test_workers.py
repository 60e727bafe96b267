"""Spread over processes, the work gives what it gives in one."""

from __future__ import annotations

import numpy as np
import pytest
from joblib import parallel_config

from federation.ciphers import oprf, workers
from federation.ciphers.packing import PairPacking
from federation.vertical.sums import bin_sums, sealed
from models.boosting.grouping import group_features
from tests.conftest import Key


def test_without_a_backend_nothing_leaves_the_process() -> None:
    seen: list[int] = []
    assert workers.lanes() == 1
    assert workers.spread(seen.append, [(1,), (2,)]) == [None, None]
    assert seen == [1, 2]


@pytest.mark.parametrize(("n", "multiple"), [(0, 1), (1, 5), (10, 3), (11, 4)])
def test_pieces_are_the_whole_in_order(n: int, multiple: int) -> None:
    with parallel_config(backend="threading", n_jobs=3):
        pieces = workers.cut(list(range(n)), multiple)
    assert [i for piece in pieces for i in piece] == list(range(n))
    assert all(len(piece) % multiple == 0 for piece in pieces[:-1])


def test_two_processes_encrypt_sum_pack_and_decrypt_as_one(real_key: Key) -> None:
    secret = real_key.secret()
    rng = np.random.default_rng(0)
    n = 9000
    codes = np.stack([rng.integers(0, 3, n), rng.integers(0, 2, n)]).astype(np.uint8)
    packing = PairPacking.for_rows(n, 8, secret.public.plaintext_bits)
    g, h = rng.integers(-200, 200, n).tolist(), rng.integers(0, 200, n).tolist()
    with parallel_config(backend="loky", n_jobs=2):
        assert workers.lanes() == 2
        sent = secret.encrypt(packing.join(g, h))
        data = np.frombuffer(sent, dtype=np.uint8).reshape(n, -1)
        [sums] = bin_sums(secret.public, data, [np.arange(n)], codes, group_features(codes, (3, 2)))
        frame = sealed(secret.public, packing, [s for of_bins in (sums[0], sums[1]) for s in of_bins if s is not None])
        found = packing.split(secret.decrypt(frame), 5)
    for values, totals in zip((g, h), found, strict=True):
        direct = [
            np.bincount(c, weights=values, minlength=m).astype(int).tolist() for c, m in zip(codes, (3, 2), strict=True)
        ]
        assert totals == direct[0] + direct[1]


def test_two_processes_blind_and_evaluate_as_one() -> None:
    key = oprf.generate_key()
    inputs = [f"id{i}".encode() for i in range(40)]
    with parallel_config(backend="loky", n_jobs=2):
        blinded = oprf.blind_all(inputs)
        evaluated = oprf.evaluate_all(key, [point for _, point in blinded])
        outputs = oprf.finalize_all(inputs, [scalar for scalar, _ in blinded], evaluated)
        own = oprf.evaluate_own_all(key, inputs)
    assert outputs == own == [oprf.evaluate_own(key, data) for data in inputs]


def test_a_bad_point_is_refused_in_a_worker_too() -> None:
    with parallel_config(backend="loky", n_jobs=2), pytest.raises(oprf.InvalidPoint):
        oprf.evaluate_all(oprf.generate_key(), [b"\xff" * 32] * 4)
