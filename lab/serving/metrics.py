"""What the bank's service counts, for Prometheus: answers, why some were not joint, times, parties; never content."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

#: Where several workers share their counts (``prometheus_client.multiprocess``); set before the library is imported.
SHARED: Final = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.015, 0.025, 0.04, 0.075, 0.15, 0.25, 0.5, 1.0, 2.5)


class PartyMetrics:
    """How the other parties do with questions of one sort.

    Args:
        of: what names of metrics begin with.
    """

    def __init__(self, registry: CollectorRegistry, of: str) -> None:
        self._replies = Histogram(
            f"{of}_party_reply_seconds",
            "Time until a party replied to a message",
            ["party"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._failures = Counter(
            f"{of}_party_failures", "Messages a party failed, by code", ["party", "code"], registry=registry
        )
        self._closed = Gauge(
            f"{of}_party_asked",
            "1: the party is asked; 0: its circuit breaker is open",
            ["party"],
            registry=registry,
            multiprocess_mode="min",
        )

    def replied(self, party: str, seconds: float) -> None:
        self._replies.labels(party).observe(seconds)

    def failed(self, party: str, code: str) -> None:
        self._failures.labels(party, code).inc()

    def asked(self, parties: Sequence[str], shut: Sequence[str]) -> None:
        for party in parties:
            self._closed.labels(party).set(party not in shut)


class ShadowMetrics(PartyMetrics):
    """What becomes of applications that a model on trial is to score too."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry, "lianmo_shadow")
        self._compared = Counter(
            "lianmo_shadow_scores", "Scores of the shadow that were compared, by mode", ["mode"], registry=registry
        )
        self._left_out = Counter(
            "lianmo_shadow_left_out",
            "Applications that the shadow did not score, by reason; behind: it was too slow",
            ["code"],
            registry=registry,
        )
        self._waiting = Gauge(
            "lianmo_shadow_waiting",
            "Applications that wait for the shadow",
            registry=registry,
            multiprocess_mode="livesum",
        )

    def compared(self, mode: str, n: int) -> None:
        self._compared.labels(mode).inc(n)

    def left_out(self, code: str, n: int) -> None:
        self._left_out.labels(code).inc(n)

    def waiting(self, n: int) -> None:
        self._waiting.set(n)


class ServiceMetrics(PartyMetrics):
    """Of one worker, in a registry of its own; ``text`` adds up all workers if they share a directory."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        super().__init__(self.registry, "lianmo")
        self._answers = Counter(
            "lianmo_scores", "Applications answered, by mode", ["mode", "alias"], registry=self.registry
        )
        self._degraded = Counter(
            "lianmo_scores_degraded", "Answers that are not joint, by reason", ["code"], registry=self.registry
        )
        self._passed_over = Counter(
            "lianmo_canary_left_out",
            "Applications of a canary's share that the champion answered, by reason",
            ["code"],
            registry=self.registry,
        )
        self._latency = Histogram(
            "lianmo_score_seconds", "Time to answer a call", ["call"], buckets=_SECONDS, registry=self.registry
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

    def passed_over(self, code: str) -> None:
        self._passed_over.labels(code).inc()

    def took(self, call: str, seconds: float) -> None:
        self._took[call].observe(seconds)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        shared = CollectorRegistry()
        multiprocess.MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return generate_latest(shared)
