"""The one seam between protocol logic and I/O.

A guest protocol is a *script*: a generator that yields ``{party: request}`` and is sent ``{party: reply}``. A host
protocol is a *responder*: ``answer(request) -> reply``. A *wire* carries frames of bytes between them; it knows
neither. ``run`` drives a script over a wire, through the real codec whichever wire it is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Protocol, TypeVar

from federation.codec import decode, encode
from federation.errors import PartyId, Refused
from federation.messages import Failure, Message

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


class Responder(Protocol):
    """A host's side of one or more protocols. ``answer`` raises a ``LianmoError``; then its state has not changed."""

    def answer(self, request: Message) -> Message: ...


def run(script: Script[T], wire: Wire, witness: Witness | None = None) -> T:
    """Drive ``script`` to its end over ``wire`` and return what it returns.

    Raises:
        Refused: a party answered with ``Failure``; the script is closed first.
    """
    try:
        requests = next(script)
        while True:
            replies = _exchange(requests, wire, witness)
            requests = script.send(replies)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        script.close()


def _exchange(requests: Requests, wire: Wire, witness: Witness | None) -> Replies:
    frames = {party: encode(message) for party, message in requests.items()}
    if witness:
        for party, message in requests.items():
            witness("", party, message, len(frames[party]))
    replies: dict[PartyId, Message] = {}
    for party, frame in wire.exchange(frames).items():
        message = decode(frame, party)
        if witness:
            witness(party, "", message, len(frame))
        if isinstance(message, Failure):
            raise Refused(party, message.code)
        replies[party] = message
    return replies
