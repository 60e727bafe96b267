"""How often wrong credentials are taken from one address before those that come from it are looked at no more."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from lab.serving.access.limits import Rate

#: Addresses remembered; beyond them the one that was wrong longest ago is forgotten.
MOST_ADDRESSES: Final = 4096
#: What one subscriber is given of IPv6 (RFC 6177).
_PREFIX: Final = 64


class Guesses:
    """Of one process: a token bucket of wrong credentials for each address (ITU-T I.371, Annex A, as ``Meter``).

    Args:
        clock: seconds.
    """

    def __init__(self, most: int = MOST_ADDRESSES, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def wait(self, address: str, rate: Rate) -> float:
        """Seconds until credentials from there are looked at again; 0: now."""
        full_at = self._full_at.get(neighbourhood(address))
        if full_at is None:
            return 0.0
        return max(0.0, full_at - self._clock() - (rate.burst - 1) / rate.per_second)

    def wrong(self, address: str, rate: Rate) -> None:
        """Credentials from there were not good."""
        there, now = neighbourhood(address), self._clock()
        self._full_at[there] = max(self._full_at.get(there, now), now) + 1 / rate.per_second
        self._full_at.move_to_end(there)
        while len(self._full_at) > self._most:
            self._full_at.popitem(last=False)

    def __len__(self) -> int:
        return len(self._full_at)


def neighbourhood(address: str) -> str:
    """What counts as one address: all that one subscriber of IPv6 can call from."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((address.partition("%")[0], _PREFIX), strict=False))
    except ValueError:
        return address
