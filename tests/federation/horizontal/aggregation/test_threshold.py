"""Sums under a shared key: no single party opens anything, though it tries; a site helps with one sum per turn only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import rbcl

from federation.ciphers import dealing, elgamal
from federation.ciphers.oprf import InvalidPoint
from federation.ciphers.shamir import random_scalar, weights
from federation.errors import LianmoError, LocalProtocolError, PlaintextOverflow, Refused, RemoteProtocolError
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.aggregation.threshold import messages as m
from federation.horizontal.aggregation.threshold import site as site_module
from federation.horizontal.aggregation.threshold.site import TRANSITIONS, ThresholdSite
from federation.horizontal.aggregation.threshold.statements import (
    committed_statement,
    contribution_statement,
    randomness_context,
)
from federation.messages import Failure, Goodbye, Message
from tests.federation.horizontal.sites import BOUND, LENGTH, SESSION, Ask, City, names

STOPS = {
    "opened": m.AllCommitted,
    "dealt": m.Deliver,
    "keyed": m.Confirm,
    "ready": Ask,
    "contributed": m.OpenSum,
}


def site_at(phase: str, n: int = 4) -> tuple[City, ThresholdSite, Mapping[str, Message]]:
    """A site of a city that has come as far as that, and what the coordinator would send next."""
    city = City(n, "threshold")
    requests: Mapping[str, Message] = {}
    if phase == "helped":
        requests = city.until(m.OpenSum)
        city.sites["bank:01"].answer(requests["bank:01"])
    elif phase != "closed":
        requests = city.until(STOPS[phase])
    return city, city.sites["bank:01"].contributor, requests


OPEN = m.Open(session=SESSION, epoch=9, sites=names(4), threshold=3, n_keys=2)
MESSAGES: tuple[Message, ...] = (
    OPEN,
    m.AllCommitted(sites=()),
    m.Deliver(shares=()),
    m.Confirm(signatures=()),
    m.OpenSum(turn=0, contributions=(), openers=(), n_numbers=0),
    m.Ready(),
    m.Committed(sealing_key=b"", commitments=b"", proof=b"", signature=b""),
    m.Dealt(shares=()),
    m.KeyMade(signature=b""),
    m.Partials(points=b""),
    Contribution(turn=0, data=b"", proof=b"", signature=b""),
    Goodbye(code=""),
    Failure(code="policy"),
)


@pytest.mark.parametrize("phase", ["closed", *STOPS, "helped"])
@pytest.mark.parametrize("message", MESSAGES, ids=lambda x: x.kind)
def test_every_state_meets_every_message(phase: str, message: Message) -> None:
    _, site, _ = site_at(phase)
    assert site.state.phase == phase
    before = site.state.dump()
    if isinstance(message, m.Open):
        site.answer(message)
        assert site.state.phase == "opened"
        return
    with pytest.raises(LocalProtocolError) as caught:
        site.answer(message)
    accepted = (phase, type(message)) in TRANSITIONS  # though without its content
    assert caught.value.code in (("bad_value", "too_few_sites") if accepted else ("out_of_turn",))
    assert site.state.dump() == before


@pytest.mark.parametrize("phase", ["closed", "opened", "dealt", "keyed"])
def test_nothing_is_encrypted_before_all_have_confirmed_the_same_keys(phase: str) -> None:
    _, site, _ = site_at(phase)
    with pytest.raises(LocalProtocolError) as caught:
        site.contribute(np.zeros(3, dtype=np.int64), 5)
    assert caught.value.code == "out_of_turn"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"session": "another"}, "bad_value"),
        ({"epoch": -1}, "bad_value"),
        ({"n_keys": 0}, "bad_value"),
        ({"n_keys": 2**40}, "bad_value"),
        ({"sites": ("bank:01", "bank:00", "bank:02")}, "bad_value"),
        ({"sites": ("bank:00", "bank:02", "bank:03")}, "bad_value"),
        ({"sites": ("bank:00", "bank:01"), "threshold": 2}, "too_few_sites"),
        ({"threshold": 2}, "too_few_sites"),
        ({"threshold": 5}, "too_few_sites"),
        ({"sites": (*names(4), "bank:x", "bank:y"), "threshold": 4}, "policy"),
    ],
    ids=str,
)
def test_keys_that_could_show_single_sites_are_not_made(changes: dict[str, object], code: str) -> None:
    _, site, _ = site_at("ready")
    before = site.state.dump()
    with pytest.raises(LianmoError) as caught:
        site.answer(replace(OPEN, **changes))
    assert caught.value.code == code
    assert site.state.dump() == before


def contributed() -> tuple[City, m.OpenSum]:
    """A city in which all have contributed, and what would open the sum."""
    city, _, requests = site_at("contributed")
    return city, requests["bank:01"]


def opened_by(city: City, vector: m.OpenSum, numbers: list[bytes]) -> list[int]:
    """What comes of the numbers if the openers help with ``vector``."""
    partials = [dealing.check_points(city.sites[p].answer(vector).points, LENGTH) for p in vector.openers]
    return [elgamal.opened(c, [p[k] for p in partials], 4 * BOUND) for k, c in enumerate(numbers)]


def test_a_coordinator_that_asks_for_one_sites_ciphertext_is_refused_by_all() -> None:
    city, request = contributed()
    for alone in (request.contributions[:1], request.contributions[:2], request.contributions[1:2] * 3):
        for party in request.openers:
            before = city.sites[party].contributor.state.dump()
            with pytest.raises(LocalProtocolError) as caught:
                city.sites[party].answer(replace(request, contributions=alone))
            assert caught.value.code in ("too_few_sites", "bad_value")
            assert city.sites[party].contributor.state.dump() == before


def test_randomness_put_in_the_place_of_anothers_is_noticed() -> None:
    """The coordinator calls one site's points those of all."""
    city, request = contributed()
    one = request.contributions[0]
    forged = tuple((party, *one[1:]) for party, *_ in request.contributions)
    with pytest.raises(RemoteProtocolError) as caught:
        city.sites["bank:01"].answer(replace(request, contributions=forged))
    assert (caught.value.party, caught.value.code) == ("bank:01", "bad_signature")


def test_two_sums_in_one_turn_are_not_both_opened() -> None:
    """Their difference would be one site's vector."""
    city, request = contributed()
    site = city.sites["bank:01"]
    site.answer(request)
    with pytest.raises(LocalProtocolError, match="another sum in the same turn"):
        site.answer(replace(request, contributions=request.contributions[:3]))
    other = ("bank:01", "bank:02", "bank:03")
    assert len(site.answer(replace(request, openers=other)).points) == 32 * LENGTH  # the same sum, others that open


@pytest.mark.parametrize(
    "changes",
    [
        {"turn": 1},
        {"openers": ("bank:00", "bank:01")},
        {"openers": names(4)},
        {"openers": ("bank:00", "bank:02", "bank:03")},
        {"openers": ("bank:01", "bank:00", "bank:02")},
        {"openers": ("bank:01", "bank:02", "bank:x")},
        {"n_numbers": LENGTH + 3},
        {"n_numbers": 0},
        {"n_numbers": -1},
    ],
    ids=str,
)
def test_a_request_to_open_that_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    city, request = contributed()
    site = city.sites["bank:01"].contributor
    before = site.state.dump()
    with pytest.raises(LianmoError) as caught:
        site.answer(replace(request, **changes))
    assert caught.value.code in ("bad_value", "bad_point")
    assert site.state.dump() == before


def test_no_party_opens_a_ciphertext_by_itself() -> None:
    """Each tries with all it has: the coordinator with every partial of a sum, a site with its share of the keys."""
    city = City(4, "threshold")
    total = city.total()
    assert total.values.tolist() == city.expected(0, city.names)
    vectors = {p: reply for p, _, reply in city.wire.passed if isinstance(reply, Contribution)}
    partials = [reply.points for _, _, reply in city.wire.passed if isinstance(reply, m.Partials)]
    n_points = elgamal.n_blocks(LENGTH, 3)
    for k, party in enumerate(city.names):
        points = dealing.check_points(vectors[party].data, n_points + LENGTH)
        randomness, number = points[0], points[n_points]
        share = city.sites[party].contributor.state.key_shares[:32]
        tries = [
            [data[:32] for data in partials],
            [],
            *([elgamal.partial([share], weight, [randomness], 1)[0]] for weight in (1, *weights([1, 2, 3]))),
        ]
        for guess in tries:
            with pytest.raises(PlaintextOverflow):
                elgamal.opened(number, guess, BOUND)
        assert abs(city.vectors[k][0][0]) <= BOUND  # it would have been found


def test_a_site_whose_points_cancel_the_others_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a coordinator on its side it sends points that leave one victim's randomness as the sum of all.

    The openers would then open the victim's vector. They ask for a proof that it knows its own randomness.
    """
    city = City(4, "threshold")
    requests = city.until(Ask)
    vectors = {party: city.sites[party].answer(request) for party, request in requests.items()}
    numbers = dealing.check_points(vectors["bank:00"].data, 3 + LENGTH)[3:]
    contributions = tuple((p, v.data[:96], v.proof, v.signature) for p, v in vectors.items())
    request = m.OpenSum(turn=0, contributions=contributions, openers=city.names[:3], n_numbers=LENGTH)
    rogue, epoch = "bank:03", city.coordinator._epoch
    points = {p: dealing.check_points(data, 3) for p, data, _, _ in request.contributions}
    own = [
        bytes(rbcl.crypto_core_ristretto255_sub(bytes(32), dealing.total(pair)))
        for pair in zip(points["bank:01"], points["bank:02"], strict=True)
    ]
    data = b"".join(own)
    signature = city.signings[rogue].sign(contribution_statement("international", epoch, 0, rogue, data))
    proof = dealing.prove([dealing.scalar(random_scalar()) for _ in own], own, randomness_context(epoch, 0, rogue))
    attack = replace(request, contributions=(*request.contributions[:3], (rogue, data, proof, signature)))
    with pytest.raises(RemoteProtocolError) as caught:
        city.sites["bank:01"].answer(attack)
    assert (caught.value.party, caught.value.code) == (rogue, "bad_point")
    # Were it believed:
    monkeypatch.setattr(site_module, "is_proven", lambda *_: True)
    assert opened_by(city, attack, numbers) == city.expected(0, ["bank:00"])


@pytest.mark.parametrize("what", ["key", "commitments", "proof"])
def test_commitments_that_were_exchanged_are_noticed(what: str) -> None:
    city, _, requests = site_at("opened")
    entries = [list(entry) for entry in requests["bank:01"].sites]
    place = {"key": 1, "commitments": 2, "proof": 3}[what]
    entries[2][place] = entries[3][place]
    with pytest.raises(RemoteProtocolError) as caught:
        city.sites["bank:01"].answer(m.AllCommitted(sites=tuple(map(tuple, entries))))
    assert (caught.value.party, caught.value.code) == ("bank:02", "bad_signature")


@pytest.mark.parametrize("what", ["points", "proof", "too_few"])
def test_a_site_that_commits_to_what_it_does_not_know_is_named(what: str) -> None:
    city = City(4, "threshold")
    honest = city.sites["bank:02"]

    class Liar:
        contributor = honest.contributor

        def answer(self, request: Message) -> Message:
            reply = honest.answer(request)
            if not isinstance(reply, m.Committed):
                return reply
            changed = {
                "points": {"commitments": b"\xff" * len(reply.commitments)},
                "too_few": {"commitments": reply.commitments[:-32]},
                "proof": {"proof": reply.proof[:32] + dealing.scalar(7)},
            }[what]
            reply = replace(reply, **changed)
            signed = committed_statement(
                "international", request, "bank:02", reply.sealing_key, reply.commitments, reply.proof
            )
            return replace(reply, signature=city.signings["bank:02"].sign(signed))

    city.sites["bank:02"] = Liar()
    with pytest.raises(Refused) as caught:
        city.total()
    assert caught.value.code == "bad_point"


def test_a_share_that_is_none_of_the_secret_is_noticed() -> None:
    city = City(4, "threshold")
    liar = city.sites["bank:02"].contributor
    requests = city.until(m.AllCommitted)
    liar.state.polynomials = bytes(32) + liar.state.polynomials[32:]
    dealt = {party: dict(city.sites[party].answer(request).shares) for party, request in requests.items()}
    delivery = m.Deliver(shares=tuple((p, to["bank:01"]) for p, to in dealt.items() if p != "bank:01"))
    with pytest.raises(RemoteProtocolError) as caught:
        city.sites["bank:01"].answer(delivery)
    assert (caught.value.party, caught.value.code) == ("bank:02", "bad_value")


def test_sites_that_were_told_of_different_dealers_do_not_confirm() -> None:
    city, _, requests = site_at("dealt")
    without = {p: replace(r, shares=tuple(s for s in r.shares if s[0] != "bank:03")) for p, r in requests.items()}
    signatures = tuple(
        (p, city.sites[p].answer(without[p] if p == "bank:00" else requests[p]).signature) for p in city.names[:3]
    )
    with pytest.raises(RemoteProtocolError) as caught:
        city.sites["bank:01"].answer(m.Confirm(signatures=signatures))
    assert (caught.value.party, caught.value.code) == ("bank:00", "bad_signature")


def test_a_false_partial_loses_the_sum_and_shows_nothing() -> None:
    city = City(4, "threshold")
    honest = city.sites["bank:02"]

    class Liar:
        contributor = honest.contributor

        def answer(self, request: Message) -> Message:
            reply = honest.answer(request)
            return (
                replace(reply, points=reply.points[32:] + reply.points[:32]) if isinstance(reply, m.Partials) else reply
            )

    city.sites["bank:02"] = Liar()
    with pytest.raises(PlaintextOverflow, match="falsely"):
        city.total()


def test_what_travels_is_not_repeated() -> None:
    """Equal vectors in every turn, from all sites: no point occurs twice."""
    city = City(3, "threshold")
    for site in city.sites.values():
        site.vectors = [np.full(LENGTH, 5, dtype=np.int64)] * 3
    for _ in range(3):
        assert city.total().values.tolist() == [15] * LENGTH
    sent = b"".join(reply.data for _, _, reply in city.wire.passed if isinstance(reply, Contribution))
    points = [sent[k : k + 32] for k in range(0, len(sent), 32)]
    assert len(points) == len(set(points)) == 3 * 3 * (LENGTH + 3)


def test_invalid_points_never_reach_the_library() -> None:
    """It would add them up without a word."""
    city, request = contributed()
    epoch = city.coordinator._epoch
    data = b"\xff" * 96
    signed = contribution_statement("international", epoch, 0, "bank:03", data)
    forged = ("bank:03", data, bytes(64), city.signings["bank:03"].sign(signed))
    with pytest.raises(RemoteProtocolError) as caught:
        city.sites["bank:01"].answer(replace(request, contributions=(*request.contributions[:3], forged)))
    assert (caught.value.party, caught.value.code) == ("bank:03", "bad_point")
    with pytest.raises(InvalidPoint):
        dealing.check_points(data, 3)
