"""A hub that is told to stop: whoever is inside then, nothing of it is at work afterwards."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path

import pytest

from federation.errors import TransportError
from federation.transports.link import Link
from lab.flower_programs import free_port
from lab.hub.invitations import invite
from lab.hub.members import Members
from lab.hub.service import _trusting, open_hub
from lab.hub.settings import HubSettings, authority_of, create_hub
from lab.membership.hub_client import join
from lab.membership.papers import certificate_files, tls_of
from tests.lab.hub.harness import FakeFlower

SESSION = "a" * 32


def test_one_that_was_killed_leaves_no_ticket_to_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    create_hub(folder, settings := HubSettings(address=f"127.0.0.1:{free_port()}"))
    left = folder / "runs" / f"{SESSION}-00" / "run.toml"
    left.parent.mkdir(parents=True)
    left.write_text('tickets = "{}"\n')

    async def work() -> None:
        async with open_hub(folder, settings, FakeFlower()):
            assert not left.parent.exists()

    asyncio.run(work())


def test_nothing_is_at_work_once_it_has_stopped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Callers before TLS, in the middle of it, of a request, between two requests, waiting for a line, at the relay."""
    folder, node = tmp_path / "hub", tmp_path / "tax"
    settings = HubSettings(address=f"127.0.0.1:{free_port()}")
    create_hub(folder, settings)
    made = invite(authority_of(folder), settings.name, settings.address, "host:tax", "host", 1.0)
    Members(folder).invited(made)

    async def call(words: bytes, member: bool = False, reply: bytes = b"") -> asyncio.StreamWriter:
        context = _trusting(folder)
        if member:
            certificate, key, _ = certificate_files(node)
            context.load_cert_chain(certificate, key)
        reading, writing = await asyncio.open_connection("127.0.0.1", settings.port, ssl=context)
        writing.write(words)
        if reply:
            await reading.readuntil(reply)
        return writing

    async def work() -> None:
        async with open_hub(folder, settings, FakeFlower()) as opened:
            await asyncio.to_thread(join, node, made)
            inside = []
            for words in (b"", b"\x16\x03\x01"):
                _, writing = await asyncio.open_connection("127.0.0.1", settings.port)
                writing.write(words)
                inside.append(writing)
            inside.append(await call(b"POST /v1/join HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{"))
            inside.append(await call(b"GET /v1/hello HTTP/1.1\r\nHost: h\r\n\r\n", reply=b"protocol"))
            body = json.dumps({"guests": ["bank"]}).encode()
            head = f"POST /v1/lines/next HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            inside.append(await call(head + body, member=True))
            opened.sessions.relay.open_session(SESSION, {"host:tax": "t"})
            link = Link(settings.address, SESSION, "host:tax", "t", tls=tls_of(node))
            await asyncio.to_thread(link.__enter__)
            while not opened.lines._hosts:
                await asyncio.sleep(0.01)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(TransportError) as told:
            link.receive(10)
        assert told.value.code == "session_closed"  # it was said, not only cut off
        link.close()
        for writing in inside:
            writing.close()

    asyncio.run(work())
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
