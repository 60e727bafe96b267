"""Shared ElGamal: keys nobody holds, sums that a threshold opens, and nothing that fewer do."""

from __future__ import annotations

import pytest
import rbcl
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.ciphers import dealing, elgamal
from federation.ciphers.oprf import InvalidPoint
from federation.ciphers.shamir import ORDER, polynomial, random_scalar, value, weights
from federation.errors import PlaintextOverflow
from tests.federation.ciphers.test_shamir import COEFFICIENT, SECRET, SHARES, scalar

# RFC 9591 appendix E.3 and RFC 9496 appendix A.1
GROUP_PUBLIC_KEY = "e2a62f39eede11269e3bd5a7d97554f5ca384f9f6d3dd9c3c0d05083c7254f57"
MULTIPLES = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
    "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
    "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
    "da80862773358b466ffadfe0b3293ab3d9fd53c5ea6c955358f568322daf6a57",
    "e882b131016b52c1d3337080187cf768423efccbb517bb495ab812c4160ff44e",
)


def dealt(n: int, t: int, n_keys: int = 1) -> tuple[list[bytes], list[list[bytes]]]:
    """(public keys, shares of each party per key), as n parties would make them."""
    publics, shares = [], [[] for _ in range(n)]
    for _ in range(n_keys):
        dealers = [polynomial(1 + value(polynomial(5, 2), 3), t) for _ in range(n)]
        points = [dealing.check_points(dealing.commitments(c), t) for c in dealers]
        publics.append(dealing.total([p[0] for p in points]))
        for k in range(n):
            shares[k].append(dealing.scalar(sum(value(c, k + 1) for c in dealers) % ORDER))
    return publics, shares


def test_commitments_and_shares_are_those_of_the_standard() -> None:
    points = dealing.check_points(dealing.commitments([scalar(SECRET), scalar(COEFFICIENT)]), 2)
    assert points[0].hex() == GROUP_PUBLIC_KEY
    for holder, share in SHARES.items():
        assert dealing.is_dealt(points, holder, bytes.fromhex(share))
        assert not dealing.is_dealt(points, holder % 3 + 1, bytes.fromhex(share))
    assert not dealing.is_dealt(points, 1, bytes(32))


def test_the_first_multiples_are_those_of_the_standard() -> None:
    for m, text in enumerate(MULTIPLES):
        assert elgamal.logarithm(bytes.fromhex(text), 10) == m
    minus = rbcl.crypto_core_ristretto255_sub(bytes(32), bytes.fromhex(MULTIPLES[3]))
    assert elgamal.logarithm(minus, 3) == -3


@settings(max_examples=30)
@given(st.integers(-(2**21), 2**21))
def test_logarithms_are_found(m: int) -> None:
    point = rbcl.crypto_scalarmult_ristretto255_base_allow_scalar_zero(dealing.scalar(m % ORDER))
    assert elgamal.logarithm(point, 2**21) == m
    if m:
        with pytest.raises(PlaintextOverflow):
            elgamal.logarithm(point, abs(m) - 1)


@settings(max_examples=15)
@given(st.data())
def test_any_threshold_opens_the_sum_of_vectors(data: st.DataObject) -> None:
    n = data.draw(st.integers(3, 6))
    t = data.draw(st.integers(2, n))
    n_keys, length = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 7))
    rows = data.draw(
        st.lists(st.lists(st.integers(-9000, 9000), min_size=length, max_size=length), min_size=2, max_size=3)
    )
    keys, shares = dealt(n, t, n_keys)
    total, _ = elgamal.encrypt(keys, rows[0])
    for row in rows[1:]:
        other, _ = elgamal.encrypt(keys, row)
        total = elgamal.Ciphertexts(
            elgamal.added(total.randomness, other.randomness), elgamal.added(total.numbers, other.numbers)
        )
    helpers = data.draw(st.permutations(range(n)))[:t]
    counts = weights([k + 1 for k in helpers])
    partials = [
        elgamal.partial(shares[k], count, total.randomness, length) for k, count in zip(helpers, counts, strict=True)
    ]
    bound = 9000 * len(rows)
    found = [elgamal.opened(c, [p[k] for p in partials], bound) for k, c in enumerate(total.numbers)]
    assert found == [sum(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("n_helpers", [0, 1, 2])
def test_fewer_than_the_threshold_open_nothing(n_helpers: int) -> None:
    """They try: with their shares weighted as if they were enough."""
    keys, shares = dealt(5, 3)
    c, _ = elgamal.encrypt(keys, [7])
    counts = weights(range(1, n_helpers + 1))
    partials = [elgamal.partial(shares[k], counts[k], c.randomness, 1)[0] for k in range(n_helpers)]
    with pytest.raises(PlaintextOverflow):
        elgamal.opened(c.numbers[0], partials, 1000)


def test_equal_numbers_under_two_keys_and_twice_under_one_are_unequal_ciphertexts() -> None:
    keys, _ = dealt(3, 2, n_keys=2)
    c, _ = elgamal.encrypt(keys, [5, 5, 5, 5])
    assert len(c.randomness) == 2
    assert len({*c.numbers, *c.randomness}) == 6


@pytest.mark.parametrize("m", [elgamal.MOST + 1, -elgamal.MOST - 1])
def test_large_numbers_are_refused(m: int) -> None:
    keys, _ = dealt(3, 2)
    with pytest.raises(PlaintextOverflow):
        elgamal.encrypt(keys, [m])


@pytest.mark.parametrize("n", [1, 2, 5])
def test_possession_is_proven_of_all_of_them_and_for_its_context_only(n: int) -> None:
    secrets = [dealing.scalar(random_scalar()) for _ in range(n)]
    publics = [bytes(rbcl.crypto_scalarmult_ristretto255_base(x)) for x in secrets]
    proof = dealing.prove(secrets, publics, b"a")
    assert dealing.is_proven(publics, proof, b"a")
    assert not dealing.is_proven(publics, proof, b"b")
    for k in range(n):
        other = [*publics[:k], bytes.fromhex(MULTIPLES[2]), *publics[k + 1 :]]
        assert not dealing.is_proven(other, proof, b"a")
        lie = dealing.prove([*secrets[:k], dealing.scalar(7), *secrets[k + 1 :]], publics, b"a")
        assert not dealing.is_proven(publics, lie, b"a")
    for wrong in (b"", bytes(64), proof[:-1], proof[:32] + b"\xff" * 32, b"\xff" * 32 + proof[32:]):
        assert not dealing.is_proven(publics, wrong, b"a")


def test_one_secret_is_proven_as_frost_has_it() -> None:
    """Komlo & Goldberg 2020, figure 1, step 5: R = zG - c·public."""
    [public], context = [bytes.fromhex(MULTIPLES[5])], b"context"
    proof = dealing.prove([dealing.scalar(5)], [public], context)
    c = int.from_bytes(dealing._challenge(context, [public], proof[:32]), "little")
    left = rbcl.crypto_scalarmult_ristretto255_base(proof[32:])
    right = rbcl.crypto_scalarmult_ristretto255(dealing.scalar(c), public)
    assert rbcl.crypto_core_ristretto255_sub(left, right) == proof[:32]


def test_a_key_chosen_to_cancel_the_others_cannot_be_proven() -> None:
    """The last to commit sends its own key minus the sum of the others', and would hold the sum's secret."""
    own = dealing.scalar(12345)
    others = dealing.total([bytes.fromhex(MULTIPLES[2]), bytes.fromhex(MULTIPLES[3])])
    mine = bytes(rbcl.crypto_scalarmult_ristretto255_base(own))
    rogue = bytes(rbcl.crypto_core_ristretto255_sub(mine, others))
    assert dealing.total([others, rogue]) == mine
    assert not dealing.is_proven([rogue], dealing.prove([own], [rogue], b"c"), b"c")


@pytest.mark.parametrize("data", [bytes(32), b"\xff" * 32, bytes(31), b"", bytes(64)], ids=len)
def test_what_is_no_point_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidPoint):
        dealing.check_points(data, 1)
