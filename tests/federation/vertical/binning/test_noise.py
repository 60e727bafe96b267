"""Noise on a host's counts: in all that is shown, paid for first, drawn once, hiding one applicant, never too much."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from federation.ciphers.interface import SecretCipher
from federation.ciphers.plain import PlainSecret
from federation.errors import LocalProtocolError, RemoteProtocolError
from federation.messages import Message
from federation.policy import CountNoise, HostPolicy
from federation.vertical.binning.host import BinningHost
from federation.vertical.binning.messages import FinalBins, Labels, Open, PrebinSums, SumsWanted
from federation.vertical.binning.noise import noisy_cells
from federation.vertical.binning.packing import REACH, CountPacking
from federation.vertical.binning.prebinning import Prebinning
from models.losses import Integers
from models.noise import LEAST_EPSILON, Draw, draw, furthest
from models.table import Table
from tests.builders import HOSTS
from tests.conftest import Key
from tests.federation.vertical.binning.builders import N_FIT, POLICY, PREBINNING, Binning, N, rows

ROWS = rows()
PARTY = HOSTS[1]
N_FEATURES = len(ROWS.hosts[PARTY].columns)


@dataclass
class Purse:
    """Notes what is spent; with nothing left it refuses."""

    left: int = 100
    spent: list[int] = field(default_factory=list)

    def __call__(self, n_features: int) -> None:
        if n_features > self.left:
            raise LocalProtocolError("epsilon_spent", "Nothing is left.", "已无余额。")
        self.left -= n_features
        self.spent.append(n_features)


@dataclass
class Seeded:
    """Discrete Laplace noise from a seed: the difference of two geometric numbers."""

    seed: int = 0
    asked: list[int] = field(default_factory=list)

    def __call__(self, epsilon: float, n: int) -> Integers:
        rng = np.random.default_rng([self.seed, len(self.asked)])
        self.asked.append(n)
        a, b = rng.geometric(1 - math.exp(-epsilon), (2, n))
        return np.asarray(a - b, dtype=np.int64)


def constant(k: int) -> Draw:
    return lambda _, n: np.full(n, k, dtype=np.int64)


def noisy(epsilon: float = 0.5, source: Draw | None = None, purse: Purse | None = None) -> HostPolicy:
    noise = CountNoise(epsilon=epsilon, spend=purse or Purse(), draw=source or Seeded())
    return replace(POLICY, noise=noise)


def host_of(policy: HostPolicy, table: Table = ROWS.hosts[PARTY], own: Prebinning = PREBINNING[PARTY]) -> BinningHost:
    return BinningHost(PARTY, table, policy, own)


def opening(secret: SecretCipher, n_fit: int = N_FIT, n_rows: int = N) -> Open:
    public, packing = secret.public, CountPacking.for_rows(n_fit, secret.public.plaintext_bits)
    return Open(
        cipher=public.name,
        key=public.key,
        slot=packing.slot,
        per_ciphertext=packing.per_ciphertext,
        offset=packing.offset,
        n_rows=n_rows,
        n_fit=n_fit,
    )


def shown(host: BinningHost, secret: SecretCipher, label: list[int], n_rows: int = N) -> tuple[PrebinSums, list[int]]:
    """What the host shows, and its decrypted bads."""
    request = opening(secret, len(label), n_rows)
    host.answer(request)
    host.answer(Labels(start=0, ciphertexts=secret.encrypt(label)))
    sums = host.answer(SumsWanted())
    assert isinstance(sums, PrebinSums)
    packing = CountPacking(request.slot, request.per_ciphertext, request.offset)
    return sums, packing.split(secret.decrypt(sums.ciphertexts), sum(map(len, sums.counts)))


LABEL = ROWS.label[:N_FIT].astype(int).tolist()


@pytest.mark.parametrize("encrypted", [False, True])
def test_rows_and_defaults_carry_the_noise_that_was_drawn(real_key: Key, *, encrypted: bool) -> None:
    secret = real_key.secret() if encrypted else PlainSecret()
    policy = noisy()
    host = host_of(replace(policy, cipher=HostPolicy().cipher) if encrypted else policy)
    sums, bads = shown(host, secret, LABEL)
    assert sums.epsilon == 0.5
    work, label = host._ready(), np.array(LABEL)
    moved = 0
    for place, f in enumerate(host.state.order.tolist()):
        codes, of_goods, of_bads = work.codes[f], *work.noise[f]
        n = len(of_goods)
        exact = np.bincount(codes, minlength=n), np.bincount(codes, label, n).astype(int)
        here, bads = bads[:n], bads[n:]
        assert here == (exact[1] + of_bads).tolist()
        assert list(sums.counts[place]) == (exact[0] + of_goods + of_bads).tolist()
        moved += int((of_goods != 0).sum() + (of_bads != 0).sum())
    assert moved > 20


def test_it_is_paid_for_once_and_drawn_once_however_often_the_host_restarts() -> None:
    purse, source = Purse(), Seeded()
    policy = noisy(source=source, purse=purse)
    host, secret = host_of(policy), PlainSecret()
    host.answer(opening(secret))
    host.answer(Labels(start=0, ciphertexts=secret.encrypt(LABEL)))
    replies = []
    for _ in range(2):
        again = host_of(policy)
        again.load(host.dump())
        replies.append(again.answer(SumsWanted()))
    assert replies[0] == replies[1]
    assert purse.spent == [N_FEATURES]
    assert len(source.asked) == 1


def test_what_cannot_be_paid_for_is_refused_before_anything_is_drawn_or_shown() -> None:
    source = Seeded()
    host = host_of(noisy(source=source, purse=Purse(left=N_FEATURES - 1)))
    before = host.dump()
    with pytest.raises(LocalProtocolError) as caught:
        host.answer(opening(PlainSecret()))
    assert caught.value.code == "epsilon_spent"
    assert host.dump() == before
    assert source.asked == []


def test_a_host_uses_no_noise_beyond_what_packing_has_room_for() -> None:
    turns = iter([furthest(0.5) + 1, -furthest(0.5) - 1, 7])
    host = host_of(noisy(source=lambda _, n: np.full(n, next(turns), dtype=np.int64)))
    host.answer(opening(PlainSecret()))
    assert set(host.state.noise.ravel().tolist()) == {7}


def test_nothing_is_paid_for_a_run_that_is_refused() -> None:
    purse = Purse()
    host = host_of(noisy(purse=purse))
    with pytest.raises(LocalProtocolError):
        host.answer(replace(opening(PlainSecret()), offset=REACH - 1))
    assert purse.spent == []


@pytest.mark.parametrize("of", [0, 1], ids=["goods", "bads"])
def test_whether_an_applicant_is_in_the_table_cannot_be_told_better_than_epsilon_allows(of: int) -> None:
    """Two neighbouring tables through the whole host; the guest's best threshold on the count that differs."""
    epsilon, times, others = 1.0, 500, 39
    values, label = np.array([-1.0, 1.0] * others)[:others], [0, 1, 1, 0] * others
    seen = []
    for table, told in (
        (values, label[:others]),
        (np.append(values, 5.0), [*label[:others], of]),
    ):
        n = len(table)
        own = Table(tuple(map(str, range(n))), {"x": table})
        policy = replace(noisy(epsilon, draw, Purse(times)), min_rows_per_bin=0)
        found = []
        for _ in range(times):
            host = host_of(policy, own, Prebinning(cut_points={"x": [0.0]}))
            sums, bads = shown(host, PlainSecret(), told, n)
            cell = int(host._ready().codes[0, 1])  # of a row on the applicant's side
            found.append((sums.counts[0][cell] - bads[cell], bads[cell])[of])
        seen.append(np.array(found))
    without, with_one = seen
    least = 0.0
    for threshold in range(-5, others):
        low = binomtest(int((with_one >= threshold).sum()), times).proportion_ci(1 - 1e-9).low
        high = binomtest(int((without >= threshold).sum()), times).proportion_ci(1 - 1e-9).high
        least = max(least, math.log(low / high) if low else 0.0)
    assert least <= epsilon


def test_which_prebins_are_merged_depends_on_noisy_rows_only() -> None:
    """So merging is part of what the noise protects: tables with one applicant more that look alike are cut alike."""
    counts, noise = [60, 23, 31, 0, 44], np.array([[3, 2, -4, 1, 0], [1, 1, 2, -1, 0]])
    alike = np.array([[0, -1, 0, -1, 0], [0, 0, 1, 0, 0]])
    cells = noisy_cells(counts, 4, 10, 1.0, noise)
    other = noisy_cells([60, 24, 30, 1, 44], 4, 10, 1.0, noise + alike)
    assert cells.cell_of == other.cell_of
    assert (cells.counts, other.counts) == ((60, 23, 31, 44), (60, 24, 31, 44))
    assert noisy_cells(counts, 4, 10, 0.0, 0 * noise).counts == (60, 23, 31, 0, 44)


@pytest.mark.parametrize("epsilon", [0.3, 1.0])
def test_cells_have_the_floor_without_their_noise_too(epsilon: float) -> None:
    for seed in range(30):
        host = host_of(noisy(epsilon, Seeded(seed)))
        host.answer(opening(PlainSecret()))
        assert min(n for cells in host._ready().cells for n in cells.counts) >= POLICY.min_rows_per_bin


def test_a_bin_is_no_oracle_for_the_exact_count() -> None:
    """Whatever rows a bin has without noise, it may have a WOE: a refusal would tell."""
    host, secret = host_of(noisy()), PlainSecret()
    sums, _ = shown(host, secret, LABEL)
    work = host._ready()
    host.policy = replace(host.policy, min_rows_per_bin=N)
    host._work = work
    bins = tuple(tuple(range(len(c))) for c in sums.counts)
    woe = tuple((0.5,) * len(c) for c in sums.counts)
    assert host.answer(FinalBins(bin_of=bins, woe=woe, unseen_woe=0.0)).n_features == N_FEATURES


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([LEAST_EPSILON, 0.3, 1.0, 20.0]), st.sampled_from([-1, 0, 1]))
def test_no_noise_stops_an_honest_run(seed: int, epsilon: float, end: int) -> None:
    """Not even if all of it is as far out as it can be."""
    source: Draw = constant(end * furthest(epsilon)) if end else Seeded(seed)
    binning = Binning(ROWS, policy=noisy(epsilon, source))
    binned = binning.fit()
    for features in binned.hosts.values():
        for f in features:
            assert sum(row.good for row in f.table.rows) == LABEL.count(0)
            assert sum(row.bad for row in f.table.rows) == LABEL.count(1)


def test_bins_told_to_the_host_are_larger_by_what_noise_may_hide() -> None:
    """The host knows its noise: goods and bads it works out are those of the labels."""
    for epsilon, least in ((20.0, 10 + 1), (0.3, 10 + 24)):
        binned = Binning(ROWS, policy=noisy(epsilon)).fit()
        told = [row for fs in binned.hosts.values() for f in fs for row in f.table.rows if row.count]
        assert min(min(row.good, row.bad) for row in told) >= least


Change = Callable[[PrebinSums], dict[str, object]]


@dataclass
class Liar:
    """A host that tells other sums than it has."""

    host: BinningHost
    change: Change

    def answer(self, request: Message) -> Message:
        reply = self.host.answer(request)
        return replace(reply, **self.change(reply)) if isinstance(reply, PrebinSums) else reply


@pytest.mark.parametrize(
    "change",
    [
        lambda m: {"epsilon": 0.0},
        lambda m: {"epsilon": LEAST_EPSILON / 2},
        lambda m: {"epsilon": -1.0},
        lambda m: {"epsilon": math.nan},
        lambda m: {"epsilon": math.inf},
        lambda m: {"counts": ((2**40, *m.counts[0][1:]), *m.counts[1:])},
    ],
)
def test_what_no_noise_can_explain_names_the_host(change: Change) -> None:
    binning = Binning(ROWS, policy=noisy())
    binning.hosts[PARTY] = Liar(binning.hosts[PARTY], change)  # type: ignore[assignment]
    with pytest.raises(RemoteProtocolError) as caught:
        binning.fit()
    assert caught.value.party == PARTY
