"""Which sums a coordinator learnt in a run, for people: how often, of how many numbers, over how many sites."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from federation.errors import PartyId
from federation.horizontal.aggregation.interface import Aggregation, Total
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.disclosure import SUMS
from federation.messages import Message
from federation.script import Script

#: Request → what the sum of the answers tells, in English and Chinese.
TOLD: Final = {request.kind: words for request, words in SUMS.items()}


@dataclass(slots=True)
class _Asked:
    times: int = 0
    numbers: int = 0
    fewest: int = 0


@dataclass(slots=True)
class NotedSums:
    """An ``Aggregation`` that notes what comes of another one."""

    aggregation: Aggregation
    asked: dict[str, _Asked] = field(default_factory=dict)

    @property
    def presence(self) -> Presence:
        return self.aggregation.presence

    @presence.setter
    def presence(self, presence: Presence) -> None:
        self.aggregation.presence = presence

    def total(
        self, requests: Mapping[PartyId, Message], n_values: int, bound: int, only: Collection[PartyId] = ()
    ) -> Script[Total]:
        total = yield from self.aggregation.total(requests, n_values, bound, only)
        noted = self.asked.setdefault(next(iter(requests.values())).kind, _Asked())
        noted.times += 1
        noted.numbers += n_values
        noted.fewest = min(noted.fewest or len(total.contributors), len(total.contributors))
        return total

    def told(self) -> list[dict[str, Any]]:
        """A row per kind of sum that was opened, in the order they first were."""
        return [
            {
                "asked": kind,
                "times": noted.times,
                "numbers": noted.numbers,
                "fewest_sites": noted.fewest,
                "reveals": TOLD[kind][0],
                "reveals_zh": TOLD[kind][1],
            }
            for kind, noted in self.asked.items()
        ]
