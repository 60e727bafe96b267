"""Parties with seals over a real relay: what they say arrives, what the relay does to it is refused and named."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from federation.ciphers.suites.choice import SUITE_NAMES
from federation.errors import RemoteProtocolError, TransportError
from federation.transports.dialogue import RelayWire, serve_responder
from federation.transports.frames import CHUNK_BYTES, LAST, PART
from tests.federation.transports.hostile import Damage, HostileRelay
from tests.federation.transports.hub import HOSTS, SECONDS, Hub
from tests.federation.transports.keyring import seals


def echo(frame: bytes) -> tuple[bytes, bool]:
    return frame, frame == b"bye"


@pytest.mark.parametrize("name", SUITE_NAMES)
def test_small_and_large_messages_come_back_and_the_relay_reads_nothing(hub: Hub, name: str) -> None:
    served = [hub.serve(host, echo, seals=seals(host, name)) for host in HOSTS]
    large = b"boosting.open income " * 200_000
    with hub.link("bank", seals=seals("bank", name)) as link:
        wire = RelayWire(link, deadline_seconds=SECONDS, join_seconds=SECONDS)
        for payload in (b"", b"boosting.open", large[: CHUNK_BYTES + 1], large):
            assert wire.exchange(dict.fromkeys(HOSTS, payload)) == dict.fromkeys(HOSTS, payload)
        wire.exchange(dict.fromkeys(HOSTS, b"bye"))
    for host in served:
        host.result(SECONDS)
    passed = b"".join(body for _, _, body in hub.seen)
    assert len(passed) > 4 * len(large)
    assert b"boosting" not in passed
    assert (1).to_bytes(8, "big") not in passed  # numbers are sealed, too


def test_hosts_talk_to_one_another_sealed(hub: Hub) -> None:
    tax, telecom = HOSTS
    with hub.link(tax, seals=seals(tax)) as one, hub.link(telecom, seals=seals(telecom)) as other:
        one.send(telecom, b"to telecom")
        assert other.receive(SECONDS).payload == b"to telecom"
        other.send(tax, b"to tax")
        assert one.receive(SECONDS).payload == b"to tax"


def test_messages_to_one_who_joins_later_wait_for_it(hub: Hub) -> None:
    with hub.link("bank", seals=seals("bank")) as bank, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(bank.send, "host:tax", b"early")
        with hub.link("host:tax", seals=seals("host:tax")) as tax:
            assert tax.receive(SECONDS).payload == b"early"
        assert sending.result(SECONDS) == 1


@pytest.mark.parametrize("guest_seals", [True, False])
def test_a_party_without_seals_is_refused_by_one_with(hub: Hub, guest_seals: bool) -> None:
    sealed, clear = ("bank", "host:tax") if guest_seals else ("host:tax", "bank")
    with hub.link(sealed, seals=seals(sealed)) as link, hub.link(clear) as other:
        other.send(sealed, b"in clear")
        with pytest.raises(RemoteProtocolError) as refused:
            link.receive(SECONDS)
    assert (refused.value.party, refused.value.code) == (clear, "not_sealed")


def test_a_silent_party_without_seals_is_not_called_absent(hub: Hub) -> None:
    with hub.link("bank", seals=seals("bank")) as link, hub.link("host:tax"), pytest.raises(RemoteProtocolError) as e:
        RelayWire(link, deadline_seconds=SECONDS, join_seconds=0.3).exchange({"host:tax": b"hello"})
    assert (e.value.party, e.value.code) == ("host:tax", "not_sealed")
    assert all(sender == "bank" for sender, _, _ in hub.seen)
    assert len(hub.seen) == 1  # the offer, and no request


def test_a_party_whose_key_we_do_not_know_gets_nothing(hub: Hub) -> None:
    known = seals("bank")
    lonely = type(known)(known.suite, known.sign, {})
    with (
        hub.link("bank", seals=lonely) as link,
        hub.link("host:tax", seals=seals("host:tax")),
        pytest.raises(RemoteProtocolError) as refused,
    ):
        link.send("host:tax", b"hello")
    assert (refused.value.party, refused.value.code) == ("host:tax", "seal_unknown_key")
    assert hub.seen == []


def test_a_party_under_anothers_name_is_refused(hub: Hub) -> None:
    """It has the ticket, say from the hub's operator, but not the key."""
    impostor = seals("stranger")
    with (
        hub.link("bank", seals=seals("bank")) as link,
        hub.link("host:tax", seals=impostor),
        pytest.raises(RemoteProtocolError) as refused,
    ):
        link.send("host:tax", b"hello")
    assert (refused.value.party, refused.value.code) == ("host:tax", "seal_unknown_key")


def test_the_answer_of_a_host_counts_as_before(hub: Hub) -> None:
    with hub.link("bank", seals=seals("bank")) as link, hub.link("host:tax", seals=seals("host:tax")) as tax:
        link.send("host:tax", b"go", number=2)
        with pytest.raises(RemoteProtocolError) as disorder:
            serve_responder(tax, echo, "bank", idle_seconds=SECONDS)
    assert (disorder.value.party, disorder.value.code) == ("bank", "out_of_turn")


def test_both_ends_log_names_and_codes_and_no_content(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    with hub.link("bank", seals=seals("bank")) as link, hub.link("host:tax") as other:
        other.send("bank", b"applicant 330102199001011234")
        with pytest.raises(RemoteProtocolError):
            link.receive(SECONDS)
        other.receive(SECONDS)  # the offer of keys, which it takes for a message
        with pytest.raises(TransportError):
            other.receive(SECONDS, watch=("bank",))
    assert "not_sealed: session 'loans': party 'bank': of 'host:tax'" in caplog.text
    assert "party_left: session 'loans': party 'host:tax': of 'bank'" in caplog.text
    assert "330102199001011234" not in caplog.text


HEADLESS = (1).to_bytes(8, "big")


@pytest.mark.parametrize(
    "damage",
    [
        lambda frames: [frames[0], frames[0], *frames[1:]],
        lambda frames: [frames[1], frames[0], *frames[2:]],
        lambda frames: frames[1:],
        lambda frames: [frames[0], *frames[2:]],
        lambda frames: [(LAST, frames[0][1]), *frames[1:]],
        lambda frames: [(PART, frames[0][1][:-1]), *frames[1:]],
        lambda frames: [(PART, HEADLESS + b"\0" * CHUNK_BYTES), *frames],
        lambda frames: [(LAST, HEADLESS + b"in clear")],
        lambda frames: [(LAST, b"")],
    ],
    ids=["replayed", "swapped", "first dropped", "chunk dropped", "ended", "cut", "injected", "in clear", "empty"],
)
def test_what_a_hostile_relay_does_to_frames_is_refused(damage: Damage) -> None:
    hub = Hub(HostileRelay(damage))
    try:
        with hub.link("bank", seals=seals("bank")) as bank, hub.link("host:tax", seals=seals("host:tax")) as tax:
            bank.send("host:tax", bytes(3 * CHUNK_BYTES))
            with pytest.raises(RemoteProtocolError) as refused:
                tax.receive(SECONDS)
        assert (refused.value.party, refused.value.code) == ("bank", "seal_broken")
    finally:
        hub.stop()


def test_frames_of_a_previous_session_are_refused() -> None:
    earlier: list[tuple[int, bytes]] = []
    for replay in (False, True):
        hub = Hub(HostileRelay(lambda frames: list(earlier) if replay else frames))  # noqa: B023 - called at once
        try:
            with hub.link("bank", seals=seals("bank")) as bank, hub.link("host:tax", seals=seals("host:tax")) as tax:
                bank.send("host:tax", b"the same request")
                if not replay:
                    assert tax.receive(SECONDS).payload == b"the same request"
                    earlier = hub.relay.kept
                    continue
                with pytest.raises(RemoteProtocolError) as refused:
                    tax.receive(SECONDS)
                assert (refused.value.party, refused.value.code) == ("bank", "seal_broken")
        finally:
            hub.stop()


def test_a_message_the_relay_keeps_back_is_missed_by_its_deadline() -> None:
    hub = Hub(HostileRelay(lambda frames: frames[:-1]))
    try:
        with hub.link("bank", seals=seals("bank")) as bank, hub.link("host:tax", seals=seals("host:tax")):
            wire = RelayWire(bank, deadline_seconds=0.3, join_seconds=SECONDS)
            with pytest.raises(TransportError) as missed:
                wire.exchange({"host:tax": bytes(2 * CHUNK_BYTES)})
        assert (missed.value.party, missed.value.code) == ("host:tax", "party_timeout")
    finally:
        hub.stop()
