"""Standing lines: many questions at once, each with its own answer or an error in time, whatever dies in between."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from federation.errors import LocalProtocolError, RemoteProtocolError, TransportError
from federation.transports.line import Line, answer_line
from federation.transports.link import Link
from federation.transports.refusals import relay_error
from federation.transports.relay import Relay
from federation.transports.standing import Pauses, StandingWire
from models.errors import LianmoError
from tests.federation.transports.hub import SECONDS, TICKETS
from tests.federation.transports.keyring import seals

BANK, TAX = "bank", "host:tax"
PAUSE = threading.Event()
Answer = Callable[[bytes], tuple[bytes, bool]]


def echo(frame: bytes) -> tuple[bytes, bool]:
    return frame[::-1], False


class Exchange:
    """A relay, and hosts that come to every line a bank asks for, as long as they are up."""

    def __init__(self, answer: Answer = echo, relay: Relay | None = None) -> None:
        self.answer = answer
        self.relay = relay or Relay()
        self.port = self.relay.serve("127.0.0.1:0")
        self.up = True
        self.n_opened = 0
        self.threads: list[threading.Thread] = []
        self.host_links: list[Link] = []

    def link(self, session: str, party: str, **settings: Any) -> Link:
        address = f"127.0.0.1:{self.port}"
        return Link(address, session, party, TICKETS[party], seals=seals(party), deadline_seconds=SECONDS, **settings)

    def open(self, party: str) -> Link:
        """What a hub does: a session of two, of which both ends are told."""
        if not self.up or party not in TICKETS:
            raise TransportError(party, "party_absent", "It is away.", "未连接。")
        self.n_opened += 1
        session = f"line-{self.n_opened}"
        try:
            self.relay.open_session(session, {p: TICKETS[p] for p in (BANK, party)})
        except LocalProtocolError as error:
            raise relay_error("relay_unreachable") from error
        thread = threading.Thread(target=self._host, args=(session, party))
        thread.start()
        self.threads.append(thread)
        link = self.link(session, BANK).__enter__()
        try:
            link.await_party(party, SECONDS)
        except BaseException:
            link.close()
            raise
        return link

    def _host(self, session: str, party: str) -> None:
        with suppress(LianmoError), self.link(session, party) as link:
            self.host_links.append(link)
            answer_line(link, lambda frame: self.answer(frame), BANK)

    def kill_hosts(self) -> None:
        self.up = False
        for link in self.host_links:
            link.close()

    def restart_relay(self) -> None:
        self.relay.stop()
        self.relay = Relay()
        assert self.relay.serve(f"127.0.0.1:{self.port}") == self.port

    def wire(self, **settings: Any) -> StandingWire:
        pauses = Pauses(first=0.01, longest=0.05, **{"renewal": 60.0, **settings.pop("pauses", {})})
        return StandingWire(self.open, [TAX], pauses=pauses, **{"deadline_seconds": SECONDS, **settings})

    def stop(self) -> None:
        self.relay.stop()
        for thread in self.threads:
            thread.join(SECONDS)
            assert not thread.is_alive()


@pytest.fixture
def hub() -> Iterator[Exchange]:
    made = Exchange()
    yield made
    made.stop()


def ask(wire: StandingWire, frame: bytes) -> bytes:
    return wire.exchange({TAX: frame})[TAX]


def until_answered(wire: StandingWire, frame: bytes) -> bytes:
    until = time.monotonic() + SECONDS
    while True:
        try:
            return ask(wire, frame)
        except LianmoError:
            assert time.monotonic() < until
            PAUSE.wait(0.01)


def test_many_threads_ask_at_once_and_each_gets_its_own_answer(hub: Exchange) -> None:
    frames = [b"question %d" % k for k in range(400)]
    with hub.wire() as wire, ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda f: ask(wire, f), frames)) == [f[::-1] for f in frames]
    assert hub.n_opened == 1


def test_an_event_loop_asks_as_threads_do(hub: Exchange) -> None:
    late = threading.Event()

    def answer(frame: bytes) -> tuple[bytes, bool]:
        if frame == b"slow":
            late.wait(SECONDS)
        return echo(frame)

    async def all_at_once() -> list[bytes]:
        async with hub.wire() as wire:
            assert await wire.reaches(TAX, SECONDS)
            assert not await wire.reaches("host:nobody", SECONDS)
            assert await wire.ask(TAX, bytes(3_000_000), SECONDS) == bytes(3_000_000)
            slow = asyncio.ensure_future(wire.ask(TAX, b"slow", 0.2))
            answers = await asyncio.gather(*(wire.ask(TAX, frame, SECONDS) for frame in frames))
            with pytest.raises(TransportError) as caught:
                await slow
            assert (caught.value.party, caught.value.code) == (TAX, "party_timeout")
            late.set()
            return answers

    hub.answer = answer
    frames = [b"question %d" % k for k in range(200)]
    assert asyncio.run(all_at_once()) == [frame[::-1] for frame in frames]
    assert hub.n_opened == 1


def test_answers_may_come_in_another_order(hub: Exchange) -> None:
    second = threading.Event()

    def answer(frame: bytes) -> tuple[bytes, bool]:
        if frame == b"first":
            assert second.wait(SECONDS)
        else:
            second.set()
        return frame.upper(), False

    hub.answer = answer
    with hub.wire() as wire, ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, wire, b"first")
        assert ask(wire, b"second") == b"SECOND"
        assert first.result() == b"FIRST"


def test_a_host_that_dies_is_told_of_at_once_and_asked_again_when_it_is_back(hub: Exchange) -> None:
    asked, dead = threading.Event(), threading.Event()

    def answer(frame: bytes) -> tuple[bytes, bool]:
        if frame == b"last words":
            asked.set()
            dead.wait(SECONDS)
        return echo(frame)

    hub.answer = answer
    with hub.wire() as wire, ThreadPoolExecutor(1) as pool:
        assert ask(wire, b"abc") == b"cba"
        under_way = pool.submit(ask, wire, b"last words")
        assert asked.wait(SECONDS)
        began = time.monotonic()
        hub.kill_hosts()
        with pytest.raises(TransportError) as left:
            under_way.result()
        dead.set()
        assert (left.value.party, left.value.code) == (TAX, "party_left")
        for _ in range(20):
            with pytest.raises(TransportError) as absent:
                ask(wire, b"abc")
            assert absent.value.party == TAX
        assert time.monotonic() - began < SECONDS / 2
        hub.up = True
        assert until_answered(wire, b"xyz") == b"zyx"


def test_a_relay_that_is_started_again_is_found_again(hub: Exchange) -> None:
    with hub.wire() as wire:
        assert ask(wire, b"abc") == b"cba"
        hub.restart_relay()
        assert until_answered(wire, b"xyz") == b"zyx"
    assert hub.n_opened >= 2


def test_a_lost_relay_goes_by_the_name_of_the_host_that_was_asked(hub: Exchange) -> None:
    asked, over = threading.Event(), threading.Event()

    def answer(frame: bytes) -> tuple[bytes, bool]:
        asked.set()
        over.wait(SECONDS)
        return echo(frame)

    hub.answer = answer
    with hub.wire() as wire, ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(ask, wire, b"abc")
        assert asked.wait(SECONDS)
        hub.relay.stop()
        with pytest.raises(TransportError) as lost:
            under_way.result()
        over.set()
    assert lost.value.party == TAX


def test_lines_are_renewed_under_load_and_no_answer_is_lost(hub: Exchange) -> None:
    frames = [b"question %d" % k for k in range(3000)]
    heard: list[bytes] = []

    def answer(frame: bytes) -> tuple[bytes, bool]:
        heard.append(frame)
        return echo(frame)

    hub.answer = answer
    with hub.wire(pauses={"renewal": 0.0}) as wire, ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda f: ask(wire, f), itertools.chain(frames))
        assert list(answers) == [f[::-1] for f in frames]
        assert sorted(heard) == sorted(frames)  # each once: a second time would cost budget
        until = time.monotonic() + SECONDS
        while hub.n_opened < 3:
            assert ask(wire, b"ab") == b"ba"
            assert time.monotonic() < until


def test_a_slow_answer_is_dropped_when_it_comes_and_the_line_stays(hub: Exchange) -> None:
    late = threading.Event()

    def answer(frame: bytes) -> tuple[bytes, bool]:
        if frame == b"slow":
            late.wait(SECONDS)
        return frame, False

    hub.answer = answer
    with hub.wire(deadline_seconds=1.0) as wire, ThreadPoolExecutor(1) as pool:
        assert wire._posts[TAX].line(time.monotonic() + SECONDS)
        slow = pool.submit(ask, wire, b"slow")
        while not slow.done():
            assert ask(wire, b"quick") == b"quick"
        with pytest.raises(TransportError) as caught:
            slow.result()
        assert caught.value.code == "party_timeout"
        late.set()
        assert ask(wire, b"after") == b"after"
    assert hub.n_opened == 1


def test_a_line_on_which_nothing_comes_is_opened_anew(hub: Exchange) -> None:
    woken = threading.Event()

    def answer(frame: bytes) -> tuple[bytes, bool]:
        if frame == b"stuck":
            woken.wait(SECONDS)
        return frame, False

    hub.answer = answer
    with hub.wire(deadline_seconds=0.3, pauses={"silence": 0.2}) as wire:
        assert wire._posts[TAX].line(time.monotonic() + SECONDS)
        with pytest.raises(TransportError) as caught:
            ask(wire, b"stuck")
        assert (caught.value.party, caught.value.code) == (TAX, "party_timeout")
        assert until_answered(wire, b"after") == b"after"
        woken.set()
    assert hub.n_opened >= 2


class Replaying(Relay):
    """Delivers every sealed frame of the host twice."""

    def _pass_on(self, session: Any, party: str, frame: bytes) -> None:
        kind, receiver, body = session.accept(party, frame)
        session.deliver(party, kind, receiver, body)
        if party == TAX and session.seats[party].sent_frames > 2:
            session.deliver(party, kind, receiver, body)


def test_a_frame_that_the_relay_repeats_answers_nobody_and_ends_the_line() -> None:
    hub = Exchange(relay=Replaying())
    try:
        line = Line(hub.open(TAX), TAX)
        answers = []
        with suppress(LianmoError):
            for _ in range(10):
                answers.append(line.ask(b"abc").reply.result(SECONDS))
        assert answers == [b"cba"] * len(answers)
        assert line.over.wait(SECONDS)
        assert isinstance(line.fault, RemoteProtocolError)
        assert (line.fault.party, line.fault.code) == (TAX, "seal_broken")
        line.close()
    finally:
        hub.stop()


def test_a_reply_to_no_question_ends_the_line(hub: Exchange) -> None:
    hub.relay.open_session("forged", {p: TICKETS[p] for p in (BANK, TAX)})
    with ExitStack() as stack:
        tax = stack.enter_context(hub.link("forged", TAX))
        line = Line(hub.link("forged", BANK).__enter__(), TAX)
        stack.callback(line.close)
        tax.send(BANK, b"surprise", 7)
        assert line.over.wait(SECONDS)
        assert isinstance(line.fault, RemoteProtocolError)
        assert (line.fault.party, line.fault.code) == (TAX, "out_of_turn")


def test_a_host_answers_its_guest_only_and_in_order(hub: Exchange) -> None:
    other = "host:电信"
    hub.relay.open_session("three", TICKETS)
    heard: list[bytes] = []

    def answer(frame: bytes) -> tuple[bytes, bool]:
        heard.append(frame)
        return echo(frame)

    with ExitStack() as stack:
        tax, bank, stranger = (stack.enter_context(hub.link("three", party)) for party in (TAX, BANK, other))
        stranger.send(TAX, b"from a stranger", 1)
        with tax._changed:
            assert tax._changed.wait_for(lambda: tax._inbox, SECONDS)
        bank.send(TAX, b"first", 1)
        bank.send(TAX, b"third", 3)
        with pytest.raises(RemoteProtocolError) as caught:
            answer_line(tax, answer, BANK)
    assert (caught.value.party, caught.value.code) == (BANK, "out_of_turn")
    assert heard == [b"first"]


def test_a_question_that_is_too_long_is_refused_here_and_the_line_stays(hub: Exchange) -> None:
    hub.relay.open_session("short", {p: TICKETS[p] for p in (BANK, TAX)})
    thread = threading.Thread(target=hub._host, args=("short", TAX))
    thread.start()
    line = Line(hub.link("short", BANK, max_message_bytes=100).__enter__(), TAX)
    with pytest.raises(LocalProtocolError) as caught:
        line.ask(bytes(101)).reply.result(SECONDS)
    assert caught.value.code == "too_large"
    assert line.ask(b"abc").reply.result(SECONDS) == b"cba"
    line.close()
    thread.join(SECONDS)


def test_a_wire_that_is_not_open_says_so(hub: Exchange) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        ask(hub.wire(), b"abc")
    assert caught.value.code == "wire_closed"
    with hub.wire() as wire, pytest.raises(TransportError) as absent:
        wire.exchange({"host:nobody": b""})
    assert (absent.value.party, absent.value.code) == ("host:nobody", "party_absent")


@pytest.mark.parametrize("n_failed", [1, 2, 10, 1000])
def test_pauses_grow_and_are_bounded(n_failed: int) -> None:
    pauses = Pauses(first=0.1, longest=5.0)
    wanted = min(5.0, 0.1 * 2 ** min(n_failed - 1, 20))
    assert all(wanted / 2 <= pauses.after(n_failed) <= wanted for _ in range(100))
