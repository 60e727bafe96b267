"""Products between two hosts: right sums, and nothing but them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.codec import decode
from federation.errors import RemoteProtocolError
from federation.messages import Message
from federation.vertical.logistic import masks, pairing
from federation.vertical.logistic.messages import Pair, Paired, Veil, Veiled
from federation.vertical.logistic.products import (
    MOST_EXPONENT,
    Ring,
    drawn,
    exponent_of,
    factors,
    fraction_for,
    from_bytes,
    signed,
    summed,
    to_bytes,
)
from models.losses import Floats
from tests.federation.test_leakage import Recording
from tests.federation.vertical.logistic.scorecards import Session, three_parties
from tests.federation.vertical.logistic.test_session import lie, refusal, session


@given(st.integers(1, 60), st.integers(0, 3), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_shares_and_dealt_numbers_leave_the_sum(n: int, p: int, q: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    left, right, weight = rng.uniform(-8, 8, (n, p)), rng.uniform(-3, 3, (n, q)), rng.uniform(0, 0.25, n)
    fraction, exponents = fraction_for(n), (exponent_of(left), exponent_of(right))
    share = rng.integers(0, 2**64, n, dtype=np.uint64)
    other = np.rint(np.ldexp(weight, fraction)).astype(np.uint64) - share
    a = factors(left, share, exponents[0], fraction, first=True)
    b = factors(right, other, exponents[1], fraction, first=False)
    u, v = drawn(rng.bytes(32), 2, n, p), drawn(rng.bytes(32), 2, n, q)
    total = summed(a, b - v) + summed(a - u, v) + summed(u, v)
    found = signed(total, fraction, sum(exponents))
    np.testing.assert_allclose(found, left.T @ (right * weight[:, None]), atol=n * 64 * 2.0**-fraction)


@pytest.mark.parametrize("n", [1, 1000, 1_000_000, 50_000_000])
def test_the_largest_sums_have_room(n: int) -> None:
    """As if all rows had the largest WOE on both sides and the largest weight."""
    largest = n * 2 ** (3 * fraction_for(n) - 2)
    assert largest < 2**62
    assert exponent_of(np.array([[16.0, -16.0]])) == MOST_EXPONENT


@given(st.lists(st.integers(0, 2**64 - 1), max_size=8))
def test_numbers_travel_unchanged(values: list[int]) -> None:
    numbers = np.array(values, dtype=np.uint64)
    assert from_bytes(to_bytes(numbers), len(values)).tolist() == values


# -- what passes -------------------------------------------------------------------------------------------------


class Watched:
    """A wire that keeps the first products of both hosts, by host."""

    def __init__(self, s: Session) -> None:
        self.inner, self.seen = s.wire(), {"host:1": {}, "host:2": {}}
        s.fit(self)

    def exchange(self, frames: dict[str, bytes]) -> dict[str, bytes]:
        replies = self.inner.exchange(frames)
        for host in frames:
            for m in (decode(frames[host], host), decode(replies[host], host)):
                self.seen[host].setdefault(type(m), m)
        return dict(replies)


@pytest.fixture
def seen() -> tuple[Session, dict[str, dict[type, Message]]]:
    s = session(3)
    return s, Watched(s).seen


def first(s: Session) -> tuple[str, str]:
    """The two hosts, that which carries the weights in the first product first."""
    return ("host:1", "host:2") if s.hosts["host:1"].state.adds == (True,) else ("host:2", "host:1")


def brought(s: Session, seen: dict[str, dict[type, Message]], host: str) -> Ring:
    """What a host brings to the products of the first round."""
    woe: Floats = s.pooled()[: s.n_fit, {"host:1": [2, 3], "host:2": [4, 5]}[host]]
    share = from_bytes(seen[host][Veil].shares[0], s.n_fit)
    return factors(woe, share, exponent_of(woe), fraction_for(s.n_fit), first=host == first(s)[0])


def test_the_guest_cannot_take_its_numbers_off_what_a_host_veils(seen: tuple) -> None:
    s, messages = seen
    for host in s.hosts:
        shape = (2, s.n_fit, 2)
        veiled = from_bytes(messages[host][Veiled].factors[0], *shape)
        guess = veiled + drawn(messages[host][Veil].seeds[0], *shape)
        assert (guess == brought(s, messages, host)).mean() < 0.01


def test_the_other_host_cannot_take_the_pad_off_and_see_factors(seen: tuple) -> None:
    s, messages = seen
    for host, other in (first(s), first(s)[::-1]):
        use = masks.Use.FACTORS_OF_FIRST if host == first(s)[0] else masks.Use.FACTORS_OF_SECOND
        [key] = s.hosts[other].state.shared
        received = from_bytes(messages[other][Pair].factors[0], 2, s.n_fit, 2)
        guess = received - masks.numbers(key, use, 0, received.size).reshape(received.shape)
        assert (guess == brought(s, messages, host)).mean() < 0.01


def test_one_part_of_the_sums_tells_nothing(seen: tuple) -> None:
    """Without its mask, the first host's part would be its factors times numbers that the guest knows, and the sum."""
    s, messages = seen
    one, two = first(s)
    dealt = drawn(messages[two][Veil].seeds[0], 2, s.n_fit, 2)
    bare = summed(brought(s, messages, one), brought(s, messages, two) - dealt)
    assert not (from_bytes(messages[one][Paired].sums[0], 2, 2) == bare).any()


def test_shares_of_weights_are_random(seen: tuple) -> None:
    """At the start all weights are equal; neither host sees that."""
    s, messages = seen
    shares = [from_bytes(messages[host][Veil].shares[0], s.n_fit) for host in s.hosts]
    assert len(np.unique(np.concatenate(shares))) == 2 * s.n_fit
    assert len(np.unique(shares[0] + shares[1])) == 1


def test_no_pad_and_no_seed_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[tuple[bytes, int, int]] = []
    numbers = masks.numbers

    def watched(key: bytes, use: masks.Use, turn: int, n: int) -> Ring:
        used.append((key, int(use), turn))
        return numbers(key, use, turn, n)

    monkeypatch.setattr(pairing, "numbers", watched)
    monkeypatch.setattr("federation.vertical.logistic.rounds._BATCH_BYTES", 16 * 2 * 100)
    s = session(3)
    wire = Recording(s.wire())
    fitted = s.fit(wire)
    n_batches = 4 * (fitted.n_rounds + 1)
    # Each pad is taken by the host that puts it on and by the one that takes it off.
    assert len(used) == 2 * len(set(used)) == 2 * (2 * n_batches + fitted.n_rounds + 1)
    seeds = [seed for f in wire.asked if isinstance(m := decode(f, "any"), Veil) for seed in m.seeds]
    assert len(seeds) == len(set(seeds)) == 2 * n_batches
    np.testing.assert_array_equal(fitted.margin, session(3).fit().margin)


# -- liars -------------------------------------------------------------------------------------------------------

LIES = {
    "factors of fewer rows": lie(Veiled, factors=lambda m: (m.factors[0][16:],)),
    "factors for nobody": lie(Veiled, factors=()),
    "other rows": lie(Paired, n_rows=lambda m: m.n_rows - 1),
    "no sums": lie(Paired, sums=()),
    "sums of other features": lie(Paired, sums=lambda m: (m.sums[0][8:],)),
}


@pytest.mark.parametrize("what", LIES)
def test_a_host_that_does_not_pair_as_agreed_is_named(what: str) -> None:
    error = refusal(session(3), LIES[what])
    assert isinstance(error, RemoteProtocolError)
    assert error.party == "host:1"


def test_both_are_named_when_products_cannot_be() -> None:
    error = refusal(session(3), lie(Paired, sums=lambda m: tuple(bytes(len(x)) for x in m.sums)))
    assert isinstance(error, RemoteProtocolError)
    assert set(error.party.split(", ")) == {"host:1", "host:2"}


def test_three_hosts_pair_with_each_other() -> None:
    tables, label = three_parties()
    tax = tables[1]
    s = Session([tables[0], *(tax.select((name,)) for name in tax.columns), tables[2]], label, 320)
    np.testing.assert_allclose(s.fit().correlation, np.corrcoef(s.pooled()[:320].T), atol=1e-4)
