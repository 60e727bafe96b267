"""RFC 9497 by its own vectors, and points that must not enter."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rbcl
from hypothesis import given
from hypothesis import strategies as st

from federation.ciphers import oprf
from federation.ciphers.oprf import InvalidPoint
from tests.vectors.regenerate import FOLDER

RFC = json.loads((FOLDER / "oprf_ristretto255.json").read_text())
KEY = bytes.fromhex(RFC["secret_key"])

#: Not elements, from RFC 9496, appendix A.2 (not canonical, negative, not on the curve), and the identity.
BAD_POINTS = {
    "identity": bytes(32),
    "non-canonical ff": bytes.fromhex("00" + "ff" * 31),
    "non-canonical p": bytes.fromhex("ed" + "ff" * 30 + "7f"),
    "non-canonical p+1": bytes.fromhex("ee" + "ff" * 30 + "7f"),
    "negative": bytes.fromhex("01" + "00" * 31),
    "negative 2": bytes.fromhex("01" + "ff" * 30 + "7f"),
    "no square": bytes.fromhex("26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371"),
    "short": bytes(31),
    "long": bytes(33),
    "empty": b"",
}


@pytest.mark.parametrize("vector", RFC["vectors"], ids=lambda v: v["input"])
def test_vectors_of_the_rfc(vector: dict[str, Any]) -> None:
    data, scalar, blinded, evaluated, output = (
        bytes.fromhex(vector[k]) for k in ("input", "blind", "blinded_element", "evaluation_element", "output")
    )
    assert oprf.blind(data, scalar) == (scalar, blinded)
    assert oprf.evaluate(KEY, blinded) == evaluated
    assert oprf.finalize(data, scalar, evaluated) == output
    assert oprf.evaluate_own(KEY, data) == output


@given(st.binary(max_size=200))
def test_both_ways_to_an_output_agree(data: bytes) -> None:
    key = oprf.generate_key()
    scalar, point = oprf.blind(data)
    assert oprf.finalize(data, scalar, oprf.evaluate(key, point)) == oprf.evaluate_own(key, data)


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_inverses_of_many_are_those_of_each(n: int) -> None:
    scalars = [oprf.generate_key() for _ in range(n)]
    assert oprf.inverses(scalars) == [rbcl.crypto_core_ristretto255_scalar_invert(s) for s in scalars]


def test_blinding_the_same_input_twice_shows_nothing() -> None:
    assert len({oprf.blind(b"330102199001011234")[1] for _ in range(50)}) == 50


def test_outputs_depend_on_key_and_input() -> None:
    keys = [oprf.generate_key(), oprf.generate_key()]
    assert len({oprf.evaluate_own(key, data) for key in keys for data in (b"a", b"b")}) == 4


@pytest.mark.parametrize("name", BAD_POINTS)
def test_bad_points_are_refused_on_both_sides(name: str) -> None:
    with pytest.raises(InvalidPoint):
        oprf.evaluate(KEY, BAD_POINTS[name])
    with pytest.raises(InvalidPoint):
        oprf.finalize(b"x", oprf.generate_key(), BAD_POINTS[name])


def test_the_error_holds_no_bytes_of_the_point() -> None:
    with pytest.raises(InvalidPoint) as caught:
        oprf.check_point(BAD_POINTS["no square"])
    assert caught.value.code == "bad_point"
    assert "26948d35" not in str(caught.value)
