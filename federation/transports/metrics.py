"""What a relay counts, for Prometheus: sessions, parties, frames, bytes, refusals; never content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest, make_asgi_app


class RelayMetrics:
    """Counters of one relay, in a registry of their own.

    Attributes:
        registry: to be exposed, alone or with others.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._sessions = self._gauge("sessions", "Sessions open now")
        self._parties = self._gauge("parties", "Parties joined now")
        self._queued = self._gauge("queue_bytes", "Bytes waiting for parties to take them")
        self._frames = self._counter("frames", "Frames passed on, by sender", "party")
        self._bytes = self._counter("bytes", "Bytes of bodies passed on, by sender", "party")
        self._delays = self._counter("delay_seconds", "Seconds for which a sender over its rate was held", "party")
        self._refusals = self._counter("refusals", "Connections refused or ended, by code", "code")

    def watch(self, sessions: Callable[[], int], parties: Callable[[], int], queued: Callable[[], int]) -> None:
        """Where to read what is true now."""
        self._sessions.set_function(sessions)
        self._parties.set_function(parties)
        self._queued.set_function(queued)

    def passed(self, party: str, n_bytes: int) -> None:
        self._frames.labels(party).inc()
        self._bytes.labels(party).inc(n_bytes)

    def delayed(self, party: str, seconds: float) -> None:
        self._delays.labels(party).inc(seconds)

    def refused(self, code: str) -> None:
        self._refusals.labels(code).inc()

    def text(self) -> str:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry).decode()

    def app(self) -> Any:
        """An ASGI application that answers a scrape; mount it at ``/metrics``."""
        return make_asgi_app(self.registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"lianmo_relay_{name}", meaning, registry=self.registry)

    def _counter(self, name: str, meaning: str, label: str) -> Counter:
        return Counter(f"lianmo_relay_{name}", meaning, [label], registry=self.registry)
