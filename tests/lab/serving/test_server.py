"""Ports, the foreground, certificates."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import pytest
import trustme
from fastapi import FastAPI

from federation.errors import TransportError
from federation.transports.http import HttpWire
from lab.errors import ConfigError, ServiceError
from lab.serving.host_api import create_host_app
from lab.serving.server import running, serve_app
from tests.lab.serving.conftest import BANK, FRAME, TAX, World, problem_of


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_taken_port_is_said_and_a_stopped_service_frees_it(host: str) -> None:
    before = set(threading.enumerate())
    with running(FastAPI(), host) as url:
        port = urlsplit(url).port or 0
        with pytest.raises(ServiceError) as caught, running(FastAPI(), host, port):
            pass
        with pytest.raises(ServiceError) as again:
            serve_app(FastAPI(), host, port)
    for error in (caught.value, again.value):
        assert (error.code, error.exit_code) == ("port_taken", 7)
        assert str(port) in error.english
        assert str(port) in error.chinese
        assert "占用" in error.chinese
    socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("127.0.0.1", 99999)])
def test_an_address_that_cannot_be_had(host: str, port: int) -> None:
    with pytest.raises(ServiceError, match="cannot listen") as caught, running(FastAPI(), host, port):
        pass
    assert caught.value.code == "address_unusable"


def test_an_application_that_does_not_start() -> None:
    @asynccontextmanager
    async def failing(_: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    with pytest.raises(ServiceError) as caught, running(FastAPI(lifespan=failing)):
        pass
    assert caught.value.code == "not_started"


FOREGROUND = """
from fastapi import FastAPI
from lab.serving.server import serve_app
serve_app(FastAPI(), "127.0.0.1", 0, announce=lambda url: print(url, flush=True))
print("stopped")
"""


def test_the_foreground_announces_its_address_and_ends_on_interrupt() -> None:
    with subprocess.Popen([sys.executable, "-c", FOREGROUND], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert httpx.get(url, trust_env=False, timeout=10).status_code == 404
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "stopped\n"
    assert process.returncode == 0


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

    frame = {TAX: b"not a message"}
    with running(create_host_app(world.endpoint(TAX)), tls=at_host) as url:
        assert url.startswith("https://")
        with HttpWire({TAX: url}, tls={TAX: bank(authority, authority)}) as wire:
            assert b"unreadable" in wire.exchange(frame)[TAX]
        for context in (bank(stranger, authority), bank(authority, stranger), bank(authority, None)):
            with HttpWire({TAX: url}, tls={TAX: context}) as wire, pytest.raises(TransportError) as caught:
                wire.exchange(frame)
            assert caught.value.code == "party_failed"


@pytest.mark.parametrize("name", ["bank2", "host:tax", "xbank", "", None])
def test_a_certificate_of_another_bank_is_worth_nothing_at_a_data_node(world: World, name: str | None) -> None:
    """Under the same authority, so that TLS lets it in."""
    authority = trustme.CA()
    at_host, at_other = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    at_host.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(at_host)
    authority.issue_cert("127.0.0.1").configure_cert(at_host)
    authority.configure_trust(at_other)
    authority.issue_cert("bank", common_name=name or None).configure_cert(at_other)
    with (
        running(create_host_app(world.endpoint(TAX)), tls=at_host) as url,
        httpx.Client(base_url=url, verify=at_other, trust_env=False) as caller,
    ):
        for _ in range(2):  # also the second request of a connection
            refused = problem_of(caller.post("/v1/messages", content=b"x", headers=FRAME), 403, "other_caller")
            assert BANK in refused["detail"]
        assert caller.get("/healthz").status_code == 200


def test_exit_codes() -> None:
    assert ConfigError("x", "x", "甲").exit_code == 2
    assert ServiceError("x", "x", "甲").exit_code == 7
