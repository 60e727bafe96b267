"""A wire of threads, asked from an event loop: for whatever has no wire of its own there, such as hosts in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from federation.errors import PartyId
from federation.script import Wire
from federation.transports.http import too_slow


@dataclass(frozen=True, slots=True)
class ThreadedWire:
    """``AsyncWire`` over a ``Wire`` that several threads may use."""

    wire: Wire

    async def ask(self, party: PartyId, frame: bytes, seconds: float) -> bytes:
        """Raises as the wire, and ``TransportError`` ("party_timeout") past ``seconds``; the thread goes on alone."""
        try:
            async with asyncio.timeout(seconds):
                return (await asyncio.to_thread(self.wire.exchange, {party: frame}))[party]
        except TimeoutError:
            raise too_slow(party, seconds) from None
