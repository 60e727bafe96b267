"""Joint binning from first to last message: equal to pooled binning, and the culprit named when a host misbehaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

import federation.vertical.binning.guest as guest_module
from federation.ciphers.plain import PlainPublic, PlainSecret
from federation.codec import decode, encode
from federation.errors import LianmoError, NotEncrypting, PartyId, Refused, RemoteProtocolError
from federation.messages import Goodbye, Message
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import FaultyWire
from federation.vertical.binning.guest import Binned, fit_told
from federation.vertical.binning.kept import KeptBins
from federation.vertical.binning.messages import FinalBins, Kept, Labels, PrebinSums, Ready, Stored
from federation.vertical.binning.prebinning import Prebinning
from models.errors import DataError, ModelError
from models.table import Table
from models.woe.fitting import METHODS, PrebinCounts, WoeRules, count_prebins, fit_woe
from models.woe.prebins import fit_prebins
from models.woe.tables import WoeBins
from tests.builders import BANK, HOSTS, PLAIN
from tests.conftest import Key
from tests.federation.vertical.binning.builders import (
    FLOOR,
    N_FIT,
    RULES,
    Binning,
    Rows,
    by_column,
    pooled,
    rows,
)

ROWS = rows()


def in_columns(binning: Binning, binned: Binned) -> dict[tuple[PartyId, str], tuple[WoeBins, object]]:
    """Everything found, under the columns' own names, whatever order the hosts drew."""
    found: dict[tuple[PartyId, str], tuple[WoeBins, object]] = {}
    for party in binning.rows.hosts:
        for name, fitted in by_column(binning, binned, party).items():
            table = replace(
                fitted.table, variable=name, rows=tuple(replace(r, variable=name) for r in fitted.table.rows)
            )
            found[party, name] = replace(fitted.bins, name=name), (table.method, table.rows, table.flags)
    return found


# -- equal to pooled ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", METHODS)
def test_joint_equals_pooled_exactly(seed: int, method: str) -> None:
    """With a floor of 1 a host merges no prebin, so pooled binning sees the very same ones."""
    binning = Binning(rows(seed), policy=HostPolicy(1, min_rows=1, cipher=PLAIN), rules=replace(RULES, method=method))
    binned = binning.fit()
    n_bins = set()
    for party, table in binning.rows.hosts.items():
        fit_rows, own = table.take(np.arange(N_FIT)), binning.prebinning[party]
        prebins = fit_prebins(fit_rows, own.rules, own.cut_points, own.special_codes)
        assert binning.hosts[party].kept is not None
        for p, kept in zip(prebins, binning.hosts[party].kept.features, strict=True):
            expected, found = pooled(binning, party, p, binning.told_rules()), by_column(binning, binned, party)[p.name]
            assert (kept.prebins, replace(kept.bins, name="")) == (p, replace(expected.bins, name=""))
            assert replace(found.bins, name="") == replace(expected.bins, name="")
            assert found.table.information_value == expected.table.information_value
            assert [(r.good, r.bad, r.woe) for r in found.table.rows] == [
                (r.good, r.bad, r.woe) for r in expected.table.rows
            ]
            assert (found.table.method, found.table.flags) == (expected.table.method, expected.table.flags)
            n_bins.add(found.bins.n_bins)
    assert len(n_bins) > 2  # otherwise little was compared


def test_counts_are_those_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted with plain numpy, no prebin code of ours: the bins' WOE parts rows whose labels add up to the table's."""
    binning = Binning(ROWS)
    binned = binning.fit()
    label = ROWS.label[:N_FIT]
    for party in HOSTS:
        kept = binning.hosts[party].kept
        for feature in kept.features:
            column = ROWS.hosts[party].columns[feature.prebins.name][:N_FIT]
            final = np.array(feature.bins.bin_of)[feature.prebins.encode(column)]
            table = binned.hosts[party][feature.number - 1].table
            assert np.bincount(final, minlength=len(table.rows)).tolist() == [r.count for r in table.rows]
            assert np.bincount(final, label, len(table.rows)).tolist() == [r.bad for r in table.rows]
            assert [r.count for r in table.rows] == list(feature.counts)


def test_a_numeric_feature_by_hand() -> None:
    """100 rows of each value; 10, 30 and 60 bads: WOE = ln((90 / 200) / (10 / 100)) and so on."""
    values = np.repeat([1.0, 2.0, 3.0], 100)
    label = np.concatenate([np.arange(100) < n for n in (10, 30, 60)]).astype(np.float64)
    ids = tuple(map(str, range(300)))
    given = Rows(Table(ids, {}), {HOSTS[0]: Table(ids, {"v": values})}, label)
    binning = Binning(given, prebinning={BANK: Prebinning(), HOSTS[0]: Prebinning()}, n_fit=300)
    binned = binning.fit()
    [kept] = binning.hosts[HOSTS[0]].kept.features
    expected = [np.log(goods / 200 / (bads / 100)) for goods, bads in ((90, 10), (70, 30), (40, 60))]
    assert kept.bins.woe[:3] == pytest.approx(expected, rel=1e-12)
    assert [(b.bin, b.count, b.count_share) for b in kept.table] == [
        ("(-inf, 1.5]", 100, 1 / 3),
        ("(1.5, 2.5]", 100, 1 / 3),
        ("(2.5, inf)", 100, 1 / 3),
        ("missing", 0, 0.0),
    ]
    [found] = binned.hosts[HOSTS[0]]
    assert found.table.variable == f"{HOSTS[0]} feature 1"
    assert [r.bin for r in found.table.rows] == ["prebins 0", "prebins 1", "prebins 2", "prebins 3"]


def test_the_guests_own_features_are_binned_as_ever() -> None:
    binned = Binning(ROWS).fit()
    fit_rows, label = ROWS.bank.take(np.arange(N_FIT)), ROWS.label[:N_FIT]
    for p, fitted, method in zip(fit_prebins(fit_rows), binned.own, ("tree", RULES.method), strict=True):
        counts = count_prebins(p, p.encode(fit_rows.columns[p.name]), label)
        assert fitted == fit_woe(counts, replace(RULES, method=method), p.describe)
    assert binned.prebins == fit_prebins(fit_rows)


def test_encrypted_equals_plain_exactly(real_key: Key) -> None:
    plain, encrypted = Binning(ROWS), Binning(ROWS, cipher=real_key.secret(N_FIT), policy=HostPolicy(FLOOR, min_rows=1))
    assert in_columns(encrypted, encrypted.fit()) == in_columns(plain, plain.fit())
    assert {p: strip(h.kept) for p, h in encrypted.hosts.items()} == {p: strip(h.kept) for p, h in plain.hosts.items()}


def strip(kept: KeptBins) -> list[object]:
    return [replace(f, number=0) for f in kept.features]


def test_hosts_without_memory_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_module, "BATCH", 128)
    plain, forgetful = Binning(ROWS), Binning(ROWS)
    wire = forgetful.amnesiac()
    binned = forgetful.fit(wire)
    for party, host in forgetful.hosts.items():
        host.load(wire.memory[party])
    assert in_columns(forgetful, binned) == in_columns(plain, plain.fit())


def test_kept_bins_survive_their_json() -> None:
    binning = Binning(ROWS)
    binning.fit()
    kept = binning.hosts[HOSTS[1]].kept
    assert KeptBins.from_json(kept.to_json()) == kept
    for spoil in ({"format": 2}, {"features": []}, {"prebins": {}}):
        with pytest.raises((ModelError, DataError)):
            KeptBins.from_json(kept.to_json() | spoil)


def test_rows_that_are_not_fitted_change_nothing() -> None:
    other = ROWS.label.copy()
    other[N_FIT:] = np.nan
    one, two = Binning(ROWS), Binning(replace(ROWS, label=other))
    assert in_columns(one, one.fit()) == in_columns(two, two.fit())


def test_a_bank_alone_and_a_host_without_features() -> None:
    assert run(Binning(ROWS).guest(hosts=()).fit(), Binning(ROWS).wire()).hosts == {}
    nothing = Rows(ROWS.bank, {HOSTS[0]: Table(ROWS.bank.ids, {})}, ROWS.label)
    plain = {BANK: Prebinning(), HOSTS[0]: Prebinning()}
    assert Binning(nothing, prebinning=plain).fit().hosts == {HOSTS[0]: ()}


# -- what a host learns ------------------------------------------------------------------------------------------


def worked_out(binning: Binning, party: PartyId) -> list[list[tuple[float, float]]]:
    """Goods and bads of every final bin, from nothing but what the host keeps: its counts and the WOE."""
    features = binning.hosts[party].kept.features
    for feature in features:
        counts, woe = np.array(feature.counts), np.array(feature.bins.woe)
        if len(set(woe[counts > 0])) > 1:

            def excess(log_r: float, counts: np.ndarray = counts, woe: np.ndarray = woe) -> float:
                r = np.exp(log_r)
                return float((counts / (1 + np.exp(woe) / r)).sum() / counts.sum() * (1 + r) / r - 1)

            r = np.exp(brentq(excess, -12, 12, xtol=1e-14))
            break
    found = []
    for feature in features:
        counts, woe = np.array(feature.counts), np.array(feature.bins.woe)
        bads = counts / (1 + np.exp(woe) / r)
        found.append(list(zip((counts - bads).tolist(), bads.tolist(), strict=True)))
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("min_cell", [5, 25])
def test_no_number_a_host_can_work_out_is_below_the_minimum_cell(seed: int, method: str, min_cell: int) -> None:
    binning = Binning(rows(seed), rules=replace(RULES, method=method), min_cell=min_cell)
    binned = binning.fit()
    for party in HOSTS:
        tables = [binned.hosts[party][f.number - 1].table for f in binning.hosts[party].kept.features]
        for inferred, table in zip(worked_out(binning, party), tables, strict=True):
            true = [(r.good, r.bad) for r in table.rows]
            np.testing.assert_allclose(inferred, true, atol=1e-6)  # the docstring's claim: it can be worked out
            assert all(n == (0, 0) or min(n) >= min_cell for n in true)


def test_without_the_minimum_cell_a_host_would_learn_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_module, "fit_told", lambda counts, rules: fit_woe(counts, replace(rules, min_bads=0)))
    binned = Binning(ROWS, rules=replace(RULES, method="as_is")).fit()
    assert any(r.count > 0 and r.bad < 10 for fitted in binned.hosts[HOSTS[1]] for r in fitted.table.rows)


def counts_of(goods: tuple[int, ...], bads: tuple[int, ...], n_regular: int) -> PrebinCounts:
    return PrebinCounts("f", n_regular, True, goods, bads)


LEAST = WoeRules(small_bins="merge", min_goods=10, min_bads=10, min_bin_share=0.0)


@pytest.mark.parametrize(
    ("goods", "bads", "n_regular"),
    [
        ((90, 300), (2, 100), 1),  # the only regular bin is too small: the rest would tell it
        ((300, 15), (100, 3), 1),
        ((0, 300, 15), (0, 100, 3), 1),
        ((0, 300, 3), (0, 100, 15), 1),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_bins_that_cannot_be_made_large_enough_become_one(
    goods: tuple[int, ...], bads: tuple[int, ...], n_regular: int, method: str
) -> None:
    fitted = fit_told(counts_of(goods, bads, n_regular), replace(LEAST, method=method))
    filled = [r for r in fitted.table.rows if r.count]
    assert [(r.good, r.bad, r.woe) for r in filled] == [(sum(goods), sum(bads), 0.0)]
    assert set(fitted.bins.woe) == {0.0}


def test_as_is_gives_way_to_auto_where_bins_are_too_small() -> None:
    counts = counts_of((50, 40, 30, 20), (4, 12, 15, 30), 4)
    told = fit_told(counts, replace(LEAST, method="as_is"))
    assert told == fit_woe(counts, replace(LEAST, method="auto"))
    assert told.bins.n_bins > 1
    large = counts_of((50, 30, 40), (20, 12, 30), 3)
    assert fit_told(large, replace(LEAST, method="as_is")) == fit_woe(large, replace(LEAST, method="as_is"))


# -- what the guest refuses to begin with ------------------------------------------------------------------------


def test_labels_that_cannot_be_used_are_refused_before_anything_is_sent() -> None:
    few = np.zeros(len(ROWS.label))
    few[:9] = 1
    for label, code in (
        (few, "too_few_outcomes"),
        (1 - few, "too_few_outcomes"),
        (few + 1, "bad_label"),
        (few * np.nan, "bad_label"),
        (few * 0, "one_class"),
    ):
        with pytest.raises(DataError) as caught:
            Binning(ROWS).guest(label=label)
        assert caught.value.code == code
    Binning(ROWS).guest(label=few, hosts=())  # alone, nobody is told
    with pytest.raises(ModelError, match="min_cell"):
        Binning(ROWS).guest(min_cell=0)


def test_a_trend_for_an_unknown_column_or_of_an_unknown_kind_is_refused() -> None:
    for trends in ({"nowhere": "auto"}, {"branch": "sideways"}):
        with pytest.raises(DataError) as caught:
            Prebinning(trends=trends).fit(ROWS.bank)
        assert caught.value.code == "trend_unknown"


def test_a_cipher_that_does_not_encrypt_is_refused_by_the_host() -> None:
    with pytest.raises(Refused) as caught:
        Binning(ROWS, policy=HostPolicy(FLOOR, min_rows=1)).fit()
    assert caught.value.code == "not_encrypting"
    assert issubclass(NotEncrypting, LianmoError)


# -- hostile hosts -----------------------------------------------------------------------------------------------


def spoilt(kind: type[Message], change: Callable[[Message], Message], cipher: object = None) -> RemoteProtocolError:
    """How a run ends in which the first host's replies of one kind are changed."""
    binning = Binning(ROWS, **({"cipher": cipher, "policy": HostPolicy(FLOOR, min_rows=1)} if cipher else {}))

    def damage(_: int, party: PartyId, frame: bytes) -> bytes:
        message = decode(frame, party)
        return encode(change(message)) if party == HOSTS[0] and isinstance(message, kind) else frame

    with pytest.raises(RemoteProtocolError) as caught:
        binning.fit(FaultyWire(binning.wire(), damage))
    assert caught.value.party == HOSTS[0]
    assert HOSTS[0] in str(caught.value)
    return caught.value


def repacked(reply: PrebinSums, change: Callable[[list[int]], list[int]]) -> PrebinSums:
    """With other sums, as the host could have made them."""
    n, slot = sum(map(len, reply.counts)), N_FIT.bit_length()
    [total] = PlainSecret().decrypt(reply.ciphertexts)
    sums = [total >> (slot * k) & (2**slot - 1) for k in range(n)]
    packed = sum(value << (slot * k) for k, value in enumerate(change(sums)))
    return replace(reply, ciphertexts=PlainPublic().dump([packed % 2**2048]))


def more(sums: list[int]) -> list[int]:
    return [sums[0] + 1, *sums[1:]]


def too_many_in_one(reply: PrebinSums) -> PrebinSums:
    """All bads of the first feature in its first prebin: the total is right, the prebin has fewer rows."""
    n = len(reply.counts[0])
    return repacked(reply, lambda sums: [sum(sums[:n]), *[0] * (n - 1), *sums[n:]])


def moved_between_features(reply: PrebinSums) -> PrebinSums:
    """One bad less in a feature, one more in the next: all together still add up."""
    n = len(reply.counts[0])
    k = next(k for k in range(n) if repacked(reply, lambda sums: sums) and reply.counts[0][k])
    j = next(j for j, count in enumerate(reply.counts[1], start=n) if count)
    return repacked(reply, lambda s: [*s[:k], s[k] - 1, *s[k + 1 : j], s[j] + 1, *s[j + 1 :]])


def fewer_rows(reply: PrebinSums) -> PrebinSums:
    first = (reply.counts[0][0] + 1, *reply.counts[0][1:])
    return replace(reply, counts=(first, *reply.counts[1:]))


def regrouped(reply: PrebinSums) -> PrebinSums:
    """As many prebins, but the first feature has one more and the second one less."""
    a, b = reply.counts[:2]
    return replace(reply, counts=((*a, b[0]), b[1:], *reply.counts[2:]))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: repacked(m, more),
        too_many_in_one,
        moved_between_features,
        fewer_rows,
        regrouped,
        lambda m: replace(m, counts=m.counts[:-1]),
        lambda m: replace(m, counts=(*m.counts[:-1], m.counts[-1][:-1])),
        lambda m: replace(m, n_regular=m.n_regular[:-1]),
        lambda m: replace(m, n_regular=(99, *m.n_regular[1:])),
        lambda m: replace(m, n_regular=(-1, *m.n_regular[1:])),
        lambda m: replace(m, ordered=m.ordered[:-1]),
        lambda m: replace(m, trends=m.trends[:-1]),
        lambda m: replace(m, trends=("sideways", *m.trends[1:])),
        lambda m: replace(m, ciphertexts=m.ciphertexts * 2),
        lambda m: replace(m, ciphertexts=b""),
        lambda m: replace(m, ciphertexts=m.ciphertexts[:-1]),
        lambda m: replace(m, ciphertexts=PlainPublic().dump([2**1500])),
        lambda m: replace(m, ciphertexts=PlainPublic().dump([2**2048 - 1])),
    ],
)
def test_sums_that_cannot_be_name_the_host(change: Callable[[PrebinSums], PrebinSums]) -> None:
    assert spoilt(PrebinSums, change).code == "bad_value"


def test_a_ciphertext_outside_the_group_names_the_host(real_key: Key) -> None:
    secret = real_key.secret(N_FIT)
    for number in (0, secret.public.n, secret.public.n_squared):
        bad = secret.public.dump([number])
        assert spoilt(PrebinSums, lambda m, bad=bad: replace(m, ciphertexts=bad), secret).code == "bad_value"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (Ready, lambda m: replace(m, n_features=m.n_features + 1)),
        (Ready, lambda m: replace(m, n_prebins=m.n_prebins - 1)),
        (Stored, lambda m: replace(m, n_rows=m.n_rows - 1)),
        (Kept, lambda m: replace(m, n_features=0)),
    ],
)
def test_other_answers_that_do_not_fit_name_the_host(kind: type[Message], change: Callable[[Message], Message]) -> None:
    assert spoilt(kind, change).code == "bad_value"


@pytest.mark.parametrize("kind", [Ready, Stored, PrebinSums, Kept])
def test_another_kind_of_answer_names_the_host(kind: type[Message]) -> None:
    assert spoilt(kind, lambda _: Goodbye(code="")).code == "out_of_turn"


def test_numbers_that_are_no_bins_do_not_reach_a_host() -> None:
    with pytest.raises(RemoteProtocolError):
        decode(encode(FinalBins(bin_of=((0,),), woe=((float("nan"),),), unseen_woe=0.0)), BANK)


# -- messages ----------------------------------------------------------------------------------------------------


def test_labels_travel_once_whatever_the_number_of_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_module, "BATCH", 250)
    binning, seen = Binning(ROWS), []
    run(binning.guest().fit(), binning.wire(), lambda sender, receiver, message, size: seen.append((receiver, message)))
    for party in HOSTS:
        starts = [m.start for receiver, m in seen if receiver == party and isinstance(m, Labels)]
        assert starts == [0, 250, 500]


def test_features_are_shuffled_anew_for_every_run() -> None:
    orders = set()
    for _ in range(12):
        binning = Binning(ROWS)
        binning.fit()
        orders.add(tuple(f.number for f in binning.hosts[HOSTS[1]].kept.features))
    assert len(orders) > 5  # of 120
    assert all(sorted(order) == [1, 2, 3, 4, 5] for order in orders)
