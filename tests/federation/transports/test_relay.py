"""The relay and both ends of a dialogue over it, on real sockets."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from federation.errors import LocalProtocolError, RemoteProtocolError, TransportError
from federation.transports.dialogue import LenientRelayWire, RelayWire, serve_responder
from federation.transports.frames import CHUNK_BYTES
from federation.transports.link import Link
from federation.transports.relay import Relay
from tests.federation.transports.authority import Authority
from tests.federation.transports.hub import HOSTS, SECONDS, TICKETS, Hub


def echo(frame: bytes) -> tuple[bytes, bool]:
    return frame, frame == b"bye"


def wire_of(link: Link, join_seconds: float = SECONDS) -> RelayWire:
    return RelayWire(link, deadline_seconds=SECONDS, join_seconds=join_seconds)


def test_small_and_large_messages_come_back_unchanged(hub: Hub) -> None:
    served = [hub.serve(host, echo) for host in HOSTS]
    large = bytes(range(256)) * (5 * 4096)
    with hub.link("bank") as link:
        wire = wire_of(link)
        for payload in (b"", b"x", large[: CHUNK_BYTES + 1], large):
            assert wire.exchange(dict.fromkeys(HOSTS, payload)) == dict.fromkeys(HOSTS, payload)
        assert wire.exchange({"host:tax": b"only you"}) == {"host:tax": b"only you"}
        wire.exchange(dict.fromkeys(HOSTS, b"bye"))
    for host in served:
        host.result(SECONDS)
    traffic = hub.relay.traffic("loans")
    assert traffic["bank"].bytes > 2 * len(large)
    assert traffic["host:tax"].frames == traffic["host:电信"].frames + 1


def test_hosts_work_at_the_same_time(hub: Hub) -> None:
    both = threading.Barrier(2, timeout=SECONDS)

    def meet(frame: bytes) -> tuple[bytes, bool]:
        both.wait()  # Breaks unless the other host is at work, too.
        return frame, True

    served = [hub.serve(host, meet) for host in HOSTS]
    with hub.link("bank") as link:
        assert wire_of(link).exchange(dict.fromkeys(HOSTS, b"go")) == dict.fromkeys(HOSTS, b"go")
    for host in served:
        host.result(SECONDS)


@pytest.mark.parametrize(
    ("party", "ticket", "session", "code"),
    [
        ("bank", "ticket-2", "loans", "wrong_ticket"),
        ("stranger", "ticket-1", "loans", "not_a_party"),
        ("bank", "ticket-1", "other", "session_unknown"),
    ],
)
def test_strangers_are_refused(hub: Hub, party: str, ticket: str, session: str, code: str) -> None:
    with pytest.raises(TransportError) as refused, hub.link(party, ticket, session):
        pass
    assert (refused.value.party, refused.value.code) == ("relay", code)
    with hub.link("bank"):  # A refused attempt does not use the seat up.
        pass


def test_a_name_joins_once(hub: Hub) -> None:
    with hub.link("bank") as first, hub.link("host:tax") as tax:
        with pytest.raises(TransportError) as refused, hub.link("bank"):
            pass
        assert refused.value.code == "joined_twice"
        tax.send("bank", b"still there")
        assert first.receive(SECONDS).payload == b"still there"
    with pytest.raises(TransportError) as replayed, hub.link("bank"):
        pass
    assert replayed.value.code == "joined_twice"


def test_a_party_that_never_comes(hub: Hub) -> None:
    with hub.link("bank") as link, pytest.raises(TransportError) as absent:
        wire_of(link, join_seconds=0.05).exchange({"host:tax": b"hello"})
    assert (absent.value.party, absent.value.code) == ("host:tax", "party_absent")


def test_a_party_that_leaves_in_the_middle_is_named_at_once(hub: Hub) -> None:
    def die(frame: bytes) -> tuple[bytes, bool]:
        raise RuntimeError("out of memory")

    died = hub.serve("host:tax", die)
    other = hub.serve("host:电信", echo)
    with hub.link("bank") as link, pytest.raises(TransportError) as left:
        wire_of(link).exchange(dict.fromkeys(HOSTS, b"go"))
    assert (left.value.party, left.value.code) == ("host:tax", "party_left")
    with pytest.raises(RuntimeError):
        died.result(SECONDS)
    with pytest.raises(TransportError) as orphan:
        other.result(SECONDS)
    assert (orphan.value.party, orphan.value.code) == ("bank", "party_left")


def test_a_party_that_is_too_slow(hub: Hub) -> None:
    with hub.link("bank") as link, hub.link("host:tax"), pytest.raises(TransportError) as slow:
        RelayWire(link, deadline_seconds=0.05, join_seconds=SECONDS).exchange({"host:tax": b"go"})
    assert (slow.value.party, slow.value.code) == ("host:tax", "party_timeout")


def test_a_lenient_wire_goes_on_without_who_never_comes(hub: Hub) -> None:
    served = hub.serve("host:电信", echo)
    with hub.link("bank") as link:
        link.await_party("host:电信", SECONDS)
        wire = LenientRelayWire(link, deadline_seconds=SECONDS, join_seconds=0.05)
        assert wire.exchange(dict.fromkeys(HOSTS, b"go")) == {"host:电信": b"go"}
        assert wire.exchange({"host:电信": b"bye"}) == {"host:电信": b"bye"}
    served.result(SECONDS)


def test_a_lenient_wire_goes_on_without_who_leaves_in_the_middle(hub: Hub) -> None:
    def die(frame: bytes) -> tuple[bytes, bool]:
        raise RuntimeError("out of memory")

    died = hub.serve("host:tax", die)
    served = hub.serve("host:电信", echo)
    with hub.link("bank") as link:
        wire = LenientRelayWire(link, deadline_seconds=SECONDS, join_seconds=SECONDS)
        assert wire.exchange(dict.fromkeys(HOSTS, b"go")) == {"host:电信": b"go"}
        assert wire.exchange(dict.fromkeys(HOSTS, b"bye")) == {"host:电信": b"bye"}
    served.result(SECONDS)
    with pytest.raises(RuntimeError):
        died.result(SECONDS)


def test_a_lenient_wire_drops_what_comes_too_late(hub: Hub) -> None:
    late = threading.Event()

    def slow(frame: bytes) -> tuple[bytes, bool]:
        if frame == b"one":
            assert late.wait(SECONDS)
        return frame, frame == b"three"

    served = hub.serve("host:tax", slow)
    with hub.link("bank") as link:
        wire = LenientRelayWire(link, deadline_seconds=0.5, join_seconds=SECONDS)
        assert wire.exchange({"host:tax": b"one"}) == {}
        late.set()
        wire._deadline_seconds = SECONDS
        assert wire.exchange({"host:tax": b"two"}) == {"host:tax": b"two"}
        assert wire.exchange({"host:tax": b"three"}) == {"host:tax": b"three"}
    served.result(SECONDS)


def test_a_lenient_wire_takes_nothing_that_nobody_asked_for(hub: Hub) -> None:
    with hub.link("bank") as link, hub.link("host:tax") as tax:
        tax.send("bank", b"unasked", 7)
        with pytest.raises(RemoteProtocolError) as caught:
            LenientRelayWire(link, deadline_seconds=SECONDS, join_seconds=SECONDS).exchange({"host:tax": b"go"})
    assert (caught.value.party, caught.value.code) == ("host:tax", "out_of_turn")


def test_a_lenient_wire_does_not_forgive_the_relay(hub: Hub) -> None:
    with hub.link("bank") as link, hub.link("host:tax"):
        hub.relay.stop()
        with pytest.raises(TransportError) as caught:
            LenientRelayWire(link, deadline_seconds=SECONDS, join_seconds=SECONDS).exchange({"host:tax": b"go"})
    assert caught.value.party == "relay"


def test_a_silent_guest(hub: Hub) -> None:
    with hub.link("bank") as bank, hub.link("host:tax") as tax, hub.link("host:电信") as other:
        other.send("host:tax", b"not from the guest")
        with pytest.raises(TransportError) as silent:
            serve_responder(tax, echo, "bank", idle_seconds=0.05)
        assert (silent.value.party, silent.value.code) == ("bank", "party_timeout")
        with pytest.raises(TimeoutError):
            bank.receive(0.01)


def test_a_reply_that_comes_twice(hub: Hub) -> None:
    with hub.link("bank") as link, hub.link("host:tax") as tax:
        wire = wire_of(link)
        tax.send("bank", b"reply", number=1)
        tax.send("bank", b"reply", number=1)
        assert wire.exchange({"host:tax": b"go"}) == {"host:tax": b"reply"}
        with pytest.raises(RemoteProtocolError) as twice:
            wire.exchange({"host:tax": b"go on"})
    assert (twice.value.party, twice.value.code) == ("host:tax", "answered_twice")


def test_a_message_nobody_asked_for(hub: Hub) -> None:
    with hub.link("bank") as link, hub.link("host:tax"), hub.link("host:电信") as other:
        other.send("bank", b"me too", number=1)
        with pytest.raises(RemoteProtocolError) as unasked:
            wire_of(link).exchange({"host:tax": b"go"})
    assert (unasked.value.party, unasked.value.code) == ("host:电信", "out_of_turn")


def test_requests_out_of_order_are_not_answered(hub: Hub) -> None:
    with hub.link("bank") as bank, hub.link("host:tax") as tax:
        bank.send("host:tax", b"go", number=2)
        with pytest.raises(RemoteProtocolError) as disorder:
            serve_responder(tax, echo, "bank", idle_seconds=SECONDS)
    assert (disorder.value.party, disorder.value.code) == ("bank", "out_of_turn")


def test_a_reply_that_is_too_large(hub: Hub) -> None:
    served = hub.serve("host:tax", lambda frame: (bytes(3 * CHUNK_BYTES), True))
    with hub.link("bank", max_message_bytes=2 * CHUNK_BYTES) as link:
        with pytest.raises(RemoteProtocolError) as large:
            wire_of(link).exchange({"host:tax": b"go"})
        assert (large.value.party, large.value.code) == ("host:tax", "too_large")
    served.result(SECONDS)


def test_a_message_over_our_own_limit_is_not_sent(hub: Hub) -> None:
    with hub.link("bank", max_message_bytes=10) as link, pytest.raises(LocalProtocolError) as large:
        link.send("host:tax", bytes(11))
    assert large.value.code == "too_large"
    assert hub.seen == []


def test_the_relay_cuts_off_who_sends_too_much() -> None:
    relay = Relay(max_message_bytes=CHUNK_BYTES)
    address = f"127.0.0.1:{relay.serve('127.0.0.1:0')}"
    relay.open_session("loans", TICKETS)
    with (
        Link(address, "loans", "bank", "ticket-1") as bank,
        Link(address, "loans", "host:tax", "ticket-2") as tax,
    ):
        tax.send("bank", bytes(3 * CHUNK_BYTES))
        with pytest.raises(TransportError) as left:
            bank.receive(SECONDS, watch=("host:tax",))
        assert left.value.code == "party_left"
        with pytest.raises(TransportError) as cut:
            tax.receive(SECONDS)
        assert (cut.value.party, cut.value.code) == ("relay", "too_large")
    relay.stop()


def test_a_slow_reader_slows_the_sender_and_loses_nothing(hub: Hub) -> None:
    payloads = [bytes([i]) * (2 * CHUNK_BYTES) for i in range(40)]  # More than all queues on the way hold.
    small = hub.link("bank", max_message_bytes=2 * CHUNK_BYTES)
    with small as bank, hub.link("host:tax") as tax, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(lambda: [tax.send("bank", payload) for payload in payloads])
        assert [bank.receive(SECONDS).payload for _ in payloads] == payloads
        sending.result(SECONDS)


def test_a_party_that_reads_nothing_does_not_hold_the_sender_for_ever(hub: Hub) -> None:
    payload = bytes(2 * CHUNK_BYTES)
    bank = Link(hub.address, "loans", "bank", TICKETS["bank"], deadline_seconds=0.5)
    with hub.link("host:tax", max_message_bytes=len(payload)), bank:

        def send_more_than_all_queues_on_the_way_hold() -> None:
            for _ in range(60):
                bank.send("host:tax", payload)

        with pytest.raises(TransportError, match="host:tax may be stuck") as caught:
            send_more_than_all_queues_on_the_way_hold()
        assert (caught.value.party, caught.value.code) == ("relay", "relay_stalled")
        hub.relay.close_session("loans")


def test_the_tap_sees_what_was_sent_and_nothing_else(hub: Hub) -> None:
    with hub.link("bank") as bank, hub.link("host:tax") as tax:
        bank.send("host:tax", b"sealed")
        assert tax.receive(SECONDS)[:2] == ("bank", 1)
        tax.send("bank", b"reply", number=1)
        assert bank.receive(SECONDS)[2] == b"reply"
    number = (1).to_bytes(8, "big")
    assert hub.seen == [("bank", "host:tax", number + b"sealed"), ("host:tax", "bank", number + b"reply")]


def test_closing_the_session_ends_everybody(hub: Hub) -> None:
    with hub.link("bank") as bank, hub.link("host:tax") as tax:
        hub.relay.close_session("loans")
        for link in (bank, tax):
            with pytest.raises(TransportError) as closed:
                link.receive(SECONDS)
            assert (closed.value.party, closed.value.code) == ("relay", "session_closed")


def test_an_address_in_use_is_named(hub: Hub) -> None:
    with pytest.raises(TransportError) as taken:
        Relay().serve(hub.address)
    assert taken.value.code == "address_taken"
    assert hub.address in taken.value.chinese


def test_no_relay_there() -> None:
    with (
        pytest.raises(TransportError) as nobody,
        Link("127.0.0.1:1", "s", "bank", "t", deadline_seconds=0.05),
    ):
        pass
    assert nobody.value.code == "relay_unreachable"


def test_with_tls_the_certificate_must_carry_the_name() -> None:
    authority = Authority()
    relay = Relay()
    address = f"127.0.0.1:{relay.serve('127.0.0.1:0', authority.issue('relay'))}"
    relay.open_session("loans", TICKETS)

    def link(party: str, certified: str) -> Link:
        return Link(address, "loans", party, TICKETS[party], tls=authority.issue(certified), deadline_seconds=SECONDS)

    with ExitStack() as stack:
        bank = stack.enter_context(link("bank", "bank"))
        tax = stack.enter_context(link("host:tax", "host:tax"))
        tax.send("bank", b"over TLS")
        assert bank.receive(SECONDS).payload == b"over TLS"
    with pytest.raises(TransportError) as impostor, link("host:电信", "host:tax"):
        pass
    assert impostor.value.code == "not_a_party"
    relay.stop()
