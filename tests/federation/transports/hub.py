"""A relay with one open session and its parties, for tests."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from federation.transports.dialogue import serve_responder
from federation.transports.link import Link
from federation.transports.relay import Relay

TICKETS = {"bank": "ticket-1", "host:tax": "ticket-2", "host:电信": "ticket-3"}
HOSTS = ("host:tax", "host:电信")
SECONDS = 10.0


class Hub:
    """A relay with one open session, and what it saw pass."""

    def __init__(self, relay: Any = None, **tls: Any) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.relay = relay or Relay(tap=lambda *frame: self.seen.append(frame))
        self.address = f"127.0.0.1:{self.relay.serve('127.0.0.1:0', **tls)}"
        self.relay.open_session("loans", TICKETS)
        self._pool = ThreadPoolExecutor(8)

    def link(self, party: str, ticket: str = "", session: str = "loans", **settings: Any) -> Link:
        ticket = ticket or TICKETS[party]
        return Link(self.address, session, party, ticket, **{"deadline_seconds": SECONDS, **settings})

    def serve(self, party: str, answer: Callable[[bytes], tuple[bytes, bool]], **settings: Any) -> Future[None]:
        """A host in a thread of its own."""

        def host() -> None:
            with self.link(party, **settings) as link:
                serve_responder(link, answer, "bank", idle_seconds=SECONDS)

        return self._pool.submit(host)

    def stop(self) -> None:
        self.relay.stop()
        self._pool.shutdown()
