"""A host's two doors by themselves: what each is for, and what is given once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from federation.alignment.messages import RowsChosen, TokensWanted
from federation.ciphers.plain import PlainSecret
from federation.codec import decode, encode
from federation.endpoint import Endpoint
from federation.errors import NotEncrypting
from federation.horizontal.binning import messages as binning
from federation.horizontal.boosting import messages as boosting
from federation.hybrid import messages as m
from federation.hybrid.host import ALLOWED as OF_COORDINATOR
from federation.hybrid.host import HybridHost
from federation.hybrid.seat import ALLOWED as OF_BANK
from federation.hybrid.seat import Seat
from federation.hybrid.veils import Veils
from federation.messages import Goodbye, Message
from federation.policy import HostPolicy
from federation.vertical.boosting.messages import Gradients
from models.errors import LianmoError
from models.table import Table
from tests.federation.hybrid.cities import POLICY

BANK = "bank:00"
X = np.array([-1.0, 0.5, 2.0, np.nan, 0.2, 0.3])
FEATURES = (("x", False, (0.0, 1.0), (), False, True),)
BITS = 50


def gradients(tree: int = 0, start: int = 0, n: int = 6) -> Gradients:
    return Gradients(tree=tree, start=start, rows=b"", ciphertexts=PlainSecret().encrypt([(5 << 116) + 3] * n))


def aligned(policy: HostPolicy = POLICY, n_more: int = 0) -> HybridHost:
    """A host whose one bank has chosen all rows but the last ``n_more``."""
    x = np.concatenate([X, X[:n_more]])
    host = HybridHost("host:tax-0", {BANK: Seat(Table(tuple("abcdefghij")[: len(x)], {"x": x}), policy)})
    seat = host.seats[BANK]
    seat.answer(TokensWanted(start=0))
    seat.answer(RowsChosen(positions=positions(seat, *range(6))))
    return host


def positions(seat: Seat, *rows: int) -> bytes:
    """Where rows stand among the tokens shown."""
    return np.argsort(seat.alignment.state.order)[list(rows)].astype("<u4").tobytes()


SEEDS = m.SeedsWanted(veil_bits=BITS)
COUNT = (binning.Open(features=(("x", False, ()),), most_rows=10), binning.CellsWanted(round=0, cells=()))
OPEN = boosting.Open(model_id="m", features=FEATURES, most_rows=10, max_depth=2, most_sums=100, noise=0.0)
TERMS = m.Terms(cipher="plain", key=b"")
ROOT = m.SumsWanted(tree=0, cuts=(), left=b"", nodes=(0,))
CUT = m.Cuts(tree=0, cuts=((0, 0, 0, True, 1, 2),))
BELOW = m.SumsWanted(tree=0, cuts=((0, 1, 2),), left=b"\x90", nodes=(1,))


def at(phase: str, n_more: int = 0) -> HybridHost:
    host = aligned(n_more=n_more)
    seat = host.seats[BANK]
    steps: dict[str, Callable[[], object]] = {
        "seeded": lambda: host.answer(SEEDS),
        "counted": lambda: [host.answer(x) for x in COUNT],
        "opened": lambda: host.answer(OPEN),
        "agreed": lambda: seat.answer(TERMS),
        "told": lambda: seat.answer(gradients()),
        "root": lambda: seat.answer(ROOT),
        "cut": lambda: host.answer(CUT),
    }
    for name, step in steps.items():
        step()
        if name == phase:
            break
    return host


def refused(answer: Callable[[Message], Message], request: Message, code: str = "bad_value") -> None:
    with pytest.raises(LianmoError) as caught:
        answer(request)
    assert caught.value.code == code


def test_a_node_is_summed_once() -> None:
    """Twice under one veil, with other gradients or rows between, would tell a bank the difference."""
    host = at("root")
    seat = host.seats[BANK]
    before = seat.dump()
    refused(seat.answer, ROOT)
    refused(seat.answer, gradients())  # the same tree anew
    assert seat.dump() == before
    host.answer(CUT)
    seat.answer(BELOW)
    refused(seat.answer, BELOW)
    refused(seat.answer, replace(BELOW, cuts=((0, 1, 2),), nodes=(2,)))
    seat.answer(gradients(tree=1))
    refused(seat.answer, gradients(tree=0))
    seat.answer(replace(ROOT, tree=1))


def test_each_node_has_a_veil_of_its_own() -> None:
    seat = at("root").seats[BANK]
    veils = Veils(BITS)
    drawn = [veils.draw(seat.state.seed, use, turn, 4).tobytes() for use in (0, 1) for turn in (0, 1, 1 << 32)]
    assert len(set(drawn)) == 6


def test_counts_are_given_once_and_only_if_the_coordinator_asked() -> None:
    host = at("seeded")
    seat = host.seats[BANK]
    refused(seat.answer, m.CountsWanted())
    for request in COUNT:
        host.answer(request)
    seat.answer(m.CountsWanted())
    refused(seat.answer, m.CountsWanted())


def test_sides_are_of_cuts_that_the_coordinator_told_and_of_rows_in_the_node() -> None:
    host = at("root")
    seat = host.seats[BANK]
    refused(seat.answer, m.SidesWanted(tree=0))
    host.answer(CUT)
    refused(seat.answer, m.SidesWanted(tree=1))
    sides = seat.answer(m.SidesWanted(tree=0))
    assert sides.left == np.packbits((X <= 0) | np.isnan(X)).tobytes() == b"\x90"
    refused(seat.answer, m.SidesWanted(tree=0))
    seat.answer(BELOW)
    host.answer(m.Cuts(tree=0, cuts=((2, 0, 1, False, 3, 4),)))
    assert seat.answer(m.SidesWanted(tree=0)).left == np.packbits([0, 1, 0, 0, 1, 1]).tobytes()


def test_a_bank_cannot_speak_for_the_coordinator_nor_the_other_way_round() -> None:
    assert not set(OF_BANK) & set(OF_COORDINATOR)
    host = at("root")
    for request in (SEEDS, *COUNT, OPEN, CUT, m.Seal(n_trees=1)):
        refused(host.seats[BANK].answer, request, "out_of_turn")
    for request in (TERMS, gradients(), ROOT, m.CountsWanted(), m.SidesWanted(tree=0), TokensWanted(start=0)):
        refused(host.answer, request, "out_of_turn")


@pytest.mark.parametrize(
    "request_",
    [
        m.Cuts(tree=0, cuts=((0, 1, 0, True, 1, 2),)),
        m.Cuts(tree=0, cuts=((0, -1, 0, True, 1, 2),)),
        m.Cuts(tree=0, cuts=((0, 0, 4, True, 1, 2),)),
        m.Cuts(tree=0, cuts=((0, 0, -1, True, 1, 2),)),
    ],
)
def test_cuts_that_are_none_are_refused(request_: Message) -> None:
    host = at("root")
    before = host.dump()
    refused(host.answer, request_)
    assert host.dump() == before


@pytest.mark.parametrize(
    "request_",
    [
        replace(BELOW, tree=1),
        replace(BELOW, cuts=()),
        replace(BELOW, cuts=((0, 0, 1),)),
        replace(BELOW, cuts=((0, 2, 1),)),
        replace(BELOW, nodes=()),
        replace(BELOW, nodes=(0,)),
        replace(BELOW, nodes=(2, 1)),
        replace(BELOW, nodes=(1, 1)),
        replace(BELOW, nodes=(3,)),
        replace(BELOW, left=b""),
        replace(BELOW, left=b"\x00\x00"),
        gradients(start=6),
        gradients(tree=1, n=7),
        replace(gradients(tree=1), rows=b"\x00"),
        replace(gradients(tree=1), ciphertexts=b""),
    ],
    ids=repr,
)
def test_requests_that_do_not_fit_are_refused_and_change_nothing(request_: Message) -> None:
    seat = at("cut").seats[BANK]
    before = seat.dump()
    refused(seat.answer, request_)
    assert seat.dump() == before
    seat.answer(BELOW)


def test_sums_wait_for_all_gradients() -> None:
    seat = at("agreed").seats[BANK]
    seat.answer(gradients(n=4))
    refused(seat.answer, ROOT)
    seat.answer(gradients(start=4, n=2))
    seat.answer(ROOT)


@pytest.mark.parametrize("bits", [0, 63, -1])
def test_veils_have_room(bits: int) -> None:
    refused(aligned().answer, m.SeedsWanted(veil_bits=bits))


def test_a_cipher_that_does_not_encrypt_is_refused() -> None:
    """E27: gradients would arrive in clear."""
    host = aligned(HostPolicy(min_rows=1))
    host.answer(SEEDS)
    host.answer(OPEN)
    with pytest.raises(NotEncrypting):
        host.seats[BANK].answer(TERMS)
    assert host.seats[BANK].state.cipher == ""


def test_terms_come_after_bins() -> None:
    refused(at("seeded").seats[BANK].answer, TERMS)


def test_a_policy_is_asked_when_the_run_begins() -> None:
    def nobody(subjects: object) -> np.ndarray:
        return np.zeros(6, dtype=bool)

    host = aligned()
    host.seats[BANK].policy = replace(POLICY, permit=nobody)
    refused(host.answer, SEEDS, "no_consent")
    host.seats[BANK].policy = replace(POLICY, algorithms=("scorecard",))
    refused(host.answer, SEEDS, "policy")


def test_a_bank_that_comes_late_has_no_veils_and_gets_nothing() -> None:
    host = HybridHost("host:tax-0", {BANK: Seat(Table(tuple("abcdef"), {"x": X}), POLICY)})
    assert host.answer(SEEDS) == m.Seeds(seeds=())
    host.seats[BANK] = aligned().seats[BANK]
    host.answer(OPEN)
    refused(host.seats[BANK].answer, TERMS)


def test_rows_come_first() -> None:
    host = HybridHost("host:tax-0", {BANK: Seat(Table(tuple("abcdef"), {"x": X}), POLICY)})
    refused(host.seats[BANK].answer, TERMS, "out_of_turn")


def test_the_half_is_the_cuts_in_the_order_told() -> None:
    host = at("cut")
    assert host.half is None
    sealed = host.answer(m.Seal(n_trees=1))
    assert host.half is not None
    assert [(s.feature, s.code, s.missing_left) for s in host.half.splits] == [(0, 0, True)]
    assert (sealed.digest, sealed.features) == (host.half.digest(), (0,))
    assert json.loads(host.state.half)["party"] == "host:tax-0"
    refused(host.answer, CUT, "out_of_turn")


def test_cuts_of_a_tree_that_was_not_finished_are_no_part_of_the_half() -> None:
    host = at("cut")
    host.seats[BANK].answer(gradients(tree=1))
    host.answer(replace(CUT, tree=1))
    assert host.answer(m.Seal(n_trees=1)).features == (0,)
    assert host.half is not None
    assert len(host.half.splits) == 1


def sealed_door() -> tuple[Seat, m.RoutesWanted]:
    """A door behind a sealed half, and a question about two rows that were not fitted on."""
    host = at("cut", 3)
    sealed = host.answer(m.Seal(n_trees=1))
    seat = host.seats[BANK]
    return seat, m.RoutesWanted(digest=sealed.digest, positions=positions(seat, 7, 6))


def test_routes_of_rows_that_were_not_fitted_on_are_told_once() -> None:
    seat, asked = sealed_door()
    assert seat.answer(asked) == m.Routes(left=np.packbits([0, 1]).tobytes())
    before = seat.dump()
    refused(seat.answer, asked)
    refused(seat.answer, replace(asked, positions=positions(seat, 8, 6)))
    refused(seat.answer, replace(asked, positions=positions(seat, 0)))  # fitted on: sides were told by node
    refused(seat.answer, replace(asked, positions=positions(seat, 8, 8)))
    refused(seat.answer, replace(asked, positions=b"\xff\x00\x00\x00"))
    refused(seat.answer, replace(asked, positions=b"\x00"))
    assert seat.dump() == before
    seat.answer(replace(asked, positions=positions(seat, 8)))


def test_routes_are_told_through_the_sealed_half_and_by_consent() -> None:
    seat, asked = sealed_door()
    refused(seat.answer, replace(asked, digest="0" * 64))
    seat.policy = replace(POLICY, permit=lambda subjects: np.array([s != "g" for s in subjects]))
    refused(seat.answer, asked, "no_consent")
    seat.answer(replace(asked, positions=positions(seat, 7)))
    unsealed = at("cut", 3).seats[BANK]
    refused(unsealed.answer, replace(asked, positions=positions(unsealed, 7)))


def test_a_host_that_is_started_anew_tells_routes_still() -> None:
    host = at("cut", 2)
    sealed = host.answer(m.Seal(n_trees=1))
    other = at("told", 2)
    other.load(host.dump())
    seat = other.seats[BANK]
    seat.answer(m.RoutesWanted(digest=sealed.digest, positions=positions(seat, 6)))
    refused(seat.answer, m.RoutesWanted(digest=sealed.digest, positions=positions(seat, 6)))


def test_nothing_secret_is_printed() -> None:
    host = at("root")
    assert repr(host.state) == "<HostState redacted>"
    assert repr(host.seats[BANK].state) == "<SeatState redacted>"


def test_the_door_answers_a_stranger_with_a_code() -> None:
    door = Endpoint(aligned().seats[BANK], BANK, OF_BANK)
    reply, _ = door.answer(encode(SEEDS))
    assert decode(reply, "host").code == "unreadable"
    assert door.answer(encode(Goodbye(code="")))[1]
