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


def test_choices_that_were_not_offered_are_refused() -> None:
    c = driven("growing", min_child_samples=35)  # shows some cuts, hides others
    good = place_of(c, shown=True)
    for choices in (
        ((0, ()),),
        ((0, (place_of(c, shown=False),)),),
        ((0, (good, place_of(c, shown=False))),),
        ((0, (c.n_candidates,)),),
        ((0, (-1,)),),
        ((1, (good,)),),
        ((0, (good,)), (7, (good,))),
    ):
        assert refused(c.host, Choose(tree=0, choices=choices)) == "bad_value"
    assert refused(c.host, Choose(tree=1, choices=((0, (good,)),))) == "bad_value"
    assert c.host.answer(Choose(tree=0, choices=((0, (good,)),))).handles == (0,)


def test_a_choice_before_any_level_was_shown_is_refused() -> None:
    c = driven("open")
    c.begin()
    assert refused(c.host, Choose(tree=0, choices=((0, (0,)),))) == "bad_value"


def test_a_node_is_cut_once() -> None:
    c = driven("growing")
    good = place_of(c, shown=True)
    c.host.answer(Choose(tree=0, choices=((0, (good,)),)))
    assert refused(c.host, Choose(tree=0, choices=((0, (good,)),))) == "bad_value"


@pytest.mark.parametrize("n_handles", [-1, 1, 10**9])
def test_cuts_that_were_never_made_cannot_be_sealed(n_handles: int) -> None:
    assert refused(driven("growing").host, Seal(n_handles=n_handles)) == "bad_value"


def test_a_sealed_half_is_the_one_whose_digest_was_told() -> None:
    c = driven("growing")
    c.host.answer(Choose(tree=0, choices=((0, (place_of(c, shown=True),)),)))
    assert c.host.half is None
    sealed = c.host.answer(Seal(n_handles=1))
    assert c.host.half is not None
    assert c.host.half.digest() == sealed.digest
    assert len(c.host.half.splits) == 1
    assert c.host.state.ciphertexts.size == 0


def test_the_rows_told_are_those_of_the_cut() -> None:
    c = driven("growing")
    place = place_of(c, shown=True)
    reply = c.host.answer(Choose(tree=0, choices=((0, (place,)),)))
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
    c = driven("open", floor=1, min_child_samples=30).begin()
    [counts] = c.read(c.root(), 1)
    assert counts
    assert all(30 <= n <= c.n_fit - 30 for n in counts.values())


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
