"""Some rows of a party's file as a file of their own, every value as it was written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lab.config import Party


def extract(party: Party, ids: pd.Series, stem: Path, marks: Mapping[str, pd.Series] | None = None) -> Party:
    """The party with a copy of its file that holds the given applicants only.

    Args:
        stem: path of the copy without its ending.
        marks: new column → ids whose rows have a 1 in it; all others have a 0.
    """
    parquet = party.data.suffix.lower() in (".parquet", ".pq")
    frame = pd.read_parquet(party.data) if parquet else pd.read_csv(party.data, dtype=str, keep_default_na=False)
    own = frame[party.id].astype(str).str.strip()
    frame = frame[own.isin(set(ids))]
    frame = frame.assign(**{name: own.isin(set(of)).astype(int) for name, of in (marks or {}).items()})
    path = stem.with_name(stem.name + (party.data.suffix if parquet else ".csv"))
    if parquet:
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return party.model_copy(update={"data": path})
