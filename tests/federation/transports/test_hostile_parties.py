"""Parties that have a ticket and misbehave: refused, named, counted, logged; the others go on."""

from __future__ import annotations

import socket
import threading

import psutil
import pytest

from federation.errors import RemoteProtocolError, TransportError
from federation.transports import relay
from federation.transports.assembly import Assembly
from federation.transports.frames import CHUNK_BYTES, FRAME_BYTES, LAST, LEFT, PART, pack
from federation.transports.link import Link
from federation.transports.relay import Relay
from tests.federation.transports.http2 import DATA, HEADERS, RST_STREAM, frame, frames, joining
from tests.federation.transports.hub import SECONDS, Hub
from tests.federation.transports.keyring import seals


def raw(link: Link, sent: bytes) -> None:
    """Put bytes of our own on the way to the relay."""
    link._outbox.put(sent, SECONDS)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", "not_a_frame"),
        (b"\x00", "not_a_frame"),
        (pack(LEFT, "bank"), "not_a_frame"),
        (pack(LAST, "host:tax", bytes(9)), "not_a_frame"),  # to itself
        (pack(LAST, "stranger", bytes(9)), "not_a_frame"),
        (b"\x00\x02\xff\xfe", "not_a_frame"),  # a name that is no text
        (b"\x00\x04bank" + bytes(FRAME_BYTES), "too_large"),
    ],
    ids=["empty", "short", "control", "to itself", "foreign name", "no text", "long"],
)
def test_what_is_no_frame_cuts_its_sender_off(
    hub: Hub, sent: bytes, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    with hub.link("bank") as bank, hub.link("host:tax") as tax:
        raw(tax, sent)
        with pytest.raises(TransportError) as refused:
            tax.receive(SECONDS)
        assert (refused.value.party, refused.value.code) == ("relay", code)
        with pytest.raises(TransportError) as left:
            bank.receive(SECONDS, watch=("host:tax",))
        assert (left.value.party, left.value.code) == ("host:tax", "party_left")
    logged = {(r.name, r.getMessage().partition(":")[0]) for r in caplog.records}
    assert {("lianmo.relay", code), ("lianmo.link", code), ("lianmo.link", "party_left")} <= logged
    assert f'lianmo_relay_refusals_total{{code="{code}"}} 1.0' in hub.relay.metrics.text()


def test_a_frame_said_to_have_a_gigabyte_is_refused_before_it_comes(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    host, port = hub.address.split(":")
    memory = psutil.Process().memory_info().rss
    with hub.link("bank") as bank, socket.create_connection((host, int(port)), SECONDS) as tax:
        tax.settimeout(SECONDS)
        tax.sendall(joining("loans", "host:tax", "ticket-2"))
        bank.await_party("host:tax", SECONDS)
        tax.sendall(frame(DATA, 0, 1, b"\0" + (2**30).to_bytes(4, "big") + bytes(1000)))
        kinds = []
        for kind, stream, _ in frames(tax):
            kinds += [kind] if stream == 1 else []
            if kind == RST_STREAM or kinds.count(HEADERS) == 2:  # headers, then trailers
                break
        assert kinds
        with pytest.raises(TransportError) as left:
            bank.receive(SECONDS, watch=("host:tax",))
        assert (left.value.party, left.value.code) == ("host:tax", "party_left")
    assert psutil.Process().memory_info().rss - memory < 256 * 2**20
    assert "connection_broken: session 'loans': party 'host:tax'" in caplog.text


def test_half_a_frame_and_silence_holds_up_nobody_and_ends_with_the_session(hub: Hub) -> None:
    host, port = hub.address.split(":")
    with (
        hub.link("bank") as bank,
        hub.link("host:电信") as other,
        socket.create_connection((host, int(port)), SECONDS) as tax,
    ):
        tax.settimeout(SECONDS)
        tax.sendall(joining("loans", "host:tax", "ticket-2"))
        bank.await_party("host:tax", SECONDS)
        tax.sendall(frame(DATA, 0, 1, b"\0" + (1000).to_bytes(4, "big") + bytes(10)))
        other.send("bank", b"still served")
        assert bank.receive(SECONDS).payload == b"still served"
        hub.relay.close_session("loans")
        assert any(stream == 1 and kind in (HEADERS, RST_STREAM) for kind, stream, _ in frames_until_end(tax))


def test_a_machine_that_vanishes_has_left_though_it_ended_no_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing answers the relay's pings; here twenty times as often as in life."""
    often = tuple((name, value // 20 if name.endswith("_ms") else value) for name, value in relay.CHANNEL_OPTIONS)
    monkeypatch.setattr(relay, "CHANNEL_OPTIONS", often)
    hub = Hub()
    host, port = hub.address.split(":")
    try:
        with socket.create_connection((host, int(port)), SECONDS) as tax:
            tax.settimeout(SECONDS)
            tax.sendall(joining("loans", "host:tax", "ticket-2"))
            assert list(frames(tax))  # until the relay gives the connection up
            waiting = threading.Event()
            while not hub.relay.gone("loans") and not waiting.wait(0.05):
                pass
            assert hub.relay.gone("loans") == {"host:tax"}
    finally:
        hub.stop()
    assert "connection_broken: session 'loans': party 'host:tax'" in caplog.text


def frames_until_end(connection: socket.socket) -> list[tuple[int, int, bytes]]:
    found = []
    for kind, stream, body in frames(connection):
        found.append((kind, stream, body))
        if stream == 1 and (kind == RST_STREAM or [k for k, s, _ in found if s == 1].count(HEADERS) == 2):
            break
    return found


def test_a_whole_message_of_the_greatest_length_passes_sealed_and_one_byte_more_does_not() -> None:
    hub = Hub(Relay(max_message_bytes=2 * CHUNK_BYTES))
    try:
        with hub.link("bank", seals=seals("bank")) as bank, hub.link("host:tax", seals=seals("host:tax")) as tax:
            tax.send("bank", bytes(2 * CHUNK_BYTES))
            assert len(bank.receive(SECONDS).payload) == 2 * CHUNK_BYTES
            tax.send("bank", bytes(3 * CHUNK_BYTES))
            with pytest.raises(TransportError) as cut:
                tax.receive(SECONDS)
            assert cut.value.code == "too_large"
    finally:
        hub.stop()


@pytest.mark.parametrize("length", [0, 7])
def test_a_well_sealed_frame_without_room_for_its_number_is_refused(hub: Hub, length: int) -> None:
    with hub.link("bank", seals=seals("bank")) as bank, hub.link("host:tax", seals=seals("host:tax")) as tax:
        tax.await_party("bank", SECONDS)
        assert tax._sealed
        raw(tax, pack(LAST, "bank", tax._sealed.seal("bank", LAST, bytes(length))))
        with pytest.raises(RemoteProtocolError) as refused:
            bank.receive(SECONDS)
    assert (refused.value.party, refused.value.code) == ("host:tax", "out_of_turn")


def test_a_message_begun_within_another_is_refused() -> None:
    assembly = Assembly(100)
    assert assembly.add("host:tax", (1).to_bytes(8, "big") + b"a", last=False) is None
    assert assembly.add("bank", (2).to_bytes(8, "big") + b"b", last=True) == ("bank", 2, b"b")
    with pytest.raises(RemoteProtocolError) as refused:
        assembly.add("host:tax", (2).to_bytes(8, "big") + b"c", last=True)
    assert (refused.value.party, refused.value.code) == ("host:tax", "out_of_turn")


def test_a_message_that_never_ends_is_refused_at_its_limit(hub: Hub) -> None:
    with hub.link("bank", max_message_bytes=CHUNK_BYTES) as bank, hub.link("host:tax") as tax:
        for _ in range(2):
            raw(tax, pack(PART, "bank", (1).to_bytes(8, "big") + bytes(CHUNK_BYTES)))
        with pytest.raises(RemoteProtocolError) as refused:
            bank.receive(SECONDS)
    assert (refused.value.party, refused.value.code) == ("host:tax", "too_large")
