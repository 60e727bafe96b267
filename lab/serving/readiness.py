"""Whether the bank's service can answer, and which parties it can ask."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, runtime_checkable

from federation.errors import PartyId
from lab.serving.schemas import PartyHealth, Readiness, ServedModel
from lab.serving.service import ScoringService
from lab.serving.store import AnswerStore
from models.errors import LianmoError

#: A party that does not say within this time that it is up does not count as reachable.
_SECONDS: Final = 1.0


@runtime_checkable
class Reaching(Protocol):
    """A wire that can tell whether a party is up, without a question about anybody."""

    async def reaches(self, party: PartyId, seconds: float) -> bool: ...


async def readiness(service: ScoringService, store: AnswerStore) -> Readiness:
    try:
        served = service.current().champion
    except LianmoError:
        return Readiness(status="unready", model=None, parties=[], store=await asyncio.to_thread(store.works))
    wire = service.scorer.wire

    async def health(party: PartyId) -> PartyHealth:
        reachable = await wire.reaches(party, _SECONDS) if isinstance(wire, Reaching) else None
        return PartyHealth(party=party, asked=service.scorer.breaker(party).state, reachable=reachable)

    parties = await asyncio.gather(*(health(party) for party in served.hosts))
    works = await asyncio.to_thread(store.works)
    well = all(party.asked == "closed" and party.reachable is not False for party in parties)
    return Readiness(
        status="unready" if not works else "ready" if well else "degraded",
        model=ServedModel(**served.joint.told),
        parties=parties,
        store=works,
    )
