"""Rows of a CSV file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from lab.data.connectors.filters import Where, arrow_filter
from lab.data.connectors.plain import plain
from lab.data.connectors.source import CHUNK


class CsvFile:
    def __init__(self, path: Path, where: Where) -> None:
        self.reference = f"file {path.name}"
        self._path = path
        self._where = where

    def __enter__(self) -> CsvFile:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def names(self) -> tuple[str, ...]:
        return tuple(map(str, pd.read_csv(self._path, nrows=0).columns))

    def chunks(self, columns: Sequence[str], as_text: Collection[str], order: str) -> Iterator[pa.RecordBatch]:  # noqa: ARG002 - has an order
        wanted = list(dict.fromkeys([*columns, *self._where]))
        parts = pd.read_csv(
            self._path,
            usecols=wanted,
            dtype=dict.fromkeys(set(as_text) & set(wanted), str),
            low_memory=False,  # one kind for a whole chunk
            chunksize=CHUNK,
        )
        with parts:
            for frame in parts:
                batch = pa.RecordBatch.from_pandas(frame[wanted], preserve_index=False)
                held = arrow_filter(self._where, batch.schema)
                rows = batch if held is None else batch.filter(held)
                yield plain(rows.select(list(columns)), as_text)
