"""A data node by itself: what it answers, what it refuses, and what it never shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

import federation.vertical.binning.host as host_module
import federation.vertical.binning.noise as noise_module
from federation.ciphers.interface import SecretCipher
from federation.ciphers.plain import PlainSecret
from federation.codec import encode
from federation.errors import LianmoError, LocalProtocolError
from federation.messages import Failure, Message
from federation.policy import HostPolicy
from federation.vertical.binning.cells import Cells
from federation.vertical.binning.host import TRANSITIONS, BinningHost, group_in_blocks
from federation.vertical.binning.messages import (
    FinalBins,
    Kept,
    Labels,
    Open,
    PrebinSums,
    Ready,
    Stored,
    SumsWanted,
)
from federation.vertical.binning.packing import CountPacking
from federation.vertical.binning.state import BinningState
from models.boosting.grouping import parts_of
from models.woe.prebins import fit_prebins
from tests.builders import HOSTS
from tests.conftest import Key
from tests.federation.vertical.binning.builders import FLOOR, N_FIT, POLICY, PREBINNING, N, rows

ROWS = rows()
PARTY = HOSTS[1]
PHASES = ("closed", "open", "filling", "shown", "sealed")


@dataclass
class Driven:
    """One host, asked by hand."""

    policy: HostPolicy = POLICY
    secret: SecretCipher = field(default_factory=PlainSecret)
    n_fit: int = N_FIT
    host: BinningHost = field(init=False)
    sums: PrebinSums | None = None

    def __post_init__(self) -> None:
        self.host = BinningHost(PARTY, ROWS.hosts[PARTY], self.policy, PREBINNING[PARTY])

    def to(self, phase: str) -> Driven:
        steps = PHASES.index(phase)
        if steps > 0:
            self.host.answer(self.opening())
        if steps > 1:
            self.host.answer(self.labels())
        if steps > 2:
            self.sums = self.host.answer(SumsWanted())
        if steps > 3:
            self.host.answer(self.final())
        return self

    @property
    def packing(self) -> CountPacking:
        return CountPacking.for_rows(self.n_fit, self.secret.public.plaintext_bits)

    def opening(self, **changes: object) -> Open:
        terms: dict[str, object] = {
            "cipher": self.secret.public.name,
            "key": self.secret.public.key,
            "slot": self.packing.slot,
            "per_ciphertext": self.packing.per_ciphertext,
            "offset": self.packing.offset,
            "n_rows": N,
            "n_fit": self.n_fit,
        }
        return Open(**(terms | changes))

    def labels(self, start: int = 0, count: int | None = None) -> Labels:
        batch = ROWS.label[start : self.n_fit if count is None else start + count].astype(int).tolist()
        return Labels(start=start, ciphertexts=self.secret.encrypt(batch))

    def final(self, **changes: object) -> FinalBins:
        """Every prebin its own bin, WOE 0; 0.5 where there are rows."""
        counts = self.sums.counts if self.sums else ((600,),) * 5
        bins = tuple(tuple(range(len(c))) for c in counts)
        woe = tuple(tuple(0.5 if n else 0.0 for n in c) for c in counts)
        fields: dict[str, object] = {"bin_of": bins, "woe": woe, "unseen_woe": 0.25}
        return FinalBins(**(fields | changes))


def messages(d: Driven) -> list[Message]:
    return [
        d.opening(),
        d.labels(start=d.host.state.n_stored, count=1 if d.host.state.phase == "filling" else None),
        SumsWanted(),
        d.final(),
        Ready(n_features=1, n_prebins=1),
        Stored(n_rows=1),
        PrebinSums(n_regular=(), ordered=(), trends=(), counts=(), ciphertexts=b"", epsilon=0.0),
        Kept(n_features=1),
        Failure(code="policy"),
    ]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("which", range(9))
def test_every_state_meets_every_message(phase: str, which: int) -> None:
    d = Driven().to(phase)
    if phase == "filling" and which == 1:  # one row is still missing
        d = Driven().to("open")
        d.host.answer(d.labels(count=N_FIT - 1))
    request = messages(d)[which]
    before = d.host.state.dump()
    if (phase, type(request)) in TRANSITIONS:
        d.host.answer(request)
        assert d.host.state.phase == TRANSITIONS[phase, type(request)]
    else:
        assert refused(d.host, request) == "out_of_turn"
        assert d.host.state.dump() == before


def refused(host: BinningHost, request: Message) -> str:
    """The code of a refusal that changed nothing."""
    before = host.state.dump()
    with pytest.raises(LianmoError) as caught:
        host.answer(request)
    assert host.state.dump() == before
    return caught.value.code


# -- terms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"n_rows": N - 1}, "bad_value"),
        ({"n_fit": 0}, "bad_value"),
        ({"n_fit": N + 1}, "bad_value"),
        ({"n_fit": -5}, "bad_value"),
        ({"n_fit": FLOOR - 1}, "too_few_rows"),
        ({"slot": 9}, "bad_value"),
        ({"slot": 11}, "bad_value"),
        ({"per_ciphertext": 1}, "bad_value"),
        ({"per_ciphertext": 0}, "bad_value"),
        ({"cipher": "rsa"}, "unknown_cipher"),
        ({"cipher": "paillier", "key": b""}, "key_too_short"),
        ({"cipher": "paillier", "key": b"\xff" * 128}, "key_too_short"),
    ],
)
def test_terms_that_do_not_fit_are_refused(changes: dict[str, object], code: str) -> None:
    d = Driven()
    assert refused(d.host, d.opening(**changes)) == code


def test_a_run_over_too_few_rows_is_refused() -> None:
    d = Driven(policy=replace(POLICY, min_rows=N_FIT + 1))
    assert refused(d.host, d.opening()) == "too_few_rows"


def test_a_cipher_that_does_not_encrypt_is_refused_by_the_host_alone() -> None:
    d = Driven(policy=HostPolicy(FLOOR, min_rows=1))
    assert refused(d.host, d.opening()) == "not_encrypting"


# -- labels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"start": 5}, "bad_value"),
        ({"start": -5}, "bad_value"),
        ({"ciphertexts": b""}, "bad_value"),
        ({"ciphertexts": b"\1" * 255}, "bad_value"),
        ({"ciphertexts": b"\1" * 257}, "bad_ciphertext"),
        ({"ciphertexts": b"\1" * 256 * (N_FIT + 1)}, "bad_value"),
    ],
)
def test_labels_that_do_not_fit_are_refused(changes: dict[str, object], code: str) -> None:
    d = Driven().to("open")
    assert refused(d.host, replace(d.labels(), **changes)) == code


def test_labels_come_in_order_once_and_whole() -> None:
    d = Driven().to("open")
    assert d.host.answer(d.labels(count=200)).n_rows == 200
    for start, count in ((0, 200), (199, 10), (201, 10), (200, 401)):
        spoilt = replace(d.labels(), start=start, ciphertexts=b"\1" * 256 * count)
        assert refused(d.host, spoilt) == "bad_value"
    assert refused(d.host, SumsWanted()) == "bad_value"
    assert d.host.answer(d.labels(start=200)).n_rows == N_FIT
    assert refused(d.host, Labels(start=N_FIT, ciphertexts=b"\1" * 256)) == "bad_value"
    assert isinstance(d.host.answer(SumsWanted()), PrebinSums)


def test_ciphertexts_outside_the_group_are_refused(real_key: Key) -> None:
    d = Driven(secret=real_key.secret()).to("open")
    good, public = d.labels(count=2), d.secret.public
    for bad in (0, public.n, public.n_squared, public.n * 5, 256**512 - 1):
        spoilt = replace(good, ciphertexts=good.ciphertexts[:512] + public.dump([bad]))
        assert refused(d.host, spoilt) == "bad_ciphertext"
    assert refused(d.host, replace(good, ciphertexts=good.ciphertexts[:-1])) == "bad_ciphertext"


# -- what is shown -----------------------------------------------------------------------------------------------


def too_small(d: Driven) -> list[int]:
    """Shown counts, and what is left of all rows without any one of them, under the floor but not empty."""
    assert d.sums is not None
    assert all(sum(c) == d.n_fit for c in d.sums.counts)
    return [n for c in d.sums.counts for n in c if 0 < n < d.policy.min_rows_per_bin]


@pytest.mark.parametrize("floor", [1, 2, 10, 40, 300])
@pytest.mark.parametrize("n_fit", [300, 600])
def test_no_shown_count_is_below_the_floor(floor: int, n_fit: int) -> None:
    d = Driven(policy=replace(POLICY, min_rows_per_bin=floor), n_fit=n_fit).to("shown")
    assert too_small(d) == []


def test_without_the_merging_of_cells_the_floor_would_be_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        noise_module,
        "merge_cells",
        lambda counts, n_regular, floor: Cells(tuple(range(len(counts))), n_regular, tuple(counts)),
    )
    assert sorted(too_small(Driven().to("shown"))) == [4, 8]


def test_sums_are_the_defaults_of_the_counted_rows() -> None:
    d = Driven().to("shown")
    bads = d.packing.split(d.secret.decrypt(d.sums.ciphertexts), sum(map(len, d.sums.counts)))
    label = ROWS.label[:N_FIT]
    for place, f in enumerate(d.host.state.order.tolist()):
        codes, counts = d.host._work.codes[f], d.sums.counts[place]
        assert np.bincount(codes, minlength=len(counts)).tolist() == list(counts)
        assert np.bincount(codes, label, len(counts)).tolist() == bads[: len(counts)]
        bads = bads[len(counts) :]
    assert bads == []


def test_returned_ciphertexts_are_rerandomised(real_key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hosts with the same rows, the same order and the same ciphertexts answer with other ones."""
    monkeypatch.setattr(host_module, "_drawn_order", lambda n: np.arange(n))
    one, two = (Driven(secret=real_key.secret(N_FIT), policy=replace(POLICY, min_rows=1)).to("open") for _ in range(2))
    labels = one.labels()
    replies = []
    for d in (one, two):
        d.host.answer(labels)
        replies.append(d.host.answer(SumsWanted()))
    assert replies[0].counts == replies[1].counts
    assert replies[0].ciphertexts != replies[1].ciphertexts
    first, second = (one.secret.decrypt(r.ciphertexts) for r in replies)
    assert first == second


def test_features_are_grouped_in_blocks_without_changing_a_sum() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (31, 3000)).astype(np.uint8)
    grouping = group_in_blocks(codes, (4,) * 31)
    assert len(grouping.merges) == 11 + 11 + 6
    parts = parts_of(grouping, codes, np.arange(3000))
    reached: set[int] = set()
    for part in parts:
        groups = {part.top} | {g for step in part.steps for g in (step[1], step[4])}
        reached |= {g for g in groups if g < 31}
    assert reached == set(range(31))
    assert sum(part.n_additions for part in parts) < 31 * 3000 / 3


# -- final bins --------------------------------------------------------------------------------------------------


def first(values: tuple, value: object) -> tuple:
    return (value, *values[1:])


def merged_wrongly(d: Driven, change: Callable[[FinalBins], dict[str, object]]) -> FinalBins:
    good = d.final()
    return replace(good, **change(good))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: {"bin_of": m.bin_of[:-1]},
        lambda m: {"woe": m.woe[:-1]},
        lambda m: {"bin_of": m.bin_of[:-1], "woe": m.woe[:-1]},
        lambda m: {"bin_of": (), "woe": ()},
        lambda m: {"bin_of": first(m.bin_of, m.bin_of[0][:-1])},
        lambda m: {"bin_of": first(m.bin_of, (*m.bin_of[0], 0))},
        lambda m: {"bin_of": first(m.bin_of, ())},
        lambda m: {"bin_of": first(m.bin_of, first(m.bin_of[0], -1))},
        lambda m: {"bin_of": first(m.bin_of, first(m.bin_of[0], 99))},
        lambda m: {"bin_of": first(m.bin_of, first(m.bin_of[0], 1))},  # bin 0 has no prebin left
        lambda m: {"woe": first(m.woe, (*m.woe[0], 0.0))},
        lambda m: {"woe": first(m.woe, m.woe[0][:-1])},
        lambda m: {"woe": first(m.woe, first(m.woe[0], float("nan")))},
        lambda m: {"woe": first(m.woe, first(m.woe[0], float("inf")))},
        lambda m: {"woe": first(m.woe, first(m.woe[0], 100.5))},
        lambda m: {"unseen_woe": float("nan")},
        lambda m: {"unseen_woe": -101.0},
    ],
)
def test_bins_that_do_not_fit_are_refused(change: Callable[[FinalBins], dict[str, object]]) -> None:
    d = Driven().to("shown")
    assert refused(d.host, merged_wrongly(d, change)) == "bad_value"


def test_a_bin_without_rows_has_no_woe() -> None:
    d = Driven().to("shown")
    place, empty = next((p, c.index(0)) for p, c in enumerate(d.sums.counts) if 0 in c)
    woe = [list(w) for w in d.final().woe]
    woe[place][empty] = 0.1
    assert refused(d.host, d.final(woe=tuple(map(tuple, woe)))) == "bad_value"
    woe[place][empty] = 0.0
    assert d.host.answer(d.final(woe=tuple(map(tuple, woe)))).n_features == 5


def test_a_bin_under_the_floor_is_refused() -> None:
    """After a restart under a stricter rule: bins shown under the old one no longer do."""
    d = Driven(policy=replace(POLICY, min_rows_per_bin=2)).to("shown")
    assert min(n for c in d.sums.counts for n in c if n) < FLOOR
    work = d.host._ready()
    d.host.policy = POLICY
    d.host._work = work
    assert refused(d.host, d.final()) == "bad_value"


def test_kept_bins_are_the_hosts_own_columns() -> None:
    d = Driven().to("sealed")
    kept = d.host.kept
    assert [f.prebins.name for f in kept.features] == list(ROWS.hosts[PARTY].columns)
    for f in kept.features:
        place = d.host.state.order.tolist().index(list(ROWS.hosts[PARTY].columns).index(f.prebins.name))
        assert f.number == place + 1
        assert f.counts == d.sums.counts[place]
        assert len(f.bins.bin_of) == f.prebins.n_codes
        assert f.bins.unseen_woe == 0.25
        assert sum(row.count for row in f.table) == N_FIT
        woe = f.bins.transform(f.prebins.encode(ROWS.hosts[PARTY].columns[f.prebins.name]))
        assert set(np.unique(woe)) <= {0.0, 0.25, 0.5}
    assert d.host.state.ciphertexts.size == 0
    phone = next(f for f in kept.features if f.prebins.name == "phone_bill")
    assert "special -999" in [row.bin for row in phone.table]  # many: a bin of its own
    assert "missing" not in [row.bin for row in phone.table]  # few: with the fullest regular prebin
    assert any("missing" in row.bin for row in phone.table)


def test_nothing_is_kept_before_it_is_sealed() -> None:
    assert Driven().to("shown").host.kept is None


def test_the_state_is_no_message_and_prints_nothing() -> None:
    d = Driven().to("filling")
    assert repr(d.host.state) == "<BinningState redacted>"
    with pytest.raises((TypeError, AttributeError)):
        encode(d.host.state)
    again = BinningState.load(d.host.state.dump())
    assert again.dump() == d.host.state.dump()
    with pytest.raises(LocalProtocolError):
        d.host.answer(d.opening())


def test_prebins_are_looked_for_with_the_floor_in_mind() -> None:
    """So that intervals have the floor each, rather than being merged after the fact."""
    d = Driven(policy=replace(POLICY, min_rows_per_bin=70)).to("sealed")
    own, fit_rows = PREBINNING[PARTY], ROWS.hosts[PARTY].take(np.arange(N_FIT))
    rules = replace(own.rules, min_count=70)
    expected = fit_prebins(fit_rows, rules, own.cut_points, own.special_codes)
    assert tuple(f.prebins for f in d.host.kept.features) == expected
    assert expected != fit_prebins(fit_rows, own.rules, own.cut_points, own.special_codes)
