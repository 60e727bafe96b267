"""What the bank's service counts, for Prometheus: answers, why some were not joint, times, parties; never content."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

#: Where several workers share their counts (``prometheus_client.multiprocess``); set before the library is imported.
SHARED: Final = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.015, 0.025, 0.04, 0.075, 0.15, 0.25, 0.5, 1.0, 2.5)


class ServiceMetrics:
    """Of one worker, in a registry of its own; ``text`` adds up all workers if they share a directory."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers = Counter(
            "lianmo_scores", "Applications answered, by mode", ["mode", "alias"], registry=self.registry
        )
        self._degraded = Counter(
            "lianmo_scores_degraded", "Answers that are not joint, by reason", ["code"], registry=self.registry
        )
        self._latency = Histogram(
            "lianmo_score_seconds", "Time to answer a call", ["call"], buckets=_SECONDS, registry=self.registry
        )
        self._replies = Histogram(
            "lianmo_party_reply_seconds",
            "Time until a party replied to a message",
            ["party"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._failures = Counter(
            "lianmo_party_failures", "Messages a party failed, by code", ["party", "code"], registry=self.registry
        )
        self._closed = Gauge(
            "lianmo_party_asked",
            "1: the party is asked; 0: its circuit breaker is open",
            ["party"],
            registry=self.registry,
            multiprocess_mode="min",
        )

        self._took = {call: self._latency.labels(call) for call in ("score", "batch")}
        self._answered: dict[tuple[str, str | None], Counter] = {}

    def answered(self, mode: str, alias: str | None, code: str | None) -> None:
        counter = self._answered.get((mode, alias))
        if counter is None:
            counter = self._answered[mode, alias] = self._answers.labels(mode, alias or "")
        counter.inc()
        if code:
            self._degraded.labels(code).inc()

    def took(self, call: str, seconds: float) -> None:
        self._took[call].observe(seconds)

    def replied(self, party: str, seconds: float) -> None:
        self._replies.labels(party).observe(seconds)

    def failed(self, party: str, code: str) -> None:
        self._failures.labels(party, code).inc()

    def asked(self, parties: Sequence[str], shut: Sequence[str]) -> None:
        for party in parties:
            self._closed.labels(party).set(party not in shut)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        shared = CollectorRegistry()
        multiprocess.MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return generate_latest(shared)
