"""``where`` as the sources understand it: an Arrow expression, or SQL whose values are bound, never written."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from lab.data.connectors.location import Range, Scalar
from models.errors import DataError

if TYPE_CHECKING:
    from sqlalchemy import ColumnClause, ColumnElement, Select

NUMBERS: Final = (bool, int, float, Decimal)

Where = Mapping[str, Range | tuple[Scalar, ...] | Scalar]


def arrow_filter(where: Where, schema: pa.Schema) -> pc.Expression | None:
    """For rows of ``schema``; None if all are wanted. Raises ``DataError`` as ``fit``."""
    found = None
    for name, condition in where.items():
        kind = python_type(schema.field(name).type)
        one = _held(pc.field(name), condition, partial(fit, name, kind=kind))
        found = one if found is None else found & one
    return found


def sql_query(
    table_name: str, columns: Sequence[str], where: Where, kinds: Mapping[str, type], order: str
) -> Select[Any]:
    """One SELECT. Names are always quoted, by SQLAlchemy. Raises ``DataError`` as ``fit``.

    Args:
        kinds: column → Python's type of its values.
    """
    from sqlalchemy import and_, column, select, table  # some tenths of a CPU second: only for a database
    from sqlalchemy.sql import quoted_name

    own: dict[str, ColumnClause[Any]] = {name: column(quoted_name(name, True)) for name in {*columns, *where, order}}
    held: list[ColumnElement[bool]] = [
        _held(own[name], condition, partial(fit, name, kind=kinds[name])) for name, condition in where.items()
    ]
    rows = select(*(own[name] for name in columns)).select_from(table(quoted_name(table_name, True), *own.values()))
    return rows.where(and_(True, *held)).order_by(own[order])


def fit(name: str, value: Scalar, kind: type) -> Any:
    """The value as one of the column's type. Raises ``DataError``: ``where_type``."""
    try:
        if kind in (datetime.datetime, datetime.date):
            return kind.fromisoformat(str(value))
        if kind not in NUMBERS:
            return str(value)
        if not isinstance(value, str):
            return bool(value) if kind is bool else value
    except ValueError:
        pass
    raise DataError(
        "where_type",
        f"the filter on column '{name}' compares it with what is no {kind.__name__}; write one",
        f"列“{name}”的筛选值类型应为 {kind.__name__}，请修改",
    )


def python_type(kind: pa.DataType) -> type:
    """Of the values of an Arrow column."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return bool
    if pa.types.is_date(kind):
        return datetime.date
    if pa.types.is_timestamp(kind):
        return datetime.datetime
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return float
    return str


def _held(own: Any, condition: Range | tuple[Scalar, ...] | Scalar, value: Callable[[Scalar], Any]) -> Any:
    if isinstance(condition, Range):
        bounds = []
        if condition.min is not None:
            bounds.append(own >= value(condition.min))
        if condition.max is not None:
            bounds.append(own <= value(condition.max))
        return bounds[0] if len(bounds) == 1 else bounds[0] & bounds[1]
    values = condition if isinstance(condition, tuple) else (condition,)
    if not isinstance(own, pc.Expression):
        return own.in_([value(v) for v in values])
    held = own == value(values[0])
    for v in values[1:]:
        held |= own == value(v)
    return held
