"""``AsyncHttpWire`` against services that behave and services that do not: as ``HttpWire``."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import trustme

from federation.codec import encode
from federation.errors import LocalProtocolError, TransportError
from federation.messages import Goodbye
from federation.transports.async_http import AsyncHttpWire
from federation.transports.memory import MemoryWire
from federation.transports.threaded import ThreadedWire
from lab.serving.host_api import create_host_app
from lab.serving.server import running
from tests.lab.serving.conftest import BANK, TAX, World
from tests.lab.serving.test_http_wire import silent, unruly

__all__ = ["silent", "unruly"]
T = TypeVar("T")


def within(wire: AsyncHttpWire, ask: Callable[[AsyncHttpWire], Awaitable[T]]) -> T:
    async def opened() -> T:
        async with wire:
            return await ask(wire)

    return asyncio.run(opened())


def failure(wire: AsyncHttpWire, seconds: float = 5.0) -> tuple[str, str]:
    with pytest.raises(TransportError) as caught:
        within(wire, lambda w: w.ask("host:x", b"frame", seconds))
    assert caught.value.english.startswith("host:x: ")
    assert caught.value.chinese.startswith("host:x：")
    assert "127.0.0.1" not in str(caught.value)
    return caught.value.party, caught.value.code


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("closed", "party_failed"),
        ("moved", "party_failed"),
        ("good", "party_failed"),  # 1,200 bytes, over the limit
        ("torn", "party_failed"),
        ("stuck", "party_timeout"),
    ],
)
def test_what_is_no_reply_names_the_party(unruly: str, what: str, code: str) -> None:
    wire = AsyncHttpWire({"host:x": f"{unruly}/{what}"}, max_reply_bytes=1000)
    assert failure(wire, 0.5 if what == "stuck" else 10.0) == ("host:x", code)


def test_a_party_that_hangs_is_absent_or_was_never_named(silent: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
        assert failure(AsyncHttpWire({"host:x": silent}), 0.2) == ("host:x", "party_timeout")
        assert failure(AsyncHttpWire({"host:x": gone})) == ("host:x", "party_absent")
        assert failure(AsyncHttpWire({})) == ("host:x", "party_absent")


def test_a_reply_comes_back_whole_and_a_wire_can_be_entered_again(unruly: str) -> None:
    wire = AsyncHttpWire({"host:x": f"{unruly}/good"})
    for _ in range(2):
        assert within(wire, lambda w: w.ask("host:x", b"frame", 10.0)) == bytes(1200)
        with pytest.raises(LocalProtocolError):
            asyncio.run(wire.ask("host:x", b"frame", 1.0))


def test_no_way_is_taken_that_was_not_configured(unruly: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    wire = AsyncHttpWire({"host:x": f"{unruly}/good"})
    assert within(wire, lambda w: w.ask("host:x", b"frame", 10.0)) == bytes(1200)


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999999", "ftp://127.0.0.1", "tax.example", ""])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(TransportError) as caught:
        AsyncHttpWire({"host:x": url})
    assert (caught.value.party, caught.value.code) == ("host:x", "bad_address")


def test_both_sides_show_certificates(world: World) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    at_host = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    at_host.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(at_host)
    authority.issue_cert("127.0.0.1").configure_cert(at_host)

    def bank(trusts: trustme.CA, shows: trustme.CA | None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        trusts.configure_trust(context)
        if shows:
            shows.issue_cert("bank.example", common_name=BANK).configure_cert(context)
        return context

    with running(create_host_app(world.endpoint(TAX)), tls=at_host) as url:
        wire = AsyncHttpWire({"host:x": url}, tls={"host:x": bank(authority, authority)})
        assert b"unreadable" in within(wire, lambda w: w.ask("host:x", b"not a message", 10.0))
        assert within(wire, lambda w: w.reaches("host:x", 10.0))
        for context in (bank(stranger, authority), bank(authority, stranger), bank(authority, None)):
            wire = AsyncHttpWire({"host:x": url}, tls={"host:x": context})
            assert failure(wire, 10.0) == ("host:x", "party_failed")
            assert not within(wire, lambda w: w.reaches("host:x", 10.0))


def test_a_wire_of_threads_keeps_the_deadline_of_who_asks() -> None:
    met = encode(Goodbye(code="met"))
    assert asyncio.run(ThreadedWire(MemoryWire({"a": lambda f: (met, False)})).ask("a", b"", 10.0)) == met

    async def late() -> None:
        released = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hang(_: bytes) -> tuple[bytes, bool]:
            asyncio.run_coroutine_threadsafe(released.wait(), loop).result()
            return met, False

        with pytest.raises(TransportError) as caught:
            await ThreadedWire(MemoryWire({"a": hang})).ask("a", b"", 0.05)
        assert caught.value.code == "party_timeout"
        released.set()

    asyncio.run(late())
