"""What one relay grants to how many, and how fast: it slows parties down rather than cut them off."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: How much may pass at once after a rest, in seconds of the rate.
_BURST_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Defaults are for a lab's machine; they do not slow a training down.

    Attributes:
        bytes_per_second, frames_per_second: most that one party sends on average; what comes faster waits, with a
            second's worth at once after a rest.
        most_sessions: sessions open at the same time.
        join_seconds: within this a connection must have finished its handshakes and asked to join.
        idle_seconds: a session in which nobody joins and nothing passes for so long is closed. Longer than any
            party computes between two messages.
    """

    bytes_per_second: float = 512 * 1024 * 1024
    frames_per_second: float = 20_000
    most_sessions: int = 64
    join_seconds: float = 10.0
    idle_seconds: float = 3600.0


class Allowance:
    """A token bucket (Turner, "New directions in communications", IEEE Communications Magazine 24(10), 1986) that
    lends: whatever comes is let through, and the debt is waited for.

    Args:
        rate: units granted per second, over zero.
        clock: seconds, never going back.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._saved = rate * _BURST_SECONDS
        self._at = clock()

    def take(self, units: float) -> float:
        """Use ``units``; returns for how many seconds to wait before the next."""
        now = self._clock()
        self._saved = min(self._rate * _BURST_SECONDS, self._saved + (now - self._at) * self._rate) - units
        self._at = now
        return max(0.0, -self._saved / self._rate)
