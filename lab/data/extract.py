"""Some rows of a party's source as a file of their own, every value as it was written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lab.config_party import Party
from lab.data.connectors.location import is_parquet
from lab.data.sources import read_frame


def extract(party: Party, ids: pd.Series, stem: Path, marks: Mapping[str, pd.Series] | None = None) -> Party:
    """The party with a copy of its rows that holds the given applicants only.

    Args:
        stem: path of the copy without its ending.
        marks: new column → ids whose rows have a 1 in it; all others have a 0.
    """
    data = party.data
    parquet = not isinstance(data, Path) or is_parquet(data)
    if not isinstance(data, Path):
        frame = read_frame(data, party.id)
    elif parquet:
        frame = pd.read_parquet(data)
    else:
        frame = pd.read_csv(data, dtype=str, keep_default_na=False)
    own = frame[party.id].astype(str).str.strip()
    frame = frame[own.isin(set(ids))]
    frame = frame.assign(**{name: own.isin(set(of)).astype(int) for name, of in (marks or {}).items()})
    path = stem.with_name(stem.name + (".parquet" if parquet else ".csv"))
    if parquet:
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return party.model_copy(update={"data": path})
