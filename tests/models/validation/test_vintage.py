"""Cumulative default rates per cohort: a table made by hand, and a count loan by loan."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DataError
from models.validation.vintage import VintageCell, vintage_triangle

NEVER = np.inf


def test_a_table_made_by_hand() -> None:
    """Cohort 0: four loans seen for 12 months, defaults after 2 and 7. Cohort 1: three, of which one was seen for 3
    months only; default after 5 months of one that was seen for 6."""
    cohort = [0, 0, 0, 0, 1, 1, 1]
    default = [2, 7, NEVER, NEVER, 5, NEVER, NEVER]
    observed = [12, 12, 12, 12, 6, 6, 3]
    assert vintage_triangle(cohort, 2, default, observed, (3, 6, 9)) == (
        (VintageCell(4, 0.25, True), VintageCell(4, 0.25, True), VintageCell(4, 0.5, True)),
        (VintageCell(3, 0.0, True), VintageCell(2, 0.5, False), None),
    )


loans = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 40), st.one_of(st.none(), st.integers(0, 40))), min_size=1, max_size=60
)


@given(loans, st.integers(1, 8))
def test_every_cell_counts_what_was_seen_for_so_long(drawn: list[tuple[int, int, int | None]], minimum: int) -> None:
    rows = [(c, seen, d if d is not None and d <= seen else None) for c, seen, d in drawn]
    months = (1, 6, 12, 24)
    found = vintage_triangle(
        [c for c, _, _ in rows], 4, [NEVER if d is None else d for _, _, d in rows], [s for _, s, _ in rows], months,
        minimum=minimum,
    )  # fmt: skip
    for c in range(4):
        for k, month in enumerate(months):
            old = [d for own, seen, d in rows if own == c and seen >= month]
            cell = found[c][k]
            if not old:
                assert cell is None
                continue
            assert cell
            assert cell.mature == (len(old) == sum(own == c for own, _, _ in rows))
            if len(old) < minimum:
                assert (cell.n_rows, cell.default_rate) == (None, None)
            else:
                rate = sum(d is not None and d <= month for d in old) / len(old)
                assert (cell.n_rows, cell.default_rate) == (len(old), pytest.approx(rate))


@pytest.mark.parametrize(
    ("default", "observed"), [([5.0], [4.0]), ([-1.0], [4.0]), ([np.nan], [4.0]), ([1.0, 2.0], [4.0])]
)
def test_months_that_cannot_be_are_refused(default: list[float], observed: list[float]) -> None:
    with pytest.raises(DataError) as caught:
        vintage_triangle([0], 1, default, observed, (1,))
    assert caught.value.code == "bad_months"
