"""Masked sums: what a site does not do whatever it is told, and what a coordinator that lies does not get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.ciphers.shamir import combine
from federation.ciphers.words import Words
from federation.errors import LianmoError, LocalProtocolError, PartyId, RemoteProtocolError
from federation.horizontal.aggregation.masking import masks
from federation.horizontal.aggregation.masking import messages as m
from federation.horizontal.aggregation.masking.coordinator import MaskedAggregation
from federation.horizontal.aggregation.masking.site import TRANSITIONS, MaskingSite
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.aggregation.presence import Presence
from federation.messages import Failure, Goodbye, Message
from federation.script import run
from tests.federation.horizontal.sites import (
    BOUND,
    LENGTH,
    SESSION,
    Ask,
    City,
    LosingWire,
    VectorSite,
    names,
    signings,
)

# What a site does not do, whatever the coordinator says


def site_at(phase: str, n: int = 4) -> tuple[City, MaskingSite]:
    """A site of a city that has come as far as that."""
    stop = {"opened": m.AllKeys, "shared": m.Deliver, "ready": Ask, "contributed": m.Contributors, "agreed": m.Unmask}
    city = City(n)
    if phase != "closed":
        city.until(stop[phase])
    return city, city.sites["bank:01"].contributor


OPEN = m.Open(session=SESSION, batch=9, sites=names(4), threshold=3, n_turns=1)
MESSAGES: tuple[Message, ...] = (
    OPEN,
    m.AllKeys(keys=()),
    m.Deliver(shares=()),
    m.Contributors(turn=0, parties=names(4)),
    m.Unmask(turn=0, vouchers=()),
    m.Ready(),
    m.Agreed(vouchers=()),
    m.Unmasked(seeds=b"", keys=b""),
    m.Keys(sealing_key=b"", signature=b""),
    m.SealedShares(shares=(), pair_keys=b""),
    Contribution(turn=0, data=b"", proof=b"", signature=b""),
    Goodbye(code=""),
    Failure(code="policy"),
)


@pytest.mark.parametrize("phase", ["closed", "opened", "shared", "ready", "contributed", "agreed"])
@pytest.mark.parametrize("message", MESSAGES, ids=lambda x: x.kind)
def test_every_state_meets_every_message(phase: str, message: Message) -> None:
    _, site = site_at(phase)
    assert site.state.phase == phase
    before = site.state.dump()
    if (phase, type(message)) not in TRANSITIONS:
        with pytest.raises(LocalProtocolError) as caught:
            site.answer(message)
        assert caught.value.code == "out_of_turn"
        assert site.state.dump() == before
    elif isinstance(message, m.Open | m.Contributors):
        site.answer(message)
        assert site.state.phase == TRANSITIONS[phase, type(message)]
    else:  # accepted here, but without its content
        with pytest.raises(LocalProtocolError) as caught:
            site.answer(message)
        assert caught.value.code in ("bad_value", "too_few_sites")
        assert site.state.dump() == before


@pytest.mark.parametrize("phase", ["closed", "opened", "shared", "contributed", "agreed"])
def test_a_vector_is_masked_once_and_when_it_is_due(phase: str) -> None:
    """Twice under the same masks would show the difference of two vectors."""
    _, site = site_at(phase)
    with pytest.raises(LocalProtocolError) as caught:
        site.contribute(np.zeros(3, dtype=np.int64), 5)
    assert caught.value.code == "out_of_turn"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"session": "another"}, "bad_value"),
        ({"batch": -1}, "bad_value"),
        ({"n_turns": 0}, "bad_value"),
        ({"n_turns": 2**40}, "bad_value"),
        ({"sites": ("bank:01", "bank:00", "bank:02")}, "bad_value"),
        ({"sites": ("bank:00", "bank:01", "bank:01", "bank:02")}, "bad_value"),
        ({"sites": ("bank:00", "bank:02", "bank:03")}, "bad_value"),
        ({"sites": ("bank:00", "bank:01"), "threshold": 2}, "too_few_sites"),
        ({"threshold": 2}, "too_few_sites"),
        ({"threshold": 5}, "too_few_sites"),
        ({"sites": (*names(4), "bank:x", "bank:y"), "threshold": 4}, "policy"),
    ],
    ids=str,
)
def test_a_batch_that_could_show_single_sites_is_refused(changes: dict[str, object], code: str) -> None:
    _, site = site_at("ready")
    before = site.state.dump()
    with pytest.raises(LianmoError) as caught:
        site.answer(replace(OPEN, **changes))
    assert caught.value.code == code
    assert site.state.dump() == before


def test_half_of_the_sites_are_no_threshold() -> None:
    """With four of eight, one half could give away a site's seed and the other half its masks."""
    site = MaskingSite("bank:01", SESSION, signings(8)["bank:01"])
    with pytest.raises(LocalProtocolError, match="more than half"):
        site.answer(replace(OPEN, sites=names(8), threshold=4))
    site.answer(replace(OPEN, sites=names(8), threshold=5))


def vouchers_for(city: City, told: Mapping[PartyId, tuple[PartyId, ...]]) -> dict[PartyId, dict[PartyId, bytes]]:
    """Tell each site its contributors of turn 0: receiver → who vouches for that to it, and how."""
    found: dict[PartyId, dict[PartyId, bytes]] = {party: {} for party in city.names}
    for sender, parties in told.items():
        for receiver, mac in city.sites[sender].answer(m.Contributors(turn=0, parties=parties)).vouchers:
            found[receiver][sender] = mac
    return found


def test_a_coordinator_that_asks_for_both_secrets_of_a_site_is_refused() -> None:
    """It tells half of them that bank:03 contributed, and half that it left: nobody unmasks anything."""
    city, _ = site_at("contributed", 8)
    rest = tuple(party for party in city.names if party != "bank:03")
    told = {party: rest if k % 2 else city.names for k, party in enumerate(rest)}
    vouchers = vouchers_for(city, told)
    for party, parties in told.items():
        mixed = tuple(sorted((p, mac) for p, mac in vouchers[party].items() if p in parties))
        before = city.sites[party].contributor.state.dump()
        with pytest.raises(RemoteProtocolError) as caught:
            city.sites[party].answer(m.Unmask(turn=0, vouchers=mixed))
        assert caught.value.code == "bad_signature"
        assert told[caught.value.party] != parties
        same = tuple((p, mac) for p, mac in mixed if told[p] == parties)
        with pytest.raises(LocalProtocolError) as few:
            city.sites[party].answer(m.Unmask(turn=0, vouchers=same))  # too few of them for the threshold
        assert few.value.code == "too_few_sites"
        assert city.sites[party].contributor.state.dump() == before


def test_what_one_site_vouches_for_serves_no_other_site_sender_or_turn() -> None:
    city, site = site_at("contributed")
    vouchers = vouchers_for(city, dict.fromkeys(city.names, city.names))
    right = tuple(sorted(vouchers["bank:01"].items()))
    others = dict(vouchers["bank:02"])
    for wrong in (
        (("bank:00", others["bank:00"]), *right[1:]),  # for another
        (("bank:00", vouchers["bank:00"]["bank:01"]), *right[1:]),  # our own, sent back
        (("bank:00", dict(right)["bank:02"]), *right[1:]),  # of another
        (("bank:00", b""), *right[1:]),
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            site.answer(m.Unmask(turn=0, vouchers=wrong))
        assert (caught.value.party, caught.value.code) == ("bank:00", "bad_signature")
    with pytest.raises(LocalProtocolError):
        site.answer(m.Unmask(turn=0, vouchers=(("bank:01", b""), *right[1:])))
    site.answer(m.Unmask(turn=0, vouchers=right))
    site.contribute(city.vectors[1][1], BOUND)
    site.answer(m.Contributors(turn=1, parties=city.names))
    with pytest.raises(RemoteProtocolError):
        site.answer(m.Unmask(turn=1, vouchers=right))


def test_a_site_gives_one_of_two_shares_of_each_site_and_once() -> None:
    city, site = site_at("contributed", 8)
    rest = tuple(party for party in city.names if party != "bank:03")
    vouchers = tuple(sorted(vouchers_for(city, dict.fromkeys(rest, rest))["bank:01"].items()))
    reply = site.answer(m.Unmask(turn=0, vouchers=vouchers))
    assert (len(reply.seeds), len(reply.keys)) == (32 * 7, 32)
    for again in (m.Contributors(turn=0, parties=city.names), m.Unmask(turn=0, vouchers=vouchers)):
        with pytest.raises(LocalProtocolError) as caught:
            site.answer(again)
        assert caught.value.code == "out_of_turn"


def test_contributors_too_few_for_the_threshold_are_not_unmasked() -> None:
    """One vector less each time would be a difference of sums: not below two thirds."""
    city, site = site_at("contributed", 8)
    before = site.state.dump()
    with pytest.raises(LocalProtocolError, match="over 5 sites; 6 are needed"):
        site.answer(m.Contributors(turn=0, parties=city.names[:5]))
    with pytest.raises(LocalProtocolError) as caught:
        site.answer(m.Contributors(turn=1, parties=city.names))
    assert caught.value.code == "bad_value"
    assert site.state.dump() == before


def test_an_exchanged_public_key_is_noticed() -> None:
    """The coordinator puts its own key in the place of a site's."""
    city, _ = site_at("closed")
    keys = city.until(m.AllKeys)["bank:01"].keys
    for field in (1, 2):
        forged = [list(entry) for entry in keys]
        forged[2][field] = forged[3][field]
        with pytest.raises(RemoteProtocolError) as caught:
            city.sites["bank:01"].answer(m.AllKeys(keys=tuple(map(tuple, forged))))
        assert (caught.value.party, caught.value.code) == ("bank:02", "bad_signature")


def test_an_envelope_the_coordinator_made_or_moved_is_noticed() -> None:
    city, _ = site_at("closed")
    requests = city.until(m.Deliver)
    own, others = dict(requests["bank:01"].shares), dict(requests["bank:02"].shares)
    for wrong in (others["bank:03"], bytes(len(own["bank:03"])), own["bank:00"]):
        with pytest.raises(RemoteProtocolError) as caught:
            city.sites["bank:01"].answer(m.Deliver(shares=tuple({**own, "bank:03": wrong}.items())))
        assert (caught.value.party, caught.value.code) == ("bank:03", "bad_value")
    city.sites["bank:01"].answer(requests["bank:01"])


# What the coordinator sees


def test_a_vector_that_came_too_late_stays_closed_though_its_pairwise_masks_are_given_away() -> None:
    """The coordinator tries: it has the vector of a site it counts as gone, and that site's pair seed of the turn."""
    gone = "bank:03"
    city = City(4, loss=lambda count, party, request: "after" if party == gone and isinstance(request, Ask) else "")
    assert city.total().contributors == city.names[:3]
    [(_, late)] = [(party, reply) for party, reply in city.wire.late if isinstance(reply, Contribution)]
    told = {k + 1: reply.keys for k, (_, _, reply) in enumerate(city.wire.passed[-3:])}
    seed = combine({holder: int.from_bytes(keys, "little") for holder, keys in told.items()}).to_bytes(31, "little")
    keys = masks.open_pair_keys(seed, city.coordinator._pair_keys[gone][: masks.sealed_bytes(3)])
    words = Words.for_sum(4, BOUND)
    left = words.load(late.data) - masks.pair_masks(3, dict(enumerate(keys)), LENGTH)
    assert (words.signed(left) != city.vectors[3][0]).sum() >= LENGTH - 1
    # All that is between it and the vector is the own mask, whose seed the sites do not give away of one that left.
    own = masks.own_mask(city.sites[gone].contributor.state.own_seeds[:31], LENGTH)
    assert words.signed(left - own).tolist() == city.vectors[3][0].tolist()


def test_nothing_but_the_sum_is_in_what_passes() -> None:
    city = City(4)
    city.total()
    words = Words.for_sum(4, BOUND)
    seen = [reply for _, _, reply in city.wire.passed if isinstance(reply, Contribution)]
    assert len(seen) == 4
    partial = [words.load(c.data) for c in seen]
    for size in (1, 2, 3):
        some = sum(partial[:size], np.zeros(LENGTH, dtype=np.uint64))
        assert (words.signed(some) != sum(city.vectors[k][0] for k in range(size))).sum() >= LENGTH - 1
    secrets = [
        city.sites[p].contributor.state.own_seeds[31 * k : 31 * k + 31] for p in city.names for k in range(3)
    ] + [city.sites[p].contributor.state.pair_seeds[31 * k : 31 * k + 31] for p in city.names for k in range(3)]
    passed = b"".join(repr(x).encode("latin1", "replace") for x in city.wire.passed)
    assert not [s for s in secrets if repr(s)[2:-1].encode() in passed]


def test_what_is_given_away_of_a_site_that_left_opens_none_of_its_other_sums() -> None:
    """Its pair seed of one turn does not open the keys that the coordinator keeps for another."""
    gone = "bank:03"
    lost: list[PartyId] = []

    def loss(count: int, party: PartyId, request: Message) -> str:
        if party == gone and isinstance(request, Ask):
            lost.append(party)
        return "before" if party == gone and len(lost) > 1 else ""

    city = City(4, loss=loss)
    assert [city.total().contributors for _ in range(2)] == [city.names, city.names[:3]]
    told = {k + 1: reply.keys for k, (_, _, reply) in enumerate(city.wire.passed[-3:])}
    seed = combine({holder: int.from_bytes(keys, "little") for holder, keys in told.items()}).to_bytes(31, "little")
    size, kept = masks.sealed_bytes(3), city.coordinator._pair_keys[gone]
    of_turns = [kept[k : k + size] for k in range(0, len(kept), size)]
    opened = masks.open_pair_keys(seed, of_turns[1])
    state = city.sites[gone].contributor.state
    assert opened == [keys[32:64] for keys in state.pair_keys if keys]
    for other in (of_turns[0], of_turns[2]):
        with pytest.raises(ValueError, match="not sealed"):
            masks.open_pair_keys(seed, other)


def test_keys_of_turns_are_each_of_its_own() -> None:
    _, site = site_at("ready")
    keys = [pair[k : k + 32] for pair in site.state.pair_keys for k in range(0, len(pair), 32)]
    assert len(set(keys)) == len(keys) == 3 * 3


def test_equal_vectors_are_masked_unequally_in_every_turn() -> None:
    city = City(3)
    for site in city.sites.values():
        site.vectors = [np.zeros(LENGTH, dtype=np.int64)] * 3
    for _ in range(3):
        assert city.total().values.tolist() == [0] * LENGTH
    seen = [reply.data for _, _, reply in city.wire.passed if isinstance(reply, Contribution)]
    assert len(set(seen)) == 9


def test_a_false_share_loses_the_sum_and_tells_nothing() -> None:
    lost = "bank:03"
    city = City(4, loss=lambda count, party, request: "before" if party == lost and isinstance(request, Ask) else "")
    honest = city.sites["bank:02"]

    class Liar:
        contributor = honest.contributor

        def answer(self, request: Message) -> Message:
            reply = honest.answer(request)
            return replace(reply, keys=bytes(31) + b"\x01") if isinstance(reply, m.Unmasked) else reply

    city.sites["bank:02"] = Liar()
    with pytest.raises(LocalProtocolError, match="do not fit together"):
        city.total()


@settings(max_examples=25)
@given(
    n=st.integers(3, 6),
    bound=st.integers(0, 2**50),
    length=st.integers(0, 5),
    seed=st.integers(0, 2**32),
)
def test_no_sum_overflows_whatever_the_bound(n: int, bound: int, length: int, seed: int) -> None:
    """Every value at its bound, or any below."""
    rng = np.random.default_rng(seed)
    rows = (
        rng.choice(np.array([-bound, bound]), (n, length)) if seed % 2 else rng.integers(-bound, bound + 1, (n, length))
    )
    known = signings(n)
    sites = {p: VectorSite(MaskingSite(p, SESSION, known[p]), [rows[k]], bound) for k, p in enumerate(names(n))}
    script = MaskedAggregation(SESSION, Presence(names(n)), n_turns=1).total(
        dict.fromkeys(names(n), Ask()), length, bound
    )
    assert run(script, LosingWire(sites)).values.tolist() == rows.sum(axis=0).tolist()
