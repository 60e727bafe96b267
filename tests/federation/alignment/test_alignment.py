"""Which applicants are common: right when all behave, named when one does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.alignment.guest import choose_rows, find_common
from federation.alignment.host import TRANSITIONS, AlignmentHost, AlignmentState
from federation.alignment.messages import (
    BlindedIds,
    EvaluatedIds,
    RowsAccepted,
    RowsChosen,
    RowsPart,
    Tokens,
    TokensWanted,
)
from federation.alignment.tokens import BATCH, id_bytes
from federation.ciphers import oprf
from federation.codec import encode
from federation.endpoint import Endpoint
from federation.errors import LianmoError, LocalProtocolError, Refused, RemoteProtocolError
from federation.messages import Failure, Goodbye, Message
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import FaultyWire, MemoryWire
from models.errors import DataError

ALLOWED = tuple({kind for _, kind in TRANSITIONS})
POLICY = HostPolicy(min_rows=1)
ids = st.lists(st.text(max_size=6), unique=True, max_size=12)


def wire(**hosts: AlignmentHost) -> MemoryWire:
    return MemoryWire({party: Endpoint(host, "bank", ALLOWED).answer for party, host in hosts.items()})


@settings(max_examples=30)
@given(ids, ids, ids)
def test_the_guest_learns_exactly_the_rows_each_host_knows(mine: list[str], a: list[str], b: list[str]) -> None:
    hosts = {"a": AlignmentHost(tuple(a), POLICY), "b": AlignmentHost(tuple(b), POLICY)}
    common = set(mine) & set(a) & set(b)
    if not common:
        with pytest.raises(DataError) as caught:
            run(find_common(mine, ["a", "b"]), wire(**hosts))
        assert caught.value.code == "no_common_applicants"
        return
    positions = run(find_common(mine, ["a", "b"]), wire(**hosts))
    for party, held in (("a", a), ("b", b)):
        assert (positions[party] >= 0).tolist() == [i in held for i in mine]
    rows = np.array([k for k, i in enumerate(mine) if i in common])[::-1]
    run(choose_rows(positions, rows), wire(**hosts))
    for host in hosts.values():
        assert [host.ids[row] for row in host.state.rows] == [mine[row] for row in rows]


def test_without_hosts_everybody_is_common() -> None:
    assert run(find_common(["a", "b"], []), MemoryWire({})) == {}


def test_a_host_shows_its_tokens_in_an_order_of_its_own() -> None:
    hosts = [AlignmentHost(tuple(map(str, range(50))), POLICY) for _ in range(2)]
    for host in hosts:
        host.answer(TokensWanted())
        assert sorted(host.state.order.tolist()) == list(range(50))
        assert host.state.order.tolist() != list(range(50))
    assert hosts[0].state.order.tolist() != hosts[1].state.order.tolist()


def test_tokens_of_two_sessions_have_nothing_in_common() -> None:
    first, second = (AlignmentHost(("a", "b"), POLICY).answer(TokensWanted()).tokens for _ in range(2))
    assert not {first[:16], first[16:]} & {second[:16], second[16:]}


POINT = oprf.hash_to_group(id_bytes("x"))
REQUESTS: list[Message] = [
    BlindedIds(points=POINT),
    TokensWanted(),
    RowsPart(positions=np.array([0], np.uint32).tobytes()),
    RowsChosen(positions=np.array([0], np.uint32).tobytes()),
    EvaluatedIds(points=POINT),
    Tokens(tokens=bytes(16)),
    RowsAccepted(n_rows=1),
    Failure(code="policy"),
    Goodbye(code=""),
]


def host_in(phase: str, policy: HostPolicy = POLICY) -> AlignmentHost:
    host = AlignmentHost(("x", "y", "z"), policy)
    if phase != "open":
        host.answer(TokensWanted())
    if phase == "choosing":
        host.answer(RowsPart(positions=np.array([2], np.uint32).tobytes()))
    if phase == "chosen":
        host.answer(RowsChosen(positions=np.array([1], np.uint32).tobytes()))
    assert host.state.phase == phase
    return host


@pytest.mark.parametrize("phase", ["open", "shown", "choosing", "chosen"])
@pytest.mark.parametrize("request_", REQUESTS, ids=lambda m: m.kind)
def test_every_state_meets_every_message(phase: str, request_: Message) -> None:
    host = host_in(phase)
    if isinstance(request_, TokensWanted):
        request_ = TokensWanted(start=host.state.n_shown)
    before = host.state.dump()
    if (phase, type(request_)) in TRANSITIONS:
        host.answer(request_)
        assert host.state.phase == TRANSITIONS[phase, type(request_)]
    else:
        with pytest.raises(LocalProtocolError) as caught:
            host.answer(request_)
        assert caught.value.code == "out_of_turn"
        assert host.state.dump() == before


def positions_of(*positions: int) -> RowsChosen:
    return RowsChosen(positions=np.array(positions, np.uint32).tobytes())


@pytest.mark.parametrize(
    ("phase", "request_", "code"),
    [
        ("open", BlindedIds(points=POINT[:-1]), "bad_value"),
        ("open", BlindedIds(points=bytes(32)), "bad_point"),
        ("open", BlindedIds(points=POINT + b"\xff" * 32), "bad_point"),
        ("open", BlindedIds(points=POINT * 5), "policy"),
        ("open", BlindedIds(points=POINT * (BATCH + 1)), "bad_value"),
        ("open", TokensWanted(start=1), "bad_value"),
        ("open", TokensWanted(start=-1), "bad_value"),
        ("shown", TokensWanted(start=0), "bad_value"),
        ("shown", RowsChosen(positions=b"\0\0\0\0\0"), "bad_value"),
        ("shown", RowsChosen(positions=bytes(4 * (BATCH + 1))), "bad_value"),
        ("shown", RowsPart(positions=b"\0\0\0\0\0"), "bad_value"),
        ("shown", RowsPart(positions=np.array([3], np.uint32).tobytes()), "bad_value"),
        ("shown", RowsPart(positions=bytes(4 * 4)), "bad_value"),
        ("choosing", positions_of(0, 2), "bad_value"),
        ("choosing", positions_of(0, 1, 0), "bad_value"),
        ("choosing", positions_of(), "too_few_rows"),
        ("shown", positions_of(0, 1, 3), "bad_value"),
        ("shown", positions_of(0, 1, 2**32 - 1), "bad_value"),
        ("shown", positions_of(2, 1, 2), "bad_value"),
        ("shown", positions_of(0), "too_few_rows"),
        ("shown", positions_of(), "too_few_rows"),
    ],
)
def test_hostile_requests_are_refused_and_change_nothing(phase: str, request_: Message, code: str) -> None:
    host = host_in(phase, HostPolicy(min_rows=2, max_blinded_ids=4))
    before = host.state.dump()
    with pytest.raises(LianmoError) as caught:
        host.answer(request_)
    assert caught.value.code == code
    assert host.state.dump() == before


def test_the_limit_on_ids_is_that_of_the_session() -> None:
    host = AlignmentHost(("x",), HostPolicy(min_rows=1, max_blinded_ids=4))
    host.answer(BlindedIds(points=POINT * 4))
    with pytest.raises(LocalProtocolError) as caught:
        host.answer(BlindedIds(points=POINT))
    assert caught.value.code == "policy"


def test_choosing_nobody_is_refused_even_without_a_minimum() -> None:
    host = host_in("shown", HostPolicy(min_rows=0))
    with pytest.raises(LocalProtocolError):
        host.answer(positions_of())


def test_a_refusal_reaches_the_guest_as_a_code() -> None:
    strict = AlignmentHost(("x", "y"), HostPolicy(min_rows=100))
    script = find_common(["x", "y"], ["a"])
    positions = run(script, wire(a=strict))
    with pytest.raises(Refused) as caught:
        run(choose_rows(positions, np.array([0, 1])), wire(a=strict))
    assert (caught.value.party, caught.value.code) == ("a", "too_few_rows")


@pytest.mark.parametrize(
    ("at", "reply", "code"),
    [
        (0, EvaluatedIds(points=POINT), "bad_value"),
        (0, EvaluatedIds(points=POINT * 3), "bad_value"),
        (0, EvaluatedIds(points=POINT + b"x"), "bad_value"),
        (0, Tokens(tokens=b""), "out_of_turn"),
        (1, Tokens(tokens=b"123"), "bad_value"),
        (1, Tokens(tokens=bytes(16 * (BATCH + 1))), "bad_value"),
        (1, EvaluatedIds(points=b""), "out_of_turn"),
    ],
)
def test_hostile_replies_name_the_culprit(at: int, reply: Message, code: str) -> None:
    hosts = {"a": AlignmentHost(("x", "y"), POLICY), "b": AlignmentHost(("x", "y"), POLICY)}

    def damage(count: int, party: str, frame: bytes) -> bytes:
        return encode(reply) if (count, party) == (at, "b") else frame

    with pytest.raises(RemoteProtocolError) as caught:
        run(find_common(["x", "y"], ["a", "b"]), FaultyWire(wire(**hosts), damage))
    assert (caught.value.party, caught.value.code) == ("b", code)


def bad_points(count: int, party: str, frame: bytes) -> bytes:
    return encode(EvaluatedIds(points=b"\xff" * 64)) if (count, party) == (0, "b") else frame


def test_bad_points_from_a_host_name_it() -> None:
    hosts = {"a": AlignmentHost(("x", "y"), POLICY), "b": AlignmentHost(("x", "y"), POLICY)}
    with pytest.raises(RemoteProtocolError) as caught:
        run(find_common(["x", "y"], ["a", "b"]), FaultyWire(wire(**hosts), bad_points))
    assert (caught.value.party, caught.value.code) == ("b", "bad_point")


def test_a_host_whose_tokens_never_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.alignment.guest.MAX_HOST_ROWS", 3 * BATCH)
    hosts = {"a": AlignmentHost(("x", "y"), POLICY), "b": AlignmentHost(("x", "y"), POLICY)}

    def damage(count: int, party: str, frame: bytes) -> bytes:
        return encode(Tokens(tokens=bytes(16 * BATCH))) if count and party == "b" else frame

    with pytest.raises(RemoteProtocolError) as caught:
        run(find_common(["x", "y"], ["a", "b"]), FaultyWire(wire(**hosts), damage))
    assert (caught.value.party, caught.value.code) == ("b", "bad_value")


def test_a_host_that_counts_other_rows_is_named() -> None:
    hosts = {"a": AlignmentHost(("x", "y"), POLICY)}
    positions = run(find_common(["x", "y"], ["a"]), wire(**hosts))
    with pytest.raises(RemoteProtocolError) as caught:
        run(
            choose_rows(positions, np.array([0, 1])),
            FaultyWire(wire(**hosts), lambda count, party, frame: encode(RowsAccepted(n_rows=1))),
        )
    assert (caught.value.party, caught.value.code) == ("a", "bad_value")


def test_the_state_comes_back_in_the_middle() -> None:
    host = host_in("choosing")
    again = AlignmentHost(host.ids, POLICY, AlignmentState.load(host.state.dump()))
    again.answer(positions_of(0))
    assert again.state.rows.tolist() == host.state.order[[2, 0]].tolist()
