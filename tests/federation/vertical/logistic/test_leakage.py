"""Sniffing the wire of an encrypted joint fit, every byte of it, for what must never be there."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import pytest

from federation.codec import decode
from federation.policy import HostPolicy
from federation.vertical.logistic.guest import FittedScorecard
from federation.vertical.logistic.layout import FACTOR_FRACTION, MARGIN_FRACTION, VALUE_FRACTION, fixed
from federation.vertical.logistic.messages import Blocks, Derivatives
from models.losses import default_probability
from models.scorecard.card import woe_of
from tests.conftest import Key
from tests.federation.test_leakage import Recording, numbers_as_bytes
from tests.federation.vertical.logistic.scorecards import Session, three_parties


@dataclass
class Sniffed:
    session: Session
    fitted: FittedScorecard
    frames: Recording

    @property
    def bytes(self) -> bytes:
        return self.frames.all


def sniff(session: Session) -> Sniffed:
    frames = Recording(session.wire())
    return Sniffed(session, session.fit(frames), frames)


@pytest.fixture(scope="module")
def sniffed(short_keys: Key) -> Sniffed:
    tables, label = three_parties(300)
    return sniff(
        Session(tables, label, 240, cipher=short_keys.secret, policy=HostPolicy(5, min_rows=1, cipher=short_keys.rules))
    )


def labels(s: Sniffed) -> list[bytes]:
    vectors = [s.session.label, s.session.label[: s.session.n_fit], 1 - s.session.label]
    return [n[:48] for v in vectors for n in numbers_as_bytes(v)]


def one_by_one(values: np.ndarray, *fractions: int) -> list[bytes]:
    """Single numbers, as floats and as fixed-point integers, in both byte orders."""
    found = []
    for value in np.unique(values[np.abs(values) > 1e-6]).tolist():
        found += [struct.pack(f, value) for f in ("<d", ">d")]
        found += [struct.pack(f, int(fixed(np.array(value), n))) for n in fractions for f in ("<q", ">q")]
    return found


def residuals(s: Sniffed) -> list[bytes]:
    p = default_probability(s.fitted.margin[: s.session.n_fit])
    y = s.session.label[: s.session.n_fit]
    return one_by_one(np.concatenate([p - y, p * (1 - p)]), VALUE_FRACTION)


def woe(s: Sniffed) -> list[bytes]:
    of_bins = [w for party in s.session.features for f in party for w in f.bins.woe]
    columns = s.session.pooled().T
    return one_by_one(np.array(of_bins), FACTOR_FRACTION, MARGIN_FRACTION) + [
        n[:48] for c in columns for n in numbers_as_bytes(c)
    ]


def partial_margins(s: Sniffed) -> list[bytes]:
    """Of single hosts: masks hide them."""
    parts = [
        woe_of(s.session.features[k], s.session.tables[k]) @ np.array([c.value for c in s.fitted.of_hosts[f"host:{k}"]])
        for k in (1, 2)
    ]
    return one_by_one(np.concatenate(parts), MARGIN_FRACTION)


def own_coefficients(s: Sniffed) -> list[bytes]:
    return one_by_one(np.array([c.value for c in (s.fitted.intercept, *s.fitted.own)]), MARGIN_FRACTION, 32)


def cut_points(s: Sniffed) -> list[bytes]:
    edges = [e for party in s.session.features for f in party for e in f.prebins.bins.edges]
    return [n for e in edges for n in (struct.pack("<d", e), struct.pack(">d", e), repr(e).encode())]


def names(s: Sniffed) -> list[bytes]:
    texts = [f.name for party in s.session.features for f in party] + ["clerk", "nurse", "pilot"]
    return [t.encode(e) for t in texts for e in ("utf-8", "utf-16-le", "gb18030")]


def identifiers(s: Sniffed) -> list[bytes]:
    return [i.encode() for i in s.session.tables[0].ids]


NEEDLES = [labels, residuals, woe, partial_margins, own_coefficients, cut_points, names, identifiers]


@pytest.mark.parametrize("needles", NEEDLES, ids=lambda f: f.__name__)
def test_nothing_private_passes_in_either_direction(sniffed: Sniffed, needles: object) -> None:
    found = needles(sniffed)
    assert found
    assert all(len(n) >= 4 for n in found)
    assert [n for n in found if n in sniffed.bytes] == []


def test_the_search_finds_what_it_looks_for(sniffed: Sniffed) -> None:
    """An unencrypted fit with one host shows residuals and margins; other leaks are planted."""
    tables, label = three_parties(300)
    plain = sniff(Session(tables[:2], label, 240))
    # In a packed plaintext a residual is the lowest slot; its lowest eight bytes are those of a 64-bit integer.
    assert [n for n in residuals(plain) if n in plain.bytes]
    part = woe_of(plain.session.features[1], tables[1]) @ np.array([c.value for c in plain.fitted.of_hosts["host:1"]])
    assert [n for n in one_by_one(part, MARGIN_FRACTION) if n in plain.bytes]
    for needles, leak in (
        (labels, bytes(int(v) for v in label)),
        (woe, struct.pack("<d", sniffed.session.features[1][0].bins.woe[0])),
        (own_coefficients, struct.pack("<d", sniffed.fitted.own[0].value)),
        (cut_points, struct.pack("<d", sniffed.session.features[1][0].prebins.bins.edges[0])),
        (names, b'{"feature": "tax_paid_2023"}'),
        (identifiers, b"ID-3301-000007"),
    ):
        assert [n for n in needles(sniffed) if n in b"\x93\x01" + leak + b"\x00"], needles.__name__


def test_no_ciphertext_occurs_twice(sniffed: Sniffed) -> None:
    frames = [decode(f, "any") for f in (*sniffed.frames.asked, *sniffed.frames.told)]
    size = sniffed.session.cipher().public.ciphertext_bytes
    rows = [m.ciphertexts for m in frames if isinstance(m, Derivatives)][::2]  # the same to both hosts
    sums = [m.ciphertexts for m in frames if isinstance(m, Blocks)]
    pieces = [data[k : k + size] for data in (*rows, *sums) for k in range(0, len(data), size)]
    assert len(pieces) > 1000
    assert len(set(pieces)) == len(pieces)


def test_derivatives_have_one_length_whatever_their_values(sniffed: Sniffed) -> None:
    lengths = {len(f) for f in sniffed.frames.asked if isinstance(decode(f, "any"), Derivatives)}
    assert len(lengths) <= 2  # the round's number may take one byte more
