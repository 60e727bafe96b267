"""What a table's columns are: names, unit, kind, source, who may see them; schema and dictionary in one.

Generators hand over ``Rows``: texts as numbers of levels (-1: missing), subjects as numbers of enterprises, dates as
``datetime64[D]``, nullable integers as floats with NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

#: Column name → one value per row.
Rows = dict[str, NDArray[Any]]
Kind = Literal["subject", "text", "token", "date", "int", "float", "flag"]
#: public 公开; authorised 授权查询; written: only with written consent 书面同意; internal: the bank's own 本行内部.
Level = Literal["public", "authorised", "written", "internal"]

NOTICE: Final = (
    "Synthetic: drawn at random by lianmo synthetic; no real enterprise, person or loan. "
    "合成数据：由 lianmo synthetic 随机生成，不涉及任何真实企业、个人或贷款。"
)
_TYPES: Final = {
    "subject": pa.string(),
    "text": pa.string(),
    "token": pa.string(),
    "date": pa.date32(),
    "int": pa.int64(),
    "float": pa.float64(),
    "flag": pa.bool_(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        meaning: one line in English; ``chinese`` is the name a data node would give it.
        unit: CNY, days, …; empty for texts, dates and flags.
        source: capability of the mission that asks for it.
        levels: what a text can be.
    """

    name: str
    kind: Kind
    unit: str
    source: str
    level: Level
    chinese: str
    meaning: str
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table of one party; every table also has ``subject`` first and ``synthetic`` last."""

    party: str
    name: str
    chinese: str
    columns: tuple[Column, ...]

    @property
    def all_columns(self) -> tuple[Column, ...]:
        return (SUBJECT, *self.columns, MARK)

    @property
    def schema(self) -> pa.Schema:
        """Arrow's schema, with the notice in its metadata."""
        fields = [
            pa.field(c.name, _TYPES[c.kind], metadata={"chinese": c.chinese, "unit": c.unit}) for c in self.all_columns
        ]
        return pa.schema(fields, metadata={"synthetic": NOTICE})

    def table(self, rows: Rows, subjects: pa.Array) -> pa.Table:
        """Rows of one block as Arrow has them; ``subjects`` are the block's identifiers."""
        n = len(rows["subject"])
        arrays = [_array(c, rows[c.name], subjects) for c in (SUBJECT, *self.columns)]
        return pa.table([*arrays, pa.repeat(pa.scalar(True), n)], schema=self.schema)


SUBJECT: Final = Column(
    "subject",
    "subject",
    "",
    "A20",
    "public",
    "统一社会信用代码（合成）",
    "identifier; nobody has region 3999",
)
MARK: Final = Column("synthetic", "flag", "", "A20", "public", "合成数据标记", "always true: no real enterprise")
AS_OF: Final = Column(
    "as_of", "int", "", "A26", "internal", "特征时点", "day on which the features were known, as 20240701"
)


def data_dictionary(tables: tuple[TableSpec, ...], seed: int, n_enterprises: int) -> dict[str, Any]:
    """All columns of all tables, for people and machines, with a suggested catalogue item each (A50)."""
    return {
        "synthetic": True,
        "notice": NOTICE,
        "seed": seed,
        "enterprises": n_enterprises,
        "columns": [
            {
                "party": t.party,
                "table": t.name,
                "table_zh": t.chinese,
                "name": c.name,
                "name_zh": c.chinese,
                "meaning": c.meaning,
                "type": str(_TYPES[c.kind]),
                "unit": c.unit,
                "levels": list(c.levels),
                "source": c.source,
                "catalogue_item": f"SYN-{t.party.split(':')[-1].upper()}-{t.name.upper()}-{k:02d}",
                "access": c.level,
            }
            for t in tables
            for k, c in enumerate(t.all_columns)
        ],
    }


def _array(column: Column, values: NDArray[Any], subjects: pa.Array) -> pa.Array:
    if column.kind == "subject":
        return subjects.take(pa.array(values))
    if column.kind == "text":
        codes = pa.array(values.astype(np.int32), mask=values < 0)
        return pa.array(column.levels, pa.string()).take(codes)
    if column.kind == "int" and values.dtype.kind == "f":
        gone = np.isnan(values)
        return pa.array(np.where(gone, 0, values).astype(np.int64), mask=gone)
    if column.kind == "float":
        return pa.array(values.astype(np.float64), from_pandas=True)
    if column.kind == "flag" and values.dtype.kind == "f":
        return pa.array(values == 1, mask=np.isnan(values))
    if column.kind == "token":
        return pa.array(values.astype(str), pa.string())
    return pa.array(values).cast(_TYPES[column.kind])
