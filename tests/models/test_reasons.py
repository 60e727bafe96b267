"""What may stand in our pages, and which reasons are told first."""

from __future__ import annotations

import pytest

from models.reasons import MOST_LETTERS, Player, fit_to_show, strongest
from tests.builders import numbers


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        (("Arrears of tax", "欠税"), True),
        (("", ""), True),
        (("x" * MOST_LETTERS, ""), True),
        (("x" * (MOST_LETTERS + 1), ""), False),
        (("two\nlines", ""), False),
        (("", "\u202e税"), False),
        (("=1+1", ""), False),
        (("", "@SUM(A1)"), False),
    ],
)
def test_words_of_another_party_are_short_plain_text(words: tuple[str, str], fits: bool) -> None:
    assert fit_to_show(words) is fits


def test_only_what_raises_the_risk_is_a_reason_and_ties_keep_their_order() -> None:
    players = [Player("bank", name) for name in "abcd"]
    told = strongest(players, numbers(0.2, -1.0, 0.5, 0.2), 3)
    assert [(r.player.feature, r.contribution) for r in told] == [("c", 0.5), ("a", 0.2), ("d", 0.2)]
    assert strongest(players, numbers(0.0, -1.0, -0.5, 0.0), 3) == ()
