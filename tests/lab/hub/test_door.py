"""Who is let in at the hub's door, and that nobody inside is forgotten; the rest is shown with what lies behind it."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.hub.door import Door
from lab.hub.service import _context
from lab.hub.settings import HubSettings, create_hub


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("limits", [{"most": 2}, {"most_each": 2}], ids=["in all", "of one address"])
def test_so_many_callers_are_let_in_and_no_more(
    tmp_path: Path, limits: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    create_hub(tmp_path / "hub", HubSettings(address="127.0.0.1:1"))
    door = Door(1, _context(tmp_path / "hub"), **limits)

    async def work() -> None:
        listening = await door.open("127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        first, _ = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        await until(lambda: door.inside == {"127.0.0.1": 2})
        third = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(third[0].read(), 20) == b""
        if "most_each" in limits:
            await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
            await until(lambda: door.inside == {"127.0.0.1": 2, "127.0.0.2": 1})
        first[1].close()  # and whoever leaves makes room
        await until(lambda: door.inside["127.0.0.1"] == 1)
        await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: door.inside["127.0.0.1"] == 2)
        listening.close()
        await door.end()
        assert door.inside == {}

    asyncio.run(work())
    assert "turned away 127.0.0.1: too many connections" in caplog.text


def test_who_has_said_all_it_has_to_say_still_gets_its_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the caller's connection nor its task is kept by the event loop then."""
    create_hub(tmp_path / "hub", HubSettings(address="127.0.0.1:1"))
    door = Door(1, _context(tmp_path / "hub"))
    sent = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname="hub").do_handshake()

    async def work() -> None:
        behind: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        front = await asyncio.start_server(lambda *connection: behind.append(connection), "127.0.0.1", 0)
        door.front = front.sockets[0].getsockname()[1]
        listening = await door.open("127.0.0.1", 0)
        caller = await asyncio.open_connection("127.0.0.1", listening.sockets[0].getsockname()[1])
        caller[1].write(sent.read())
        caller[1].write_eof()
        await until(lambda: bool(behind))
        await asyncio.wait_for(behind[0][0].read(), 20)  # to its end
        gc.collect()
        behind[0][1].write(b"an answer")
        behind[0][1].close()
        assert await asyncio.wait_for(caller[0].read(), 20) == b"an answer"
        caller[1].close()
        front.close()
        listening.close()
        await until(lambda: door.inside == {} and door.callers == {})
        await door.end()

    asyncio.run(work())
    assert "destroyed" not in caplog.text
