"""The one seam between protocol logic and I/O.

A guest protocol is a *script*: a generator that yields ``{party: request}`` and is sent ``{party: reply}``. A host
protocol is a *responder*: ``answer(request) -> reply``. A *wire* carries frames of bytes between them; it knows
neither. ``run`` drives a script over a wire, ``run_async`` from an event loop, through the real codec whichever it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from federation.codec import decode, encode
from federation.errors import PartyId, Refused
from federation.messages import Failure, Message

K = TypeVar("K")
T = TypeVar("T")
Requests = Mapping[PartyId, Message]
Replies = Mapping[PartyId, Message]
Script = Generator[Requests, Replies, T]
#: Called for each frame that passes: (sender, receiver, message, size in bytes). "" stands for the guest itself.
Witness = Callable[[PartyId, PartyId, Message, int], None]


class Wire(Protocol):
    """Carries one frame to each named party and brings one frame back from each.

    Raises ``TransportError`` naming the party that did not come, left or was too late, and ``RemoteProtocolError``
    naming one that answered twice, out of turn or with too much. Parties work at the same time where the wire can.
    Under a script that goes on without parties that leave (``federation.horizontal``) a wire may leave their frames out
    instead of raising ``TransportError``.
    """

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]: ...


class AsyncWire(Protocol):
    """Carries one frame to one party and brings one back, for an event loop. Raises as ``Wire``."""

    async def ask(self, party: PartyId, frame: bytes, seconds: float) -> bytes:
        """``seconds``: longest wait."""
        ...


class Responder(Protocol):
    """A host's side of one or more protocols. ``answer`` raises a ``LianmoError``; then its state has not changed."""

    def answer(self, request: Message) -> Message: ...


Frames = Mapping[PartyId, bytes]


#: Told of a party that answered with ``Failure``, and of the code.
Refusal = Callable[[PartyId, str], None]


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A script has ended, with this."""

    value: T


@dataclass(frozen=True, slots=True)
class Steps(Generic[T]):
    """A script that is moved on frame by frame by whoever holds the wire.

    Attributes:
        refusal: for a script that goes on without parties that leave: one that refuses is left out, and this is told.
    """

    script: Script[T]
    witness: Witness | None = None
    refusal: Refusal | None = None

    def advance(self, replies: Frames | None) -> Frames | Done[T]:
        """Hand in the replies to the frames last handed out (``None``: at the beginning), take out the next.

        Raises:
            Refused: a party answered with ``Failure``, and the script does not go on without it.
        """
        try:
            requests = next(self.script) if replies is None else self.script.send(self._messages(replies))
        except StopIteration as done:
            return Done(done.value)
        frames = {party: encode(message) for party, message in requests.items()}
        if self.witness:
            for party, message in requests.items():
                self.witness("", party, message, len(frames[party]))
        return frames

    def _messages(self, frames: Frames) -> Replies:
        replies: dict[PartyId, Message] = {}
        for party, frame in frames.items():
            message = decode(frame, party)
            if self.witness:
                self.witness(party, "", message, len(frame))
            if isinstance(message, Failure):
                if self.refusal is None:
                    raise Refused(party, message.code)
                self.refusal(party, message.code)
                continue
            replies[party] = message
        return replies


def run(script: Script[T], wire: Wire, witness: Witness | None = None, refusal: Refusal | None = None) -> T:
    """Drive ``script`` to its end over ``wire`` and return what it returns.

    Raises:
        Refused: a party answered with ``Failure``, and there is no ``refusal``; the script is closed first.
    """
    steps, replies = Steps(script, witness, refusal), None
    try:
        while not isinstance(step := steps.advance(replies), Done):
            replies = wire.exchange(step)
        return step.value
    finally:
        script.close()


def abreast(scripts: Mapping[K, Script[T]]) -> Script[dict[K, T]]:
    """Scripts over different parties, their exchanges made together: as many as the longest of them has.

    Returns:
        What each returned. What one raises ends all.
    """
    found: dict[K, T] = {}
    waiting: dict[K, Requests | None] = dict.fromkeys(scripts)
    replies: Replies = {}
    try:
        while True:
            for key, asked in list(waiting.items()):
                own = None if asked is None else {party: replies[party] for party in asked if party in replies}
                try:
                    waiting[key] = next(scripts[key]) if own is None else scripts[key].send(own)
                except StopIteration as done:
                    found[key] = done.value
                    del waiting[key]
            if not waiting:
                return found
            replies = yield {p: message for asked in waiting.values() for p, message in (asked or {}).items()}
    finally:
        for script in scripts.values():
            script.close()


async def run_async(
    script: Script[T],
    exchange: Callable[[Frames], Awaitable[Frames]],
    compute: Callable[[Callable[[], Frames | Done[T]]], Awaitable[Frames | Done[T]]] | None = None,
    refusal: Refusal | None = None,
) -> T:
    """As ``run``, from an event loop.

    Args:
        compute: does the script's own work between two exchanges, such as in a thread; ``None``: at once.
    """
    steps, replies = Steps(script, refusal=refusal), None
    try:
        while True:
            step = steps.advance(replies) if compute is None else await compute(partial(steps.advance, replies))
            if isinstance(step, Done):
                return step.value
            replies = await exchange(step)
    finally:
        script.close()
