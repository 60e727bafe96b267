"""Shamir's shares: the vectors of RFC 9591, any t of n, and nothing from t - 1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.ciphers.shamir import ORDER, combine, polynomial, share, value, weights

# RFC 9591 appendix E.3, FROST(ristretto255, SHA-512): scalars are little-endian.
SECRET = "1b25a55e463cfd15cf14a5d3acc3d15053f08da49c8afcf3ab265f2ebc4f970b"
COEFFICIENT = "410f8b744b19325891d73736923525a4f596c805d060dfb9c98009d34e3fec02"
SHARES = {
    1: "5c3430d391552f6e60ecdc093ff9f6f4488756aa6cebdbad75a768010b8f830e",
    2: "b06fc5eac20b4f6e1b271d9df2343d843e1e1fb03c4cbb673f2872d459ce6f01",
    3: "f17e505f0e2581c6acfe54d3846a622834b5e7b50cad9a2109a97ba7a80d5c04",
}


def scalar(text: str) -> int:
    return int.from_bytes(bytes.fromhex(text), "little")


@pytest.mark.parametrize("holder", SHARES)
def test_shares_are_those_of_the_standard(holder: int) -> None:
    assert value([scalar(SECRET), scalar(COEFFICIENT)], holder) == scalar(SHARES[holder])


@pytest.mark.parametrize("holders", [(1, 2), (1, 3), (3, 2), (1, 2, 3)], ids=str)
def test_any_two_give_the_secret_of_the_standard(holders: tuple[int, ...]) -> None:
    assert combine({h: scalar(SHARES[h]) for h in holders}) == scalar(SECRET)


def test_weights_are_those_of_the_example_in_the_literature() -> None:
    """Through (1, y1) and (3, y3) the value at 0 is (3 y1 - y3) / 2."""
    assert weights([1, 3]) == [3 * pow(2, -1, ORDER) % ORDER, -pow(2, -1, ORDER) % ORDER]


@given(st.data())
def test_any_threshold_of_holders_give_it_back_and_fewer_do_not(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 9))
    t = data.draw(st.integers(1, n))
    secret = data.draw(st.integers(0, ORDER - 1))
    shares = dict(zip(range(1, n + 1), share(secret, t, range(1, n + 1)), strict=True))
    some = data.draw(st.permutations(sorted(shares)))
    assert combine({h: shares[h] for h in some[:t]}) == secret
    if t > 1:  # the chance of a hit is 2**-252
        assert combine({h: shares[h] for h in some[: t - 1]}) != secret


def test_fewer_shares_fit_every_secret() -> None:
    """For t - 1 shares and any secret there is one polynomial: they say nothing."""
    two = {1: 111, 2: 222}
    for secret in (0, 1, ORDER - 1):
        points = {**two, 3: None}
        a, b, c = weights([1, 2, 3])
        points[3] = (secret - a * 111 - b * 222) * pow(c, -1, ORDER) % ORDER
        assert combine(points) == secret


def test_coefficients_are_fresh() -> None:
    assert len({c for _ in range(20) for c in polynomial(5, 3)[1:]}) == 40
    assert polynomial(5, 1) == [5]


@pytest.mark.parametrize("holders", [[1, 1], [0, 1]])
def test_holders_that_cannot_be_are_refused(holders: list[int]) -> None:
    with pytest.raises(ValueError):
        weights(holders)
