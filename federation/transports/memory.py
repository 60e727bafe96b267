"""Wires inside one process: for tests, notebooks and small studies. Frames pass through the real codec."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from federation.endpoint import Endpoint
from federation.errors import PartyId, TransportError
from federation.messages import Message
from federation.script import Wire

Answer = Callable[[bytes], tuple[bytes, bool]]


@dataclass(frozen=True, slots=True)
class MemoryWire:
    """Calls each host's ``Endpoint.answer`` in turn."""

    hosts: Mapping[PartyId, Answer]

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        for party in frames:
            if party not in self.hosts:
                raise TransportError(party, "party_absent", "did not come.", "未加入会话。")
        return {party: self.hosts[party](frame)[0] for party, frame in frames.items()}


class Dumpable(Protocol):
    """A responder whose memory can be taken out and put back."""

    def answer(self, request: Message) -> Message: ...
    def dump(self) -> bytes: ...
    def load(self, data: bytes) -> None: ...


@dataclass(slots=True)
class AmnesiacWire:
    """Builds every host anew for each message and gives it back what it dumped: nothing survives outside the state."""

    guest: PartyId
    build: Mapping[PartyId, Callable[[], Dumpable]]
    allowed: Collection[type[Message]]
    memory: dict[PartyId, bytes] = field(default_factory=dict)

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        replies = {}
        for party, frame in frames.items():
            host = self.build[party]()
            if party in self.memory:
                host.load(self.memory[party])
            replies[party], _ = Endpoint(host, self.guest, self.allowed).answer(frame)
            self.memory[party] = host.dump()
        return replies


@dataclass(slots=True)
class FaultyWire:
    """Lets ``damage(count, party, reply)`` change, drop (``None``) or replace the replies of another wire."""

    wire: Wire
    damage: Callable[[int, PartyId, bytes], bytes | None]
    count: int = 0

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        replies = {}
        for party, reply in self.wire.exchange(frames).items():
            damaged = self.damage(self.count, party, reply)
            if damaged is None:
                raise TransportError(party, "party_left", "left the session.", "已离开会话。")
            replies[party] = damaged
        self.count += 1
        return replies
