"""Two ends of a dialogue over a relay: the guest asks (``RelayWire``), a host answers (``serve_responder``), or several
guests (``serve_doors``).

A request has the next number of the guest's own to that host; the reply echoes it. So a reply that comes
twice, late or unasked is recognised without looking into it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from federation.errors import PartyId, RemoteProtocolError, TransportError
from federation.transports.assembly import Parcel
from federation.transports.link import Link


class RelayWire:
    """The guest's ``Wire`` (see ``federation.script``) over a link; hosts work at the same time.

    Args:
        link: an entered link of the guest.
        deadline_seconds: longest wait for all replies of one exchange.
        join_seconds: longest wait for the parties of an exchange to join.
    """

    def __init__(self, link: Link, *, deadline_seconds: float = 600.0, join_seconds: float = 60.0) -> None:
        self._link = link
        self._deadline_seconds = deadline_seconds
        self._join_seconds = join_seconds
        self._asked: Counter[PartyId] = Counter()

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        """Send one frame to each party and return one reply of each.

        Raises:
            TransportError: "party_absent", "party_left", "party_timeout", or what became of the relay.
            RemoteProtocolError: "answered_twice", "out_of_turn", "too_large".
        """
        join_by = time.monotonic() + self._join_seconds
        for party in frames:
            self._await(party, join_by)
        for party, frame in frames.items():
            self._asked[party] = self._link.send(party, frame)
        replies: dict[PartyId, bytes] = {}
        until = time.monotonic() + self._deadline_seconds
        while waiting := [party for party in frames if party not in replies]:
            try:
                parcel = self._link.receive(until - time.monotonic(), watch=waiting)
            except TimeoutError:
                raise _too_slow(waiting[0], self._deadline_seconds) from None
            self._check(parcel, waiting)
            replies[parcel.sender] = parcel.payload
        return {party: replies[party] for party in frames}

    def _await(self, party: PartyId, join_by: float) -> None:
        try:
            self._link.await_party(party, join_by - time.monotonic())
        except TimeoutError:
            raise _absent(party, self._join_seconds) from None

    def _check(self, parcel: Parcel, waiting: Collection[PartyId]) -> None:
        if parcel.sender in waiting and parcel.number == self._asked[parcel.sender]:
            return
        if 0 < parcel.number <= self._asked[parcel.sender]:
            raise RemoteProtocolError(
                parcel.sender,
                "answered_twice",
                "it answered the same request a second time.",
                "对同一请求作了第二次应答。",
            )
        raise RemoteProtocolError(
            parcel.sender, "out_of_turn", "it sent a message nobody asked for.", "发来了未经请求的消息。"
        )


class LenientRelayWire(RelayWire):
    """Leaves out who does not come, leaves, or is too slow, for scripts that go on without (``federation.horizontal``).

    What a party sends too late is dropped. Arguments as of ``RelayWire``; each exchange with somebody silent takes the
    whole of ``deadline_seconds``, so scripts ask nobody again who has not answered.
    """

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        """As ``RelayWire.exchange``, but with a reply of those only who gave one.

        Raises:
            TransportError: what became of the relay.
            RemoteProtocolError: "out_of_turn", "too_large".
        """
        join_by = time.monotonic() + self._join_seconds
        waiting = {party for party in frames if self._has_come(party, join_by)}
        for party in sorted(waiting):
            self._asked[party] = self._link.send(party, frames[party])
        replies: dict[PartyId, bytes] = {}
        until = time.monotonic() + self._deadline_seconds
        while waiting:
            try:
                parcel = self._link.receive(until - time.monotonic(), watch=waiting)
            except TimeoutError:
                break
            except TransportError as error:
                if error.party not in waiting:
                    raise
                waiting.remove(error.party)
                continue
            asked = self._asked[parcel.sender]
            if 0 < parcel.number < asked or (parcel.number == asked and parcel.sender not in waiting):
                continue  # to an exchange that went on without it
            self._check(parcel, waiting)
            waiting.remove(parcel.sender)
            replies[parcel.sender] = parcel.payload
        return {party: replies[party] for party in frames if party in replies}

    def _has_come(self, party: PartyId, join_by: float) -> bool:
        try:
            self._await(party, join_by)
        except TransportError as error:
            if error.party != party:
                raise
            return False
        return True


def serve_responder(
    link: Link, answer: Callable[[bytes], tuple[bytes, bool]], guest: PartyId, *, idle_seconds: float
) -> None:
    """Answer the guest until the session is over; messages of anybody else are dropped unread.

    Args:
        link: an entered link of a host.
        answer: a request to a reply, and whether the session is finished once the reply is sent.
        guest: the party that may ask.
        idle_seconds: longest wait for the guest's next request.

    Raises:
        TransportError: the guest did not come, left before it said goodbye, or was silent for too long.
        RemoteProtocolError: the guest's requests are out of order, or too large.
    """
    serve_doors(link, {guest: answer}, guest, idle_seconds=idle_seconds)


def serve_doors(
    link: Link, doors: Mapping[PartyId, Callable[[bytes], tuple[bytes, bool]]], lead: PartyId, *, idle_seconds: float
) -> None:
    """As ``serve_responder``, for several who ask, one request after the other: the session is over when ``lead`` says
    so, and anybody else may leave before.

    Args:
        doors: who may ask → what answers.
        idle_seconds: longest wait for any request.
    """
    asked: Counter[PartyId] = Counter()
    finished = False
    while not finished:
        request = _next_request(link, doors, lead, idle_seconds)
        sender = request.sender
        asked[sender] += 1
        if request.number != asked[sender]:
            raise RemoteProtocolError(
                sender, "out_of_turn", "its requests do not follow one another.", "其请求次序不连续。"
            )
        reply, over = doors[sender](request.payload)
        finished = over and sender == lead
        try:
            link.send(sender, reply, request.number)
        except TransportError as error:
            if error.party != sender or sender == lead:
                raise


def _next_request(link: Link, doors: Collection[PartyId], lead: PartyId, idle_seconds: float) -> Parcel:
    until = time.monotonic() + idle_seconds
    try:
        link.await_party(lead, idle_seconds)
    except TimeoutError:
        raise _absent(lead, idle_seconds) from None
    while True:
        try:
            parcel = link.receive(until - time.monotonic(), watch=(lead,))
        except TimeoutError:
            raise _too_slow(lead, idle_seconds) from None
        if parcel.sender in doors:
            return parcel


def _absent(party: PartyId, seconds: float) -> TransportError:
    return TransportError(
        party,
        "party_absent",
        f"it did not join within {seconds:g} seconds. Is its node running?",
        f"在 {seconds:g} 秒内未加入会话。其节点是否在运行？",
    )


def _too_slow(party: PartyId, seconds: float) -> TransportError:
    return TransportError(
        party,
        "party_timeout",
        f"it sent nothing for {seconds:g} seconds. Is its node still working? A longer deadline can be set.",
        f"在 {seconds:g} 秒内没有应答。其节点是否仍在工作？可设置更长的期限。",
    )
