"""What a relay grants: rates, sessions, deadlines; and that it slows down rather than cuts off."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from federation.errors import LocalProtocolError, TransportError
from federation.transports.frames import CHUNK_BYTES
from federation.transports.limits import Allowance, Limits
from federation.transports.relay import Relay
from federation.transports.seats import Seating
from tests.federation.transports.authority import Authority
from tests.federation.transports.http2 import OPENING
from tests.federation.transports.hub import SECONDS, TICKETS, Hub


@contextmanager
def limited(limits: Limits, **tls: object) -> Iterator[Hub]:
    hub = Hub(Relay(limits=limits), **tls)
    try:
        yield hub
    finally:
        hub.stop()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_allowance_lends_and_is_paid_back_in_time() -> None:
    clock = Clock()
    allowance = Allowance(100.0, clock)
    assert allowance.take(100) == 0  # a second's worth is there at the start
    assert allowance.take(50) == pytest.approx(0.5)
    clock.now = 0.25
    assert allowance.take(0) == pytest.approx(0.25)
    clock.now = 0.5
    assert allowance.take(0) == 0
    clock.now = 1000.0  # a long rest saves a second's worth, no more
    assert allowance.take(101) == pytest.approx(0.01)


@pytest.mark.parametrize(
    "limits", [Limits(bytes_per_second=4 * CHUNK_BYTES), Limits(frames_per_second=4)], ids=["bytes", "frames"]
)
def test_a_party_over_its_rate_is_slowed_and_loses_nothing(limits: Limits) -> None:
    payloads = [bytes([k]) * CHUNK_BYTES for k in range(6)]
    with limited(limits) as hub, hub.link("bank") as bank, hub.link("host:tax") as tax:
        started = time.monotonic()
        for payload in payloads:
            tax.send("bank", payload)
        assert [bank.receive(SECONDS).payload for _ in payloads] == payloads
        # Four pass at once; the debt of the fifth is waited for before the sixth is taken.
        assert time.monotonic() - started >= 0.2
        assert 'lianmo_relay_delay_seconds_total{party="host:tax"}' in hub.relay.metrics.text()


def test_a_party_that_is_slowed_down_leaves_at_once_when_the_session_is_closed() -> None:
    with limited(Limits(bytes_per_second=1.0)) as hub, hub.link("bank") as bank, hub.link("host:tax") as tax:
        tax.send("bank", b"x" * 100_000)  # a day's wait
        assert bank.receive(SECONDS).payload
        started = time.monotonic()
        hub.relay.close_session("loans")
        with pytest.raises(TransportError):
            tax.receive(SECONDS)
    assert time.monotonic() - started < SECONDS


def test_sessions_are_counted() -> None:
    with limited(Limits(most_sessions=2)) as hub:
        hub.relay.open_session("second", TICKETS)
        with pytest.raises(LocalProtocolError) as many:
            hub.relay.open_session("third", TICKETS)
        assert many.value.code == "too_many_sessions"
        hub.relay.close_session("second")
        hub.relay.open_session("third", TICKETS)
        with pytest.raises(LocalProtocolError) as twice:
            hub.relay.open_session("third", TICKETS)
        assert twice.value.code == "bad_session"


def test_a_session_in_which_nothing_passes_is_closed() -> None:
    with limited(Limits(idle_seconds=0.2)) as hub, hub.link("bank") as bank:
        with pytest.raises(TransportError) as idle:
            bank.receive(SECONDS)
        assert (idle.value.party, idle.value.code) == ("relay", "session_idle")
        with pytest.raises(TransportError) as spent, hub.link("host:tax"):
            pass
        assert spent.value.code == "session_unknown"
        assert 'lianmo_relay_refusals_total{code="session_idle"} 1.0' in hub.relay.metrics.text()


def test_frames_and_those_who_join_keep_a_session_open() -> None:
    clock = Clock()
    seating = Seating(TICKETS, Limits(), 100, clock)
    clock.now = 5.0
    assert seating.idle_seconds() == 5.0
    seating.join("bank")
    assert seating.idle_seconds() == 0
    clock.now = 7.0
    seating.accept("bank", b"\x01\x08host:tax" + bytes(9))
    assert seating.idle_seconds() == 0


@pytest.mark.parametrize(
    "words",
    [b"", OPENING[:20], OPENING, b"\x16\x03\x01\x02"],
    ids=["nothing", "half", "HTTP/2 without a call", "half of TLS"],
)
@pytest.mark.parametrize("secure", [False, True])
def test_a_connection_that_does_not_come_to_the_point_is_closed(words: bytes, secure: bool) -> None:
    tls = {"tls": Authority().issue("relay")} if secure else {}
    with limited(Limits(join_seconds=0.5), **tls) as hub:
        host, port = hub.address.split(":")
        with socket.create_connection((host, int(port)), SECONDS) as slow:
            slow.settimeout(SECONDS)
            slow.sendall(words)
            try:
                while slow.recv(4096):
                    pass
            except ConnectionError:
                pass  # reset is closed, too; a timeout is not caught
        hub.relay.open_session("after", TICKETS)
        if not secure:
            with hub.link("bank"):  # others were served
                pass
