"""A small city, written once."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from lab.data.synthetic.state import Settings
from lab.data.synthetic.writing import write_population


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3,000 enterprises as Parquet."""
    folder = tmp_path_factory.mktemp("synthetic") / "city"
    write_population(folder, Settings(n_enterprises=3000, seed=7))
    return folder


@pytest.fixture(scope="session")
def tables(city: Path) -> dict[str, pd.DataFrame]:
    """Every table by ``party/name``, dates as pandas has them."""
    return {
        f"{path.parent.name}/{path.stem.removeprefix('synthetic-')}": pd.read_parquet(
            path, dtype_backend="numpy_nullable"
        )
        for path in city.rglob("*.parquet")
    }
