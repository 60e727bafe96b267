"""A data node by itself: what it answers, what it refuses, and what it never shows."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

import federation.vertical.boosting.host as host_module
from federation.ciphers.plain import PlainSecret
from federation.codec import encode
from federation.errors import LianmoError, LocalProtocolError
from federation.messages import Failure, Message
from federation.policy import HostPolicy
from federation.vertical.boosting.host import TRANSITIONS, BoostingHost
from federation.vertical.boosting.messages import Choose, Gradients, Grow, Open, Ready, Seal, Sums
from federation.vertical.boosting.state import BoostingState
from federation.vertical.sums import bin_counts
from models.boosting.sets import Way
from models.boosting.splits import goes_left
from models.table import Table
from tests.builders import PLAIN, Counting, numbers, texts
from tests.conftest import Key

N = 120
HALF = np.packbits(np.arange(N) % 2 == 0).tobytes()
ALL = np.packbits(np.ones(N, dtype=bool)).tobytes()


def table(seed: int = 0, n: int = N) -> Table:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=n).round(1), rng.integers(0, 5, n).astype(float)
    x[rng.random(n) < 0.15] = np.nan
    c = texts(*rng.choice(["a", "b", "c", "d"], n, p=[0.5, 0.3, 0.15, 0.05]))
    return Table(tuple(map(str, range(n))), {"x": x, "z": z, "c": c})


def driven(phase: str, floor: int = 3, **options: object) -> Counting:
    """A host brought to a phase; "growing" means: gradients are in, the root was shown."""
    counting = Counting(table(), floor, n_fit=N - 20, **options)
    if phase in ("growing", "sealed"):
        counting.begin()
        counting.root()
    if phase == "sealed":
        counting.host.answer(Seal(n_handles=0))
    return counting


def fresh() -> BoostingHost:
    return BoostingHost("host:a", table(), HostPolicy(3, min_rows=1, cipher=PLAIN))


def messages(c: Counting) -> list[Message]:
    return [
        c.opening(),
        c.gradients(tree=c.host.state.tree + 1),
        Grow(tree=0, cuts=((0, 1, 2),), left=HALF, pairs=((1, 2),)),
        Choose(tree=0, choices=()),
        Seal(n_handles=0),
        Ready(n_features=1, n_bins=1, n_candidates=1, n_additions=1),
        Sums(flags=b"", ciphertexts=b""),
        Failure(code="policy"),
    ]


@pytest.mark.parametrize("phase", ["closed", "open", "growing", "sealed"])
@pytest.mark.parametrize("which", range(8))
def test_every_state_meets_every_message(phase: str, which: int) -> None:
    c = driven("open" if phase == "closed" else phase)
    host = fresh() if phase == "closed" else c.host
    request = messages(c)[which]
    before = host.state.dump()
    if (phase, type(request)) in TRANSITIONS:
        host.answer(request)
        assert host.state.phase == TRANSITIONS[phase, type(request)]
    else:
        with pytest.raises(LocalProtocolError) as caught:
            host.answer(request)
        assert caught.value.code == "out_of_turn"
        assert host.state.dump() == before


def refused(host: BoostingHost, request: Message) -> str:
    """The code of a refusal that changed nothing."""
    before = host.state.dump()
    with pytest.raises(LianmoError) as caught:
        host.answer(request)
    assert host.state.dump() == before
    return caught.value.code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"n_rows": N - 1}, "bad_value"),
        ({"n_fit": 0}, "bad_value"),
        ({"n_fit": N + 1}, "bad_value"),
        ({"n_fit": -5}, "bad_value"),
        ({"slot": 8}, "bad_value"),
        ({"slot": 500, "pairs": 2}, "bad_value"),
        ({"pairs": 1}, "bad_value"),
        ({"pairs": 0}, "bad_value"),
        ({"max_bin": 1}, "bad_value"),
        ({"max_bin": 254}, "bad_value"),
        ({"min_child_samples": -1}, "bad_value"),
        ({"value_bits": 0}, "bad_value"),
        ({"value_bits": 33}, "bad_value"),
        ({"value_bits": 31}, "bad_value"),
        ({"feature_fraction": 0.0}, "bad_value"),
        ({"feature_fraction": 1.5}, "bad_value"),
        ({"feature_fraction": float("nan")}, "bad_value"),
        ({"random_state": -1}, "bad_value"),
        ({"max_cat_to_onehot": 0}, "bad_value"),
        ({"cipher": "rsa"}, "unknown_cipher"),
        ({"cipher": "paillier", "key": b""}, "key_too_short"),
        ({"cipher": "paillier", "key": b"\xff" * 128}, "key_too_short"),
    ],
)
def test_terms_that_do_not_fit_are_refused(changes: dict[str, object], code: str) -> None:
    assert refused(fresh(), driven("open").opening(**changes)) == code


def test_a_cipher_that_does_not_encrypt_is_refused_by_the_host_alone() -> None:
    host = BoostingHost("host:a", table(), HostPolicy(3, min_rows=1))
    assert refused(host, driven("open").opening()) == "not_encrypting"


def test_a_run_over_too_few_rows_is_refused() -> None:
    host = BoostingHost("host:a", table(), HostPolicy(3, min_rows=N, cipher=PLAIN))
    assert refused(host, driven("open").opening()) == "too_few_rows"


def replaced(message: Gradients, **changes: object) -> Gradients:
    fields = {"tree": message.tree, "start": message.start, "rows": message.rows, "ciphertexts": message.ciphertexts}
    return Gradients(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"tree": 1}, "bad_value"),
        ({"tree": -1}, "bad_value"),
        ({"start": 5}, "bad_value"),
        ({"start": -5}, "bad_value"),
        ({"ciphertexts": b""}, "bad_value"),
        ({"ciphertexts": b"\1" * 255}, "bad_value"),
        ({"ciphertexts": b"\1" * 257}, "bad_ciphertext"),
        ({"ciphertexts": b"\1" * 256 * (N - 19)}, "bad_value"),
        ({"rows": b"\xff"}, "bad_value"),
        ({"rows": bytes(-(-(N - 20) // 8))}, "too_few_rows"),
        ({"rows": b"\x80" + bytes(-(-(N - 20) // 8) - 1)}, "bad_value"),
    ],
)
def test_gradients_that_do_not_fit_are_refused(changes: dict[str, object], code: str) -> None:
    c = driven("open")
    assert refused(c.host, replaced(c.gradients(), **changes)) == code


def test_a_sample_under_the_least_number_of_rows_is_refused() -> None:
    c = driven("open")
    c.host.policy = HostPolicy(3, min_rows=9, cipher=PLAIN)
    eight, nine = (np.packbits(np.arange(c.n_fit) < n).tobytes() for n in (8, 9))
    assert refused(c.host, replaced(c.gradients(count=8), rows=eight)) == "too_few_rows"
    assert c.host.answer(replaced(c.gradients(count=9), rows=nine)).n_rows == 9


def test_gradients_come_in_order_and_whole() -> None:
    c = driven("open")
    assert c.host.answer(c.gradients(count=60)).n_rows == 60
    assert refused(c.host, c.gradients(start=60, count=41)) == "bad_value"
    assert refused(c.host, c.gradients(start=59, count=10)) == "bad_value"
    assert refused(c.host, c.gradients(tree=1, start=60, count=10)) == "bad_value"
    assert refused(c.host, Grow(tree=0, cuts=(), left=b"", pairs=((0, -1),))) == "bad_value"
    assert c.host.answer(c.gradients(start=60, count=40)).n_rows == 100
    c.root()


def test_ciphertexts_outside_the_group_are_refused(real_key: Key) -> None:
    c = Counting(table(), 3, n_fit=N - 20, secret=real_key.secret())
    good = c.gradients(count=2)
    public = c.secret.public
    for bad in (0, public.n, public.n_squared, public.n * 5, 256**512 - 1):
        spoilt = good.ciphertexts[:512] + public.dump([bad])
        assert refused(c.host, replaced(good, ciphertexts=spoilt)) == "bad_ciphertext"
    assert refused(c.host, replaced(good, ciphertexts=good.ciphertexts[:-1])) == "bad_ciphertext"


@pytest.mark.parametrize(
    ("cuts", "left", "pairs"),
    [
        ((), b"", ()),
        ((), b"", ((1, -1),)),
        ((), b"", ((0, -1), (0, -1))),
        (((0, 1, 2),), HALF, ((1, -1),)),
        (((0, 1, 2),), HALF, ((1, 1),)),
        (((0, 1, 2),), HALF, ((0, -1),)),
        (((0, 1, 2),), HALF, ((1, 2), (2, -1))),
        (((0, 1, 2),), HALF[:-1], ((1, 2),)),
        (((0, 1, 2),), HALF + b"\0", ((1, 2),)),
        (((0, 1, 2),), b"", ((1, 2),)),
        (((0, 1, 2),), ALL, ((1, 2),)),
        (((3, 4, 5),), HALF, ((4, 5),)),
        (((0, 0, 1),), HALF, ((0, 1),)),
        (((0, 1, 1),), HALF, ((1, 1),)),
        (((0, 2, 1),), HALF, ((2, 1),)),
        (((0, -2, -1),), HALF, ((-2, -1),)),
        (((0, 1, 2), (0, 3, 4)), HALF, ((1, 2),)),
        (((0, 1, 2), (1, 3, 4)), HALF, ((3, 4),)),
    ],
)
def test_levels_that_do_not_fit_are_refused(cuts: tuple, left: bytes, pairs: tuple) -> None:
    assert refused(driven("growing").host, Grow(tree=0, cuts=cuts, left=left, pairs=pairs)) == "bad_value"


def test_a_tree_has_no_more_levels_than_agreed() -> None:
    c = driven("growing")
    for level in (1, 2):
        node = 2 * level - 2
        rows = np.packbits(np.arange(N) % 2**level < 2 ** (level - 1)).tobytes()
        cut = (0 if level == 1 else 2, node + 1, node + 2)
        c.host.answer(Grow(tree=0, cuts=(cut,), left=rows, pairs=(cut[1:],)))
    assert refused(c.host, Grow(tree=0, cuts=((4, 5, 6),), left=HALF, pairs=((5, 6),))) == "bad_value"


def test_a_level_of_another_tree_is_refused() -> None:
    assert refused(driven("growing").host, Grow(tree=1, cuts=(), left=b"", pairs=((0, -1),))) == "bad_value"


def test_a_child_may_not_take_the_number_of_a_living_node() -> None:
    c = driven("growing")
    c.host.answer(Grow(tree=0, cuts=((0, 1, 2),), left=HALF, pairs=((1, 2),)))
    quarter = np.packbits(np.arange(N) % 4 == 0).tobytes()
    assert refused(c.host, Grow(tree=0, cuts=((1, 2, 3),), left=quarter, pairs=((2, 3),))) == "bad_value"


def test_two_cuts_may_not_share_children() -> None:
    c = driven("growing")
    c.host.answer(Grow(tree=0, cuts=((0, 1, 2),), left=HALF, pairs=((1, 2),)))
    quarter = np.packbits(np.arange(N) % 3 == 0).tobytes()
    cuts = ((1, 3, 4), (2, 3, 5))
    assert refused(c.host, Grow(tree=0, cuts=cuts, left=quarter, pairs=((3, 4),))) == "bad_value"


def test_a_level_whose_sums_are_not_asked_for_is_refused() -> None:
    """Else the root minus both grandchildren would be the other child, here one row that no floor was checked for."""
    but_one = np.packbits(np.arange(N) != 0).tobytes()
    assert refused(driven("growing").host, Grow(tree=0, cuts=((0, 1, 2),), left=but_one, pairs=())) == "bad_value"


def test_a_pair_is_asked_for_once() -> None:
    pairs = ((1, 2),) * 3
    assert refused(driven("growing").host, Grow(tree=0, cuts=((0, 1, 2),), left=HALF, pairs=pairs)) == "bad_value"


def place_of(c: Counting, shown: bool) -> int:
    mask = np.unpackbits(np.frombuffer(c.host.state.masks[0][1], np.uint8), count=c.n_candidates).astype(bool)
    return int(np.flatnonzero(mask[c.host.state.order] == shown)[0])


def one(*places: int) -> tuple[Way, ...]:
    """The way to cut by one of these places, which tie."""
    return (((), places, 1),)


def test_choices_that_were_not_offered_are_refused() -> None:
    c = driven("growing", min_child_samples=35, max_cat_to_onehot=5)  # shows some cuts, hides others
    good = place_of(c, shown=True)
    for choices in (
        ((0, ()),),
        ((0, one()),),
        ((0, one(place_of(c, shown=False))),),
        ((0, one(good, place_of(c, shown=False))),),
        ((0, one(good) + one(place_of(c, shown=False))),),
        ((0, one(good, good)),),
        ((0, (((), (good,), 0),)),),
        ((0, (((), (good,), 2),)),),
        ((0, one(c.n_candidates)),),
        ((0, one(-1)),),
        ((1, one(good)),),
        ((0, one(good)), (7, one(good))),
    ):
        assert refused(c.host, Choose(tree=0, choices=choices)) == "bad_value"
    assert refused(c.host, Choose(tree=1, choices=((0, one(good)),))) == "bad_value"
    assert c.host.answer(Choose(tree=0, choices=((0, one(good)),))).handles == (0,)


def test_a_cut_hidden_for_its_neighbour_is_refused_though_its_sides_hold_enough() -> None:
    c = driven("open", floor=1).begin()
    c.host.policy = HostPolicy(9, min_rows=1, cipher=PLAIN)
    c.root()
    work, order = c.host._work, c.host.state.order
    n_left = work.candidates.left(bin_counts(work.codes, np.arange(c.n_fit), work.candidates))
    mask = np.unpackbits(np.frombuffer(c.host.state.masks[0][1], np.uint8), count=c.n_candidates).astype(bool)
    hidden = np.flatnonzero(~mask & (n_left >= 20) & (n_left <= c.n_fit - 20))
    assert len(hidden)
    for place in np.flatnonzero(np.isin(order, hidden)).tolist():
        assert refused(c.host, Choose(tree=0, choices=((0, one(place)),))) == "bad_value"


def test_a_cut_shown_for_its_sibling_alone_is_refused() -> None:
    c = driven("growing", floor=1, min_child_samples=12, max_cat_to_onehot=5)
    left = np.packbits(np.arange(N) % 3 == 0).tobytes()
    reply = c.host.answer(Grow(tree=0, cuts=((0, 1, 2),), left=left, pairs=((1, 2),)))
    bits = np.unpackbits(np.frombuffer(reply.flags, np.uint8), count=3 * c.n_candidates).reshape(3, -1).astype(bool)
    other = np.flatnonzero(bits[0] & ~bits[1])
    assert len(other)
    for place in other.tolist():
        assert refused(c.host, Choose(tree=0, choices=((1, one(place)),))) == "bad_value"
    assert c.host.answer(Choose(tree=0, choices=((2, one(int(other[0]))),))).handles == (0,)


def test_a_choice_before_any_level_was_shown_is_refused() -> None:
    c = driven("open")
    c.begin()
    assert refused(c.host, Choose(tree=0, choices=((0, one(0)),))) == "bad_value"


def test_a_node_is_cut_once() -> None:
    c = driven("growing")
    good = place_of(c, shown=True)
    c.host.answer(Choose(tree=0, choices=((0, one(good)),)))
    assert refused(c.host, Choose(tree=0, choices=((0, one(good)),))) == "bad_value"


@pytest.mark.parametrize("n_handles", [-1, 1, 10**9])
def test_cuts_that_were_never_made_cannot_be_sealed(n_handles: int) -> None:
    assert refused(driven("growing").host, Seal(n_handles=n_handles)) == "bad_value"


def test_a_sealed_half_is_the_one_whose_digest_was_told() -> None:
    c = driven("growing")
    c.host.answer(Choose(tree=0, choices=((0, one(place_of(c, shown=True))),)))
    assert c.host.half is None
    sealed = c.host.answer(Seal(n_handles=1))
    assert c.host.half is not None
    assert c.host.half.digest() == sealed.digest
    assert len(c.host.half.splits) == 1
    assert c.host.state.ciphertexts.size == 0


def test_the_rows_told_are_those_of_the_cut() -> None:
    c = driven("growing")
    place = place_of(c, shown=True)
    reply = c.host.answer(Choose(tree=0, choices=((0, one(place)),)))
    work, split = c.host._work, c.host.half or c.host.state.splits[0]
    chosen = type(work.candidates.splits[0])(*split)
    bins, codes = work.bins[chosen.feature], work.codes[chosen.feature]
    expected = goes_left(chosen, bins, codes)
    assert np.unpackbits(np.frombuffer(reply.left, np.uint8), count=N).astype(bool).tolist() == expected.tolist()


# -- the floor ---------------------------------------------------------------------------------------------------


def levels(c: Counting, seed: int) -> Iterator[tuple[tuple[tuple[int, int], ...], Sums, np.ndarray]]:
    """Three levels of a tree cut at random: pairs, reply, node of each fitted row."""
    rng = np.random.default_rng(seed)
    yield ((0, -1),), c.begin().root(), np.zeros(c.n_fit, dtype=int)
    at, nodes, count = np.zeros(N, dtype=int), [0], 1
    for _ in range(2):
        cuts = [(node, count + 2 * k, count + 2 * k + 1) for k, node in enumerate(nodes)]
        left = rng.random(N) < rng.choice([0.3, 0.5, 0.9])
        before = at.copy()
        for node, a, b in cuts:
            at = np.where(before == node, np.where(left, a, b), at)
        if not {n for _, a, b in cuts for n in (a, b)} <= set(at[: c.n_fit].tolist()):
            return  # a child without rows: this tree ends here
        pairs = tuple((a, b) for _, a, b in cuts)
        yield (
            pairs,
            c.host.answer(Grow(tree=0, cuts=tuple(cuts), left=np.packbits(left).tobytes(), pairs=pairs)),
            at[: c.n_fit],
        )
        nodes, count = [n for _, a, b in cuts for n in (a, b)], count + 2 * len(cuts)


def too_small(c: Counting, seed: int) -> list[int]:
    """Row counts under the floor behind shown sums, their other sides, or differences within a feature."""
    found: list[int] = []
    for pairs, reply, at in levels(c, seed):
        candidates = c.host._work.candidates
        for (node, sibling), sums in zip(pairs, c.read(reply, len(pairs)), strict=True):
            flat = candidates.flat(c.host._work.codes[:, : c.n_fit])
            for k in [k for k in (node, sibling) if k >= 0]:
                per_bin = np.bincount(flat[:, at == k].ravel(), minlength=candidates.n_bins)
                truth = candidates.left(per_bin)
                if k == node:
                    assert {j: int(truth[j]) for j in sums} == sums  # decrypted counts are the true ones
                shown = {j: int(truth[j]) for j in sums}
                n_node = int((at == k).sum())
                found += [n for left in shown.values() for n in (left, n_node - left) if 0 < n < c.floor]
                for f, bins in enumerate(candidates.bins):
                    own = [n for j, n in shown.items() if candidates.splits[j].feature == f]
                    if bins.category:
                        found += [n for n in [n_node - sum(own)] if own and 0 < n < c.floor]
                    else:
                        prefixes = [
                            n
                            for j, n in shown.items()
                            if candidates.splits[j].feature == f and not candidates.splits[j].missing_left
                        ]
                        found += [d for a in prefixes for b in prefixes if 0 < (d := a - b) < c.floor]
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("floor", [2, 5, 9])
def test_no_shown_sum_or_difference_covers_fewer_rows_than_the_floor(seed: int, floor: int) -> None:
    assert too_small(Counting(table(seed), floor, n_fit=N - 20), seed) == []


def test_without_the_rule_of_cells_the_floor_would_be_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        host_module, "shown", lambda candidates, counts, floor, parent: np.ones(len(parent), dtype=bool)
    )
    assert too_small(Counting(table(), 5, n_fit=N - 20), 0)


def test_min_child_samples_is_kept_by_the_host() -> None:
    c = driven("open", floor=1, min_child_samples=30, max_cat_to_onehot=5).begin()
    [counts] = c.read(c.root(), 1)
    assert counts
    assert all(30 <= n <= c.n_fit - 30 for n in counts.values())


# -- sets of levels ----------------------------------------------------------------------------------------------


def levels_of(c: Counting, reply: Sums) -> list[tuple[int, int]]:
    """Rows and place of each level that may be united, fewest rows first."""
    [counts] = c.read(reply, 1)
    numbers_told = np.frombuffer(reply.categories, "<u4")
    order = c.host.state.order.tolist()
    return sorted((counts[order[place]], place) for place in np.flatnonzero(numbers_told).tolist())


def together(*places: int) -> tuple[Way, ...]:
    """The way to send all of these left."""
    return ((places[:-1], places[-1:], 1),)


def test_levels_of_a_category_are_told_with_the_root_and_no_other_cut() -> None:
    c = driven("open", floor=1).begin()
    reply = c.root()
    candidates, order = c.host._work.candidates, c.host.state.order
    told = np.frombuffer(reply.categories, "<u4")
    assert set(told.tolist()) == {0, 1}
    categories = [candidates.bins[candidates.splits[j].feature].category for j in order]
    assert (told > 0).tolist() == categories
    below = c.host.answer(Grow(tree=0, cuts=((0, 1, 2),), left=HALF, pairs=((1, 2),)))
    assert below.categories == b""
    assert driven("open", max_cat_to_onehot=5).begin().root().categories == b""


def test_numbers_of_categories_follow_the_secret_order_and_skip_what_is_hidden() -> None:
    rng = np.random.default_rng(0)
    columns = {f"c{k}": texts(*rng.choice(list("abcdef"), N)) for k in range(5)}
    columns["rare"] = texts(*np.where(np.arange(N) < 2, list("xy") * (N // 2), "z"))
    seen = set()
    for _ in range(4):
        c = Counting(Table(tuple(map(str, range(N))), columns), 3, n_fit=N, max_cat_to_onehot=1).begin()
        reply, order = c.root(), c.host.state.order
        told = np.frombuffer(reply.categories, "<u4").tolist()
        splits = c.host._work.candidates.splits
        by_feature = {splits[j].feature: number for j, number in zip(order, told, strict=True) if number}
        assert sorted(by_feature.values()) == list(range(1, len(by_feature) + 1))
        assert list(dict.fromkeys(number for number in told if number)) == sorted(by_feature.values())
        [shown_counts] = c.read(reply, 1)
        assert {int(j) for j, number in zip(order, told, strict=True) if number} == set(shown_counts)
        seen.add(tuple(by_feature.items()))
    assert len(seen) > 1


def test_a_set_of_levels_parts_the_rows_it_names() -> None:
    c = driven("open", floor=1).begin()
    (a, first), (b, second), *_ = levels_of(c, c.root())
    reply = c.host.answer(Choose(tree=0, choices=((0, together(first, second)),)))
    left = np.unpackbits(np.frombuffer(reply.left, np.uint8), count=N).astype(bool)
    assert left[: c.n_fit].sum() == a + b
    [(feature, code, _, also)] = c.host.state.splits
    assert code < also[0]
    assert left.tolist() == np.isin(c.host._work.codes[feature], [code, *also]).tolist()
    half = c.host.answer(Seal(n_handles=1)) and c.host.half
    assert half.routes(c.table)[0].tolist() == left.tolist()


def test_of_levels_alike_the_hosts_own_order_decides() -> None:
    codes = set()
    for _ in range(4):
        c = driven("open", floor=1).begin()
        places = [place for _, place in levels_of(c, c.root())]
        c.host.answer(Choose(tree=0, choices=((0, ((tuple(places[:1]), tuple(places[1:]), 2),)),)))
        [(_, code, _, also)] = c.host.state.splits
        codes.add((code, also))
    assert len(codes) == 1


def test_cuts_that_are_not_levels_of_one_category_are_not_united() -> None:
    t = table()
    two = Table(t.ids, {**t.columns, "d": texts(*np.random.default_rng(1).choice(list("pqrs"), N))})
    c = Counting(two, 1, n_fit=N - 20).begin()
    reply = c.root()
    told = np.frombuffer(reply.categories, "<u4")
    one_of = [int(np.flatnonzero(told == number)[0]) for number in (0, 1, 2)]
    number = next(p for p in np.flatnonzero(told == 0).tolist() if int(c.host.state.order[p]) in c.read(reply, 1)[0])
    for places in ((one_of[1], one_of[2]), (number, one_of[1]), (one_of[1], number)):
        assert refused(c.host, Choose(tree=0, choices=((0, together(*places)),))) == "bad_value"
    again = Counting(two, 1, n_fit=N - 20, max_cat_to_onehot=9).begin()
    again.root()
    d = [k for k, s in enumerate(again.host._work.candidates.splits) if s.feature == 3]
    places = [int(np.flatnonzero(again.host.state.order == k)[0]) for k in d[:2]]
    assert refused(again.host, Choose(tree=0, choices=((0, together(*places)),))) == "bad_value"


def test_a_set_leaves_enough_rows_on_both_sides() -> None:
    c = driven("open", floor=1, min_child_samples=30).begin()
    levels = levels_of(c, c.root())
    places = [place for _, place in levels]
    few = [place for n, place in levels if n < 30]
    assert len(places) == 4
    assert few
    for chosen in ([few[0]], places, [p for p in places if p != few[0]]):
        assert refused(c.host, Choose(tree=0, choices=((0, together(*chosen)),))) == "bad_value"
    assert c.host.answer(Choose(tree=0, choices=((0, together(*places[1:3])),))).handles == (0,)


def test_the_floor_of_a_set_does_not_hang_on_what_was_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        host_module, "shown", lambda candidates, counts, floor, parent: np.ones(len(parent), dtype=bool)
    )
    c = driven("open", floor=1).begin()
    c.host.policy = HostPolicy(12, min_rows=1, cipher=PLAIN)
    levels = levels_of(c, c.root())
    places = [place for _, place in levels]
    assert levels[0][0] < 12 <= levels[1][0]
    for chosen in (places[:1], places[:2], places[1:]):  # too few left; a level of few rows among many; too few right
        assert refused(c.host, Choose(tree=0, choices=((0, together(*chosen)),))) == "bad_value"
    assert c.host.answer(Choose(tree=0, choices=((0, together(*places[1:3])),))).handles == (0,)


def test_a_level_without_rows_in_the_node_is_not_united() -> None:
    """Held-out rows of it would be told apart, and no floor was checked for them."""
    c = driven("open", floor=1).begin()
    root = c.root()
    (_, rare), (_, second), (_, third), _ = levels_of(c, root)
    code = c.host._work.candidates.splits[int(c.host.state.order[rare])].code
    without = np.packbits((c.host._work.codes[2] != code) & (np.arange(N) % 3 > 0)).tobytes()
    c.host.answer(Grow(tree=0, cuts=((0, 1, 2),), left=without, pairs=((1, 2),)))
    assert refused(c.host, Choose(tree=0, choices=((1, together(rare, second)),))) == "bad_value"
    assert c.host.answer(Choose(tree=0, choices=((1, together(third, second)),))).handles == (0,)


# -- the order ---------------------------------------------------------------------------------------------------


def orders() -> list[list[int]]:
    """Orders of candidates in three trees of two sessions."""
    found = []
    for _ in range(2):
        c = driven("open")
        for tree in range(3):
            c.begin(tree)
            c.root(tree)
            found.append(c.host.state.order.tolist())
    return found


def test_candidates_are_shuffled_anew_for_every_tree_and_session() -> None:
    found = orders()
    assert all(sorted(order) == list(range(len(order))) != order for order in found)
    assert len({tuple(order) for order in found}) == len(found)


def test_without_the_shuffle_the_order_would_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    found = orders()
    assert all(order == list(range(len(order))) for order in found)  # what the test above refuses


def test_the_order_stays_for_one_tree() -> None:
    c = driven("growing")
    before = c.host.state.order.tolist()
    c.host.answer(Grow(tree=0, cuts=((0, 1, 2),), left=HALF, pairs=((1, 2),)))
    assert c.host.state.order.tolist() == before


# -- the work ----------------------------------------------------------------------------------------------------


def sums_of_equal_trees(c: Counting) -> list[bytes]:
    """Ciphertexts of the root's sums, in three trees over the very same gradients, candidates in the same order."""
    gradients = c.gradients().ciphertexts
    replies = []
    for tree in range(3):
        c.host.answer(Gradients(tree=tree, start=0, rows=b"", ciphertexts=gradients))
        c.host.state.order = np.arange(c.n_candidates)
        replies.append(c.root(tree))
    assert len({str(c.read(reply, 1)) for reply in replies}) == 1
    return [reply.ciphertexts for reply in replies]


def test_every_packed_sum_leaves_rerandomised(real_key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    c = Counting(table(n=60), 1, n_fit=40, max_bin=4, secret=real_key.secret())
    pieces = [data[k : k + 512] for data in sums_of_equal_trees(c) for k in range(0, len(data), 512)]
    assert len(set(pieces)) == len(pieces)
    c = Counting(table(n=60), 1, n_fit=40, max_bin=4, secret=real_key.secret())
    monkeypatch.setattr(type(c.secret.public), "rerandomise", lambda self, ciphertexts: list(ciphertexts))
    assert len(set(sums_of_equal_trees(c))) == 1  # what the check above refuses


@pytest.mark.parametrize("columns", [{}, {"k": numbers(*[1.0] * N)}, {"m": numbers(*[np.nan] * N)}])
def test_a_host_with_nothing_to_offer_still_answers(columns: dict[str, np.ndarray]) -> None:
    c = Counting(Table(tuple(map(str, range(N))), columns), 3, n_fit=N - 20).begin()
    assert c.root().ciphertexts == b""
    c.host.answer(Grow(tree=0, cuts=((0, 1, 2),), left=HALF, pairs=((1, 2),)))
    assert c.host.answer(Seal(n_handles=0)).digest


def test_a_host_without_memory_goes_on_where_it_was() -> None:
    c = driven("growing")
    twin = BoostingHost(c.host.party, c.table, c.host.policy, BoostingState.load(c.host.state.dump()))
    request = Grow(tree=0, cuts=((0, 1, 2),), left=HALF, pairs=((1, 2),))
    assert encode(twin.answer(request)) == encode(c.host.answer(request))


def test_opening_keeps_the_terms() -> None:
    state = driven("open").host.state
    assert (state.n_fit, state.max_bin, state.cipher) == (N - 20, 16, "plain")
    assert isinstance(driven("open").opening(), Open)
    assert PlainSecret().public.name == "plain"
