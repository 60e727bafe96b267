"""Rows of a Parquet file; row groups whose statistics rule them out are not read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from lab.data.connectors.filters import Where, arrow_filter
from lab.data.connectors.plain import plain
from lab.data.connectors.source import CHUNK


class ParquetFile:
    def __init__(self, path: Path, where: Where) -> None:
        self.reference = f"file {path.name}"
        self._where = where
        path.stat()  # an absent file is told as such
        self._dataset = ds.dataset(path, format="parquet")

    def __enter__(self) -> ParquetFile:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def names(self) -> tuple[str, ...]:
        return tuple(self._dataset.schema.names)

    def chunks(self, columns: Sequence[str], as_text: Collection[str], order: str) -> Iterator[pa.RecordBatch]:  # noqa: ARG002 - has an order
        held = arrow_filter(self._where, self._dataset.schema)
        for batch in self._dataset.to_batches(
            columns=list(columns), filter=held, batch_size=CHUNK, batch_readahead=2, fragment_readahead=1
        ):
            yield plain(batch, as_text)
