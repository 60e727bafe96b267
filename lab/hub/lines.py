"""Standing lines between a guest and a host for scoring: a relay session of two, opened when the guest asks for it.

A host that serves scores has a call waiting at the hub (``wait``), in which it names the guests it serves; the guest's
call (``open``) meets it, and both leave with a ticket of their own. Nobody dials the host. What passes on a line is
sealed between the two, so a hub that brings together whom it likes gains nothing: a host speaks only with the guest it
named, by that guest's key.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from federation.errors import PartyId
from federation.transports.relay import Relay
from lab.errors import ServiceError
from models.declared import Declared

log = logging.getLogger("lianmo.hub")

CRYPTO: Final = (
    Declared(
        algorithm="random generator of the operating system",
        purpose="tickets to standing lines through a hub's relay",
        purpose_zh="枢纽中继常驻线路的入场票据",
        standard="Linux getrandom(2)",
        library="secrets",
    ),
)

#: How long a call waits for its counterpart; shorter than what proxies cut off.
WAIT_SECONDS: Final = 20.0
#: Both ends have joined by then, or never will.
_JOIN_SECONDS: Final = 60.0
#: Lines of one pair at the same time: one per process of the bank's service, and its successor.
_MOST_EACH: Final = 16


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A host's call. ``alive``: whether it is still there to hear an answer."""

    guests: Collection[PartyId]
    alive: Callable[[], bool]
    met: asyncio.Future[dict[str, str]]


@dataclass(frozen=True, slots=True)
class _Line:
    session: str
    guest: PartyId
    host: PartyId
    opened: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Lines:
    """To be called inside the event loop only."""

    relay: Relay
    wait_seconds: float = WAIT_SECONDS
    lines: list[_Line] = field(default_factory=list)
    _hosts: dict[PartyId, list[_Waiting]] = field(default_factory=dict)
    _came: dict[PartyId, asyncio.Event] = field(default_factory=dict)

    async def wait(
        self, host: PartyId, guests: Collection[PartyId], alive: Callable[[], bool] = lambda: True
    ) -> dict[str, str] | None:
        """The next line to ``host`` that one of ``guests`` asks for: ``session``, ``guest``, ``ticket``; None: nobody
        has asked for a while; ask again."""
        waiting = _Waiting(guests, alive, asyncio.get_running_loop().create_future())
        self._hosts.setdefault(host, []).append(waiting)
        self._came.setdefault(host, asyncio.Event()).set()
        try:
            async with asyncio.timeout(self.wait_seconds):
                return await waiting.met
        except TimeoutError:
            return None
        finally:
            self._hosts[host].remove(waiting)

    async def open(self, guest: PartyId, host: PartyId) -> dict[str, str]:
        """A line for ``guest``: ``session`` and ``ticket``.

        Raises:
            ServiceError: ``party_absent`` if the host does not come, or does not serve this guest; ``too_many_lines``;
            LocalProtocolError: the relay has no room.
        """
        self.reap()
        if sum((line.guest, line.host) == (guest, host) for line in self.lines) >= _MOST_EACH:
            raise ServiceError(
                "too_many_lines",
                f"{guest} has {_MOST_EACH} lines to {host} already. Run fewer processes of the scoring service.",
                f"{guest} 与 {host} 之间的线路已达 {_MOST_EACH} 条，请减少评分服务进程数。",
            )
        waiting = await self._host_of(guest, host)
        session = secrets.token_hex(16)
        tickets = {party: secrets.token_urlsafe(32) for party in (guest, host)}
        self.relay.open_session(session, tickets)
        self.lines.append(_Line(session, guest, host))
        waiting.met.set_result({"session": session, "guest": guest, "ticket": tickets[host]})
        log.info("line of %s to %s: opened", guest, host)
        return {"session": session, "ticket": tickets[guest]}

    def reap(self) -> None:
        """Close what one end has left, or did not come to."""
        late = time.monotonic() - _JOIN_SECONDS
        for line in [line for line in self.lines if line.opened < late and not self.relay.is_whole(line.session)]:
            self._close(line)

    def keep_to(self, members: Collection[PartyId]) -> None:
        """Close every line of a party that is no member any more."""
        for line in [line for line in self.lines if not {line.guest, line.host} <= set(members)]:
            self._close(line)

    def _close(self, line: _Line) -> None:
        self.lines.remove(line)
        self.relay.close_session(line.session)
        log.info("line of %s to %s: closed", line.guest, line.host)

    async def _host_of(self, guest: PartyId, host: PartyId) -> _Waiting:
        """A call of the host that is waiting for this guest: the latest, since an earlier one may be of a host that
        was started anew."""
        came = self._came.setdefault(host, asyncio.Event())
        try:
            async with asyncio.timeout(self.wait_seconds):
                while True:
                    came.clear()
                    for waiting in reversed(self._hosts.get(host, [])):
                        if guest in waiting.guests and waiting.alive() and not waiting.met.done():
                            return waiting
                    await came.wait()
        except TimeoutError:
            raise ServiceError(
                "party_absent",
                f"{host} is not serving scores for {guest} at this hub now.",
                f"{host} 目前未通过该枢纽为 {guest} 提供评分服务。",
            ) from None
