"""Sums over a relay, on real sockets, every site in a thread of its own; one of them dies in the middle."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from federation.endpoint import Endpoint
from federation.messages import Message
from federation.script import run
from federation.transports.dialogue import LenientRelayWire, serve_responder
from federation.transports.link import Link
from federation.transports.relay import Relay
from tests.federation.horizontal.sites import COORDINATOR, Ask, City, VectorSite

SECONDS = 20.0


class Dying:
    """Dies at the second vector it is asked for."""

    def __init__(self, site: VectorSite) -> None:
        self.site, self.contributor = site, site.contributor

    def answer(self, request: Message) -> Message:
        if isinstance(request, Ask) and self.site.asked:
            raise KeyboardInterrupt
        return self.site.answer(request)


@pytest.mark.parametrize("body", ["masking", "threshold"])
def test_a_site_that_dies_is_gone_without(body: str) -> None:
    city = City(4, body)
    city.sites["bank:02"] = Dying(city.sites["bank:02"])
    tickets = {party: f"ticket of {party}" for party in (COORDINATOR, *city.names)}
    relay = Relay()
    address = f"127.0.0.1:{relay.serve('127.0.0.1:0')}"
    relay.open_session("sums", tickets)

    def link(party: str) -> Link:
        return Link(address, "sums", party, tickets[party], deadline_seconds=SECONDS)

    def serve(party: str) -> None:
        site = city.sites[party]
        with link(party) as own:
            answer = Endpoint(site, COORDINATOR, (*site.contributor.allowed, Ask)).answer
            serve_responder(own, answer, COORDINATOR, idle_seconds=SECONDS)

    with ThreadPoolExecutor(4) as pool:
        served = {party: pool.submit(serve, party) for party in city.names}
        with link(COORDINATOR) as own:
            wire = LenientRelayWire(own, deadline_seconds=SECONDS, join_seconds=SECONDS)
            first = run(city.script(), wire)
            second = run(city.script(), wire)
            third = run(city.script(), wire)
        rest = tuple(party for party in city.names if party != "bank:02")
        for turn, (total, parties) in enumerate(((first, city.names), (second, rest), (third, rest))):
            assert total.contributors == parties
            assert total.values.tolist() == city.expected(turn, parties)
        assert isinstance(served["bank:02"].exception(SECONDS), KeyboardInterrupt)
    relay.stop()
