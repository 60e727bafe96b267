"""Who meets whom at the hub for a standing line, and when a line is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from federation.errors import LocalProtocolError
from federation.transports.relay import Relay
from lab.errors import ServiceError
from lab.hub import lines
from lab.hub.lines import Lines

BANK, TAX = "bank", "host:tax"


def at_hub(work: Callable[[Lines], Awaitable[None]], wait_seconds: float = 10.0) -> None:
    """``work`` in an event loop, with a relay that nobody has joined."""

    async def run() -> None:
        await work(Lines(Relay(), wait_seconds))

    asyncio.run(run())


def refusal(error: pytest.ExceptionInfo[ServiceError]) -> str:
    return error.value.code


@pytest.mark.parametrize("first", ["guest", "host"])
def test_a_guest_and_a_host_meet_whoever_comes_first_and_have_tickets_of_their_own(first: str) -> None:
    async def work(hub: Lines) -> None:
        opening, waiting = hub.open(BANK, TAX), hub.wait(TAX, [BANK])
        if first == "guest":
            opened, offered = await asyncio.gather(opening, waiting)
        else:
            offered, opened = await asyncio.gather(waiting, opening)
        assert offered
        assert offered["guest"] == BANK
        assert offered["session"] == opened["session"]
        assert offered["ticket"] != opened["ticket"]
        with pytest.raises(LocalProtocolError):
            hub.relay.open_session(opened["session"], {BANK: "x"})  # it is open

    at_hub(work)


def test_a_call_of_a_host_serves_one_line_and_each_line_is_another() -> None:
    async def work(hub: Lines) -> None:
        opened = asyncio.gather(*(hub.open(BANK, TAX) for _ in range(3)))
        offered = [await hub.wait(TAX, [BANK]) for _ in range(3)]
        assert {line["session"] for line in await opened} == {offer["session"] for offer in offered if offer}
        assert len(hub.lines) == 3
        assert len({offer["session"] for offer in offered if offer}) == 3

    at_hub(work)


def test_a_host_that_serves_another_bank_is_absent_for_this_one() -> None:
    async def work(hub: Lines) -> None:
        waiting = asyncio.ensure_future(hub.wait(TAX, ["bank2"]))
        with pytest.raises(ServiceError) as absent:
            await hub.open(BANK, TAX)
        assert refusal(absent) == "party_absent"
        assert await waiting is None
        assert not hub.lines

    at_hub(work, 0.05)


def test_a_pair_has_so_many_lines_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_MOST_EACH", 2)

    async def work(hub: Lines) -> None:
        for _ in range(2):
            await asyncio.gather(hub.open(BANK, TAX), hub.wait(TAX, [BANK]))
        with pytest.raises(ServiceError) as many:
            await hub.open(BANK, TAX)
        assert refusal(many) == "too_many_lines"
        await asyncio.gather(hub.open("bank2", TAX), hub.wait(TAX, [BANK, "bank2"]))

    at_hub(work)


def test_a_line_that_one_end_did_not_come_to_or_has_left_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(hub: Lines) -> None:
        await asyncio.gather(hub.open(BANK, TAX), hub.wait(TAX, [BANK]))
        hub.reap()
        assert len(hub.lines) == 1  # they may yet come
        monkeypatch.setattr(lines, "_JOIN_SECONDS", -1.0)
        monkeypatch.setattr(Relay, "is_whole", lambda *_: True)
        hub.reap()
        assert len(hub.lines) == 1
        monkeypatch.undo()
        monkeypatch.setattr(lines, "_JOIN_SECONDS", -1.0)
        session = hub.lines[0].session
        hub.reap()
        assert not hub.lines
        hub.relay.open_session(session, {BANK: "x"})  # its name is free

    at_hub(work)


def test_lines_of_who_is_no_member_any_more_are_closed() -> None:
    async def work(hub: Lines) -> None:
        for guest in (BANK, "bank2"):
            await asyncio.gather(hub.open(guest, TAX), hub.wait(TAX, [guest]))
        hub.keep_to([BANK, TAX])
        assert [line.guest for line in hub.lines] == [BANK]
        hub.keep_to([BANK])
        assert not hub.lines

    at_hub(work)
