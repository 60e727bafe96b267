"""The seam: yields become frames, replies come back, refusals stop the script."""

from __future__ import annotations

import pytest

from federation.alignment.messages import RowsAccepted, TokensWanted
from federation.codec import encode
from federation.errors import Refused, RemoteProtocolError, TransportError
from federation.messages import Failure, Goodbye
from federation.script import Script, abreast, run
from federation.transports.memory import FaultyWire, MemoryWire


def asks_twice(log: list[str]) -> Script[int]:
    try:
        first = yield {"host:a": TokensWanted(), "host:b": TokensWanted()}
        second = yield {"host:a": TokensWanted()}
        return first["host:a"].n_rows + first["host:b"].n_rows + second["host:a"].n_rows
    finally:
        log.append("closed")


def says(message: object) -> object:
    return lambda frame: (encode(message), False)


def wire(**replies: object) -> MemoryWire:
    return MemoryWire({f"host:{k}": says(v) for k, v in replies.items()})


def test_a_script_returns_what_it_made_of_the_replies() -> None:
    log: list[str] = []
    assert run(asks_twice(log), wire(a=RowsAccepted(n_rows=1), b=RowsAccepted(n_rows=10))) == 12
    assert log == ["closed"]


def test_a_refusal_names_the_party_and_closes_the_script() -> None:
    log: list[str] = []
    with pytest.raises(Refused) as caught:
        run(asks_twice(log), wire(a=RowsAccepted(n_rows=1), b=Failure(code="policy")))
    assert (caught.value.party, caught.value.code) == ("host:b", "policy")
    assert log == ["closed"]


def test_a_party_that_is_not_there_is_named() -> None:
    with pytest.raises(TransportError) as caught:
        run(asks_twice([]), wire(a=RowsAccepted(n_rows=1)))
    assert (caught.value.party, caught.value.code) == ("host:b", "party_absent")


def test_a_party_that_leaves_is_named() -> None:
    good = wire(a=RowsAccepted(n_rows=1), b=RowsAccepted(n_rows=1))
    with pytest.raises(TransportError) as caught:
        run(asks_twice([]), FaultyWire(good, lambda count, party, reply: None if count == 1 else reply))
    assert (caught.value.party, caught.value.code) == ("host:a", "party_left")


def test_rubbish_names_its_sender() -> None:
    good = wire(a=RowsAccepted(n_rows=1), b=RowsAccepted(n_rows=1))
    damage = lambda count, party, reply: b"\xc1" if party == "host:b" else reply  # noqa: E731
    with pytest.raises(RemoteProtocolError) as caught:
        run(asks_twice([]), FaultyWire(good, damage))
    assert (caught.value.party, caught.value.code) == ("host:b", "unreadable")


def test_a_witness_sees_every_frame_in_both_directions() -> None:
    seen: list[tuple[str, str, str, int]] = []
    run(
        asks_twice([]),
        wire(a=RowsAccepted(n_rows=1), b=RowsAccepted(n_rows=1)),
        lambda sender, receiver, message, size: seen.append((sender, receiver, message.kind, size)),
    )
    asked, told = len(encode(TokensWanted())), len(encode(RowsAccepted(n_rows=1)))
    want, accept = TokensWanted.kind, RowsAccepted.kind
    assert seen == [
        ("", "host:a", want, asked),
        ("", "host:b", want, asked),
        ("host:a", "", accept, told),
        ("host:b", "", accept, told),
        ("", "host:a", want, asked),
        ("host:a", "", accept, told),
    ]


def test_a_script_that_asks_nobody_needs_no_host() -> None:
    def local() -> Script[str]:
        yield {}
        return "done"

    assert run(local(), MemoryWire({})) == "done"


def test_goodbye_is_a_message_like_any_other() -> None:
    def leaves() -> Script[object]:
        return (yield {"host:a": Goodbye(code="")})

    assert run(leaves(), wire(a=Goodbye(code=""))) == {"host:a": Goodbye(code="")}


def counts(party: str, n: int) -> Script[int]:
    total = 0
    for _ in range(n):
        reply = (yield {party: TokensWanted()}).get(party)
        total += reply.n_rows if reply else 100
    return total


def test_scripts_side_by_side_make_their_exchanges_together() -> None:
    passed: list[list[str]] = []

    def script() -> Script[dict[str, int]]:
        inner = abreast({"x": counts("host:a", 3), "y": counts("host:b", 1), "z": counts("host:c", 0)})
        replies = None
        while True:
            try:
                requests = inner.send(replies)
            except StopIteration as done:
                return done.value
            passed.append(sorted(requests))
            replies = yield requests

    found = run(script(), wire(a=RowsAccepted(n_rows=1), b=RowsAccepted(n_rows=10)))
    assert found == {"x": 3, "y": 10, "z": 0}
    assert passed == [["host:a", "host:b"], ["host:a"], ["host:a"]]


def test_who_does_not_answer_is_missing_in_its_own_script_only() -> None:
    script = abreast({"x": counts("host:a", 1), "y": counts("host:b", 1)})
    next(script)
    with pytest.raises(StopIteration) as caught:
        script.send({"host:b": RowsAccepted(n_rows=10)})
    assert caught.value.value == {"x": 100, "y": 10}


def test_when_one_of_them_fails_all_are_closed() -> None:
    log: list[str] = []
    script = abreast({"x": asks_twice(log), "y": counts("host:c", 2)})
    next(script)
    script.send({"host:c": RowsAccepted(n_rows=1), "host:a": RowsAccepted(n_rows=1)})
    with pytest.raises(KeyError):  # of host:b, which has not answered
        script.send({"host:a": RowsAccepted(n_rows=1)})
    assert log == ["closed"]
