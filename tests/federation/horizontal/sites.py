"""Sites, a coordinator's wire to them that may lose some, and an application that asks for one vector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from federation.ciphers.suites.choice import suite
from federation.codec import decode
from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.horizontal.aggregation.interface import Aggregation, Contributor, Numbers, Total
from federation.horizontal.aggregation.masking.coordinator import MaskedAggregation
from federation.horizontal.aggregation.masking.site import MaskingSite
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.aggregation.threshold.coordinator import ThresholdAggregation
from federation.horizontal.aggregation.threshold.site import ThresholdSite
from federation.messages import Message
from federation.script import Script, run
from federation.transports.agreement import Seals

COORDINATOR = "coordinator"
SESSION = "会话-1"


class Ask(Message, kind="tests.ask"):
    """Coordinator → site: your vector, please."""


@cache
def signing_keys(suite_name: str, n: int) -> dict[PartyId, bytes]:
    return {name: suite(suite_name).new_signing_key() for name in names(n)}


def names(n: int) -> tuple[PartyId, ...]:
    return tuple(f"bank:{k:02d}" for k in range(n))


def signings(n: int, suite_name: str = "international") -> dict[PartyId, Seals]:
    keys = signing_keys(suite_name, n)
    known = {party: (suite_name, suite(suite_name).verifying_key(key)) for party, key in keys.items()}
    return {party: Seals.with_key(suite_name, key, known) for party, key in keys.items()}


@dataclass
class VectorSite:
    """Answers ``Ask`` with the next of its vectors."""

    contributor: Contributor
    vectors: Sequence[Numbers]
    bound: int
    asked: int = 0

    def answer(self, request: Message) -> Message:
        if isinstance(request, Ask):
            reply = self.contributor.contribute(self.vectors[self.asked], self.bound)
            self.asked += 1
            return reply
        return self.contributor.answer(request)


@dataclass
class Noted:
    """An aggregation whose sums are kept, with what was asked for them."""

    inner: Aggregation
    asked: list[Message] = field(default_factory=list)
    told: list[Total] = field(default_factory=list)

    @property
    def presence(self) -> Presence:
        return self.inner.presence

    def total(
        self, requests: Mapping[PartyId, Message], n_values: int, bound: int, only: Collection[PartyId] = ()
    ) -> Script[Total]:
        found = yield from self.inner.total(requests, n_values, bound, only)
        self.asked.append(next(iter(requests.values())))
        self.told.append(found)
        return found

    def fewest_alike(self) -> int:
        """Sites that are in the same ones of these sums cannot be told apart by them, however they are added and
        subtracted: the smallest number of such sites."""
        sums = [set(total.contributors) for total in self.told]
        alike = Counter(tuple(party in of for of in sums) for party in set[str]().union(*sums))
        return min(alike.values())


#: (exchange number, party, request) → whether it is lost: "before" the site hears of it, or "after" it has answered.
Loss = Callable[[int, PartyId, Message], str]


@dataclass
class LosingWire:
    """A memory wire that leaves out who is lost, and keeps all that passes."""

    sites: Mapping[PartyId, VectorSite]
    loss: Loss = lambda count, party, request: ""
    count: int = 0
    passed: list[tuple[PartyId, Message, Message | None]] = field(default_factory=list)
    late: list[tuple[PartyId, Message]] = field(default_factory=list)

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        replies = {}
        for party, frame in frames.items():
            request = decode(frame, COORDINATOR)
            lost, reply = self.loss(self.count, party, request), None
            if lost != "before":
                site = self.sites[party]
                reply, _ = Endpoint(site, COORDINATOR, (*site.contributor.allowed, Ask)).answer(frame)
                if lost:
                    self.late.append((party, decode(reply, party)))
                else:
                    replies[party] = reply
            self.passed.append((party, request, decode(reply, party) if reply and not lost else None))
        self.count += 1
        return replies


def vectors(n_sites: int, n_turns: int, length: int, bound: int, seed: int = 0) -> list[list[Numbers]]:
    """Site → its vector of each turn."""
    rng = np.random.default_rng(seed)
    return [[rng.integers(-bound, bound, length, endpoint=True) for _ in range(n_turns)] for _ in range(n_sites)]


BOUND, LENGTH = 1000, 7


def never(count: int, party: PartyId, request: Message) -> str:
    return ""


class City:
    """``n`` sites with vectors of their own, and a coordinator, with one of the bodies."""

    def __init__(
        self, n: int, body: str = "masking", loss: Loss = never, suite_name: str = "international", **options: int
    ) -> None:
        self.names = names(n)
        self.signings = signings(n, suite_name)
        self.vectors = vectors(n, 8, LENGTH, BOUND)
        kind = {"masking": MaskingSite, "threshold": ThresholdSite}[body]
        self.sites = {
            party: VectorSite(kind(party, SESSION, self.signings[party]), self.vectors[k], BOUND)
            for k, party in enumerate(self.names)
        }
        self.wire = LosingWire(self.sites, loss)
        self.presence = Presence(self.names)
        self.coordinator: MaskedAggregation | ThresholdAggregation = (
            MaskedAggregation(SESSION, self.presence, self.signings[self.names[0]], **{"n_turns": 3, **options})
            if body == "masking"
            else ThresholdAggregation(SESSION, self.presence, **{"n_keys": 3, **options})
        )

    def script(self) -> Script[Total]:
        return self.coordinator.total(dict.fromkeys(self.names, Ask()), LENGTH, BOUND)

    def total(self) -> Total:
        return run(self.script(), self.wire)

    def expected(self, turn: int, parties: Sequence[PartyId]) -> list[int]:
        return sum(self.vectors[self.names.index(party)][turn] for party in parties).tolist()

    def until(self, kind: type[Message]) -> dict[PartyId, Message]:
        """Drive a script until it would send a ``kind``, and return what it would send."""
        script = self.script()
        requests = next(script)
        while not isinstance(next(iter(requests.values())), kind):
            replies = {party: self.sites[party].answer(request) for party, request in requests.items()}
            requests = script.send(replies)
        return dict(requests)
