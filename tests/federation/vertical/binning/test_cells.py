"""What is shown together: nothing small, nothing small by subtraction, nothing merged without need."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from federation.vertical.binning.cells import Cells, merge_cells

COUNTS = st.lists(st.one_of(st.just(0), st.integers(0, 12), st.integers(0, 200)), min_size=1, max_size=12)


@given(COUNTS, st.data(), st.integers(0, 15))
def test_every_cell_is_empty_or_reaches_the_floor(counts: list[int], data: st.DataObject, floor: int) -> None:
    assume(sum(counts) >= max(floor, 1))
    n_regular = data.draw(st.integers(0, len(counts)))
    cells = merge_cells(counts, n_regular, floor)
    assert all(n == 0 or n >= floor for n in cells.counts)
    summed = [0] * len(cells.counts)
    for code, cell in enumerate(cells.cell_of):
        summed[cell] += counts[code]
    assert tuple(summed) == cells.counts
    assert sum(cells.counts) == sum(counts)
    firsts = [cells.cell_of.index(cell) for cell in range(len(cells.counts))]
    assert firsts == sorted(firsts)
    assert cells.n_regular == len({*cells.cell_of[:n_regular]})
    assert {*cells.cell_of[:n_regular]} == {*range(cells.n_regular)}  # the regular ones stand first


@given(COUNTS, st.data(), st.integers(0, 15))
def test_regular_cells_stay_intervals(counts: list[int], data: st.DataObject, floor: int) -> None:
    assume(sum(counts) >= max(floor, 1))
    n_regular = data.draw(st.integers(0, len(counts)))
    regular = list(merge_cells(counts, n_regular, floor).cell_of[:n_regular])
    assert regular == sorted(regular)


@given(st.lists(st.sampled_from([0, 10, 11, 500]), min_size=1, max_size=8), st.data())
def test_what_is_large_enough_or_empty_stays_as_it_is(counts: list[int], data: st.DataObject) -> None:
    n_regular = data.draw(st.integers(0, len(counts)))
    assert merge_cells(counts, n_regular, 10) == Cells(tuple(range(len(counts))), n_regular, tuple(counts))


@pytest.mark.parametrize(
    ("counts", "n_regular", "cell_of"),
    [
        ([50, 80, 3], 2, (0, 1, 1)),  # few missing: with the fullest regular one
        ([50, 80, 3, 4], 2, (0, 1, 1, 1)),  # so each special code
        ([50, 80, 30, 4], 2, (0, 1, 2, 1)),
        ([50, 80, 300, 4], 2, (0, 1, 2, 1)),  # even if another code has more rows
        ([4, 20, 30], 3, (0, 0, 1)),  # a regular one: with its neighbour
        ([30, 4, 20], 3, (0, 1, 1)),  # of two with the one that has fewer rows
        ([30, 4, 0], 3, (0, 0, 1)),  # and not with an empty one, if it can be helped
        ([30, 0, 4], 3, (0, 0, 0)),  # over an empty one
        ([3, 4, 6], 3, (0, 0, 0)),
        ([3, 0, 90], 2, (0, 1, 0)),  # hardly any values: with missing
        ([0, 0, 5, 90], 2, (0, 1, 2, 2)),
    ],
)
def test_where_small_ones_go(counts: list[int], n_regular: int, cell_of: tuple[int, ...]) -> None:
    assert merge_cells(counts, n_regular, 10).cell_of == cell_of
