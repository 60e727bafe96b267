"""Rows in memory."""

from __future__ import annotations

import numpy as np

from models.table import Table, is_category
from tests.builders import numbers, texts

TABLE = Table(("secret-id-a", "b", "c"), {"income": numbers(1234.5, 2, 3), "job": texts("farmer", None, "x")})


def test_take_keeps_ids_beside_their_values_in_the_given_order() -> None:
    taken = TABLE.take(np.array([2, 0]))
    assert taken.ids == ("c", "secret-id-a")
    assert taken.columns["income"].tolist() == [3, 1234.5]
    assert taken.columns["job"].tolist() == ["x", "farmer"]


def test_select_keeps_the_given_order_of_columns() -> None:
    assert list(TABLE.select(("job", "income")).columns) == ["job", "income"]


def test_printing_shows_no_value() -> None:
    assert repr(TABLE) == "<Table of 3 rows, 2 columns>"


def test_text_columns_are_categories() -> None:
    assert [is_category(c) for c in TABLE.columns.values()] == [False, True]
