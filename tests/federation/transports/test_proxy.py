"""A link through a proxy that speaks HTTP CONNECT: said by keyword, or by the environment except to our own machine."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator

import grpc
import pytest

from federation.errors import TransportError
from federation.transports import channel
from federation.transports.relay import Relay
from tests.federation.transports.authority import Authority
from tests.federation.transports.hub import SECONDS, Hub
from tests.federation.transports.keyring import seals

VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy")


class ConnectProxy:
    """Answers CONNECT (RFC 9110 §9.3.6) and then carries bytes both ways; keeps what it was asked and what passed."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.passed = bytearray()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._carry, args=(near,)))
            self._threads[-1].start()

    def _carry(self, near: socket.socket) -> None:
        with near:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (piece := near.recv(4096)):
                    return
                head += piece
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split()
            self.asked.append(f"{method} {target}")
            host, port = target.split(":")
            with socket.create_connection((host, int(port)), SECONDS) as far, selectors.DefaultSelector() as ready:
                near.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                ready.register(near, selectors.EVENT_READ, far)
                ready.register(far, selectors.EVENT_READ, near)
                while True:
                    for key, _ in ready.select():
                        if not (piece := key.fileobj.recv(65536)):
                            return
                        self.passed += piece
                        key.data.sendall(piece)

    def stop(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in (self._accepting, *self._threads):
            thread.join(SECONDS)
            assert not thread.is_alive()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ConnectProxy]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    made = ConnectProxy()
    yield made
    made.stop()


@pytest.fixture
def secure() -> Iterator[tuple[Hub, Authority]]:
    authority = Authority()
    hub = Hub(Relay(), tls=authority.issue("relay"))
    yield hub, authority
    hub.stop()


def test_tls_and_seals_through_the_proxy_that_is_named(proxy: ConnectProxy, secure: tuple[Hub, Authority]) -> None:
    hub, authority = secure
    with (
        hub.link("bank", tls=authority.issue("bank"), seals=seals("bank"), proxy=proxy.url) as bank,
        hub.link("host:tax", tls=authority.issue("host:tax"), seals=seals("host:tax")) as tax,
    ):
        bank.send("host:tax", b"through the proxy")
        assert tax.receive(SECONDS).payload == b"through the proxy"
        tax.send("bank", b"and back")
        assert bank.receive(SECONDS).payload == b"and back"
    assert proxy.asked == [f"CONNECT {hub.address}"]
    assert len(proxy.passed) > 1000
    assert b"ticket-1" not in proxy.passed
    assert b"lianmo.Relay" not in proxy.passed


def test_a_proxy_of_the_environment_is_never_used_to_our_own_machine(
    proxy: ConnectProxy, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("grpc_proxy", proxy.url)
    with hub.link("bank"):
        pass
    assert proxy.asked == []


@pytest.mark.parametrize(
    ("setting", "used"), [(None, True), ("", False)], ids=["as the environment says", "none whatever it says"]
)
def test_elsewhere_the_environment_counts_unless_told_not_to(
    proxy: ConnectProxy, hub: Hub, monkeypatch: pytest.MonkeyPatch, setting: str | None, used: bool
) -> None:
    monkeypatch.setenv("grpc_proxy", proxy.url)
    monkeypatch.setattr(channel, "_is_loopback", lambda address: False)
    with hub.link("bank", proxy=setting):
        pass
    assert proxy.asked == ([f"CONNECT {hub.address}"] if used else [])


def test_a_proxy_that_is_not_there_is_no_way_round(hub: Hub) -> None:
    with (
        pytest.raises(TransportError) as nobody,
        hub.link("bank", proxy="http://127.0.0.1:1", deadline_seconds=0.3),
    ):
        pass
    assert nobody.value.code == "relay_unreachable"


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.8.8.8:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("10.0.0.1:1", False),
        ("hub.example:1", False),
        ("127.0.0.1.example:1", False),
    ],
)
def test_our_own_machine_is_known_by_its_address(address: str, loopback: bool) -> None:
    assert channel._is_loopback(address) is loopback


def test_grpc_still_honours_the_option(proxy: ConnectProxy, hub: Hub) -> None:
    line = grpc.insecure_channel(hub.address, (("grpc.http_proxy", proxy.url),))
    grpc.channel_ready_future(line).result(SECONDS)
    line.close()
    assert proxy.asked == [f"CONNECT {hub.address}"]
