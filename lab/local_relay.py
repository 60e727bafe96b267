"""A relay in this process for the parties of one run on this machine."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from federation.errors import PartyId
from federation.transports.relay import Relay
from lab.jobs import LinkSection
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="random generator of the operating system",
        purpose="tickets to the relay",
        purpose_zh="中继入场票据",
        standard="Linux getrandom(2)",
        library="secrets",
    ),
)


@contextmanager
def relay_links(parties: Sequence[PartyId], session: str) -> Iterator[dict[PartyId, LinkSection]]:
    """Lets in exactly these parties, each with its own ticket; how each joins."""
    relay = Relay()
    try:
        port = relay.serve("127.0.0.1:0")
        tickets = {party: secrets.token_urlsafe(32) for party in parties}
        relay.open_session(session, tickets)
        yield {
            party: LinkSection(address=f"127.0.0.1:{port}", session=session, ticket=ticket)
            for party, ticket in tickets.items()
        }
    finally:
        relay.stop()
