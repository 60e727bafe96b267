"""Values of all sources in the few kinds a table knows: whole numbers, numbers, truth values, text."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc


def plain(batch: pa.RecordBatch, as_text: Collection[str]) -> pa.RecordBatch:
    """Dates as ISO text, decimals as float64, empty text as missing: a CSV file cannot tell them apart."""
    columns = [_plain(values, name in as_text) for name, values in zip(batch.schema.names, batch.columns, strict=True)]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _plain(values: pa.Array, as_text: bool) -> pa.Array:
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
        kind = values.type
    if pa.types.is_null(kind):
        return values
    if not as_text:
        if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
            return values
        if pa.types.is_floating(kind):
            return pc.if_else(pc.is_nan(values), None, values.cast(pa.float64()))
        if pa.types.is_decimal(kind):
            return pa.array([None if v is None else float(v) for v in values.to_pylist()], pa.float64())
    if (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_integer(kind)
    ):
        texts = values.cast(pa.large_string())
    else:
        texts = pa.array([written(v) for v in values.to_pylist()], pa.large_string())
    return pc.if_else(pc.equal(texts, ""), None, texts)


def written(value: object) -> str | None:
    """As a CSV file would have it."""
    if value is None:
        return None
    return format(value, "f") if isinstance(value, Decimal) else str(value)
