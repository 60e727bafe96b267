"""A circuit breaker: a party that keeps failing is not asked for a while, so that nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

State = Literal["closed", "open", "half_open"]


@dataclass(slots=True)
class Breaker:
    """Of one party, in one event loop (Nygard 2018, "Release It!", ch. 5).

    Attributes:
        failures_to_open: so many failures in a row open it.
        open_seconds: for so long nobody asks; then one question is a trial, and the next trial waits as long again.
        clock: monotonic seconds.
    """

    failures_to_open: int
    open_seconds: float
    clock: Callable[[], float] = time.monotonic
    _n_failures: int = field(default=0, init=False)
    _retry_at: float | None = field(default=None, init=False)
    _on_trial: bool = field(default=False, init=False)

    @property
    def state(self) -> State:
        if self._retry_at is None:
            return "closed"
        return "half_open" if self._on_trial else "open"

    def is_open(self) -> bool:
        """Whether the party would not be asked now; nothing changes."""
        return self._retry_at is not None and self.clock() < self._retry_at

    def admits(self) -> bool:
        """Whether the party may be asked now. Whoever is told so asks: it may be the one trial."""
        if self._retry_at is None:
            return True
        if self.is_open():
            return False
        # A trial of which nothing is heard, because another party failed first, holds up the next no longer than this.
        self._retry_at, self._on_trial = self.clock() + self.open_seconds, True
        return True

    def succeeded(self) -> None:
        self._n_failures, self._retry_at, self._on_trial = 0, None, False

    def failed(self) -> None:
        self._n_failures += 1
        if self._on_trial or self._n_failures >= self.failures_to_open:
            self._retry_at, self._on_trial = self.clock() + self.open_seconds, False
