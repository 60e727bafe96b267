"""What estimators are given, arrays or frames, as tables of one party."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from models.table import Column, Table


def as_table(x: Any, names: list[str]) -> Table:
    """``x``: array or DataFrame of shape ``(n_rows, len(names))``, checked by scikit-learn; its index gives the ids.

    A column is numeric if its dtype is, or if all of its values are numbers; else its values are levels.
    """
    frame = x if isinstance(x, pd.DataFrame) else pd.DataFrame(x, columns=names)
    columns = {name: _column(frame.iloc[:, k]) for k, name in enumerate(names)}
    return Table(tuple(map(str, frame.index)), columns)


def _column(series: pd.Series[Any]) -> Column:
    if pd.api.types.is_numeric_dtype(series):
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    if series.dtype == object and all(isinstance(v, (int, float, np.number)) for v in series.dropna()):
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    known = series.notna()
    if not all(isinstance(v, (str, int, float, bool, np.number, np.bool_)) for v in series[known]):
        raise TypeError("each value's argument must be a string or a number")
    levels: Column = series.astype(str).astype(object).where(known, None).to_numpy(dtype=object)
    return levels
