"""Identifiers have the check characters of the two standards, by another way of computing them, and are nobody's."""

from __future__ import annotations

import re

import numpy as np

from lab.data.synthetic.codes import credit_codes

#: First two digits of region codes in GB/T 2260.
ASSIGNED = {11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52, 53, 54} | {
    61, 62, 63, 64, 65, 71, 81, 82
}  # fmt: skip


def check_of_code(code: str) -> str:
    """GB 32100-2015, annex A, as its table has it: weights written out, 31 less the remainder."""
    values = dict(zip("0123456789ABCDEFGHJKLMNPQRTUWXY", range(31), strict=True))
    weights = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
    value = 31 - sum(w * values[c] for w, c in zip(weights, code[:17], strict=True)) % 31
    return {v: c for c, v in values.items()}[0 if value == 31 else value]


def check_of_organisation(code: str) -> str:
    """GB 11714-1997: letters count from A = 10, 11 less the remainder; 10 is X and 11 is 0."""
    value = 11 - sum(w * int(c, 36) for w, c in zip((3, 7, 9, 10, 5, 8, 4, 2), code[:8], strict=True)) % 11
    return "X" if value == 10 else "0" if value == 11 else str(value)


def codes(n: int) -> list[str]:
    number = np.arange(n)
    return credit_codes(number, number % 3 + 1, number % 10 + 1).astype(str).tolist()


def test_the_oracle_knows_the_example_of_the_standard() -> None:
    assert check_of_code("91350100M000100Y43") == "3"
    assert check_of_organisation("M000100Y4") == "4"


def test_both_check_characters_are_right() -> None:
    for code in codes(3000):
        assert re.fullmatch(r"9[123]3999(0[1-9]|10)MA[0-9A-HJ-NP-RTUWXY]{8}", code)
        assert code[17] == check_of_code(code)
        assert code[16] == check_of_organisation(code[8:17])


def test_all_check_characters_occur() -> None:
    assert {code[17] for code in codes(3000)} == set("0123456789ABCDEFGHJKLMNPQRTUWXY")
    assert {code[16] for code in codes(3000)} == set("0123456789X")


def test_no_real_region_begins_so() -> None:
    assert not {int(code[2:4]) for code in codes(100)} & ASSIGNED


def test_codes_never_repeat() -> None:
    assert len(set(codes(200_000))) == 200_000
