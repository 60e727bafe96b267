"""What every source of rows can do, and what it says where it cannot."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, Protocol

import pyarrow as pa

from models.errors import DataError

#: Rows of one chunk.
CHUNK: Final = 50_000


class Source(Protocol):
    """Open rows. Nothing can be written through it. Used as a context; ``chunks`` is one consistent snapshot.

    Attributes:
        reference: kind and name, such as ``postgresql table tax``: never an address.
    """

    reference: str

    def __enter__(self) -> Source: ...

    def __exit__(self, *_: object) -> None: ...

    def names(self) -> tuple[str, ...]:
        """Columns, in the source's order. Raises ``DataError``."""

    def chunks(self, columns: Sequence[str], as_text: Collection[str], order: str) -> Iterator[pa.RecordBatch]:
        """The chosen rows, at most ``CHUNK`` at a time.

        Args:
            as_text: columns that are wanted as they are written, though they hold numbers.
            order: column a table, which has no order of its own, is sorted by.

        Raises:
            DataError: ``file_unreadable``; those of ``filters``.
        """


def unreadable(reference: str, error: Exception) -> DataError:
    """By the error's type alone: a driver's words may hold values, accounts and addresses."""
    return DataError(
        "file_unreadable",
        f"{reference} cannot be read ({type(error).__name__}); check that it is what its name says and may be read",
        f"{reference} 无法读取（{type(error).__name__}），请检查其格式与读取权限",
    )


def table_missing(reference: str) -> DataError:
    return DataError(
        "table_missing",
        f"{reference} does not exist; check table and the account's rights",
        f"{reference} 不存在，请检查 table 与账号权限",
    )


def column_missing(reference: str, absent: Collection[str]) -> DataError:
    return DataError(
        "column_missing",
        f"{reference} has no column {', '.join(repr(a) for a in absent)}",
        f"{reference} 缺少列 {'、'.join(absent)}",
    )
