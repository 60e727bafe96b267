"""One digest for what a party read: of a file's bytes, or of rows."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="SHA-256",
        purpose="digest of a party's data file or rows",
        purpose_zh="本方数据文件或数据行的摘要",
        standard="FIPS 180-4",
        library="hashlib",
    ),
)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rows_digest(frame: pd.DataFrame, id_column: str) -> str:
    """SHA-256 over names and values in the order of ids, hexadecimal: alike for alike rows, whatever they came from."""
    ordered = frame.sort_values(id_column, kind="stable")
    digest = hashlib.sha256()
    for name in sorted(ordered.columns):
        values = ordered[name]
        if pd.api.types.is_numeric_dtype(values):
            content = values.to_numpy(dtype="<f8", na_value=np.nan).tobytes()
        else:
            texts = [None if gone else str(v) for v, gone in zip(values, values.isna(), strict=True)]
            content = json.dumps(texts, ensure_ascii=False).encode()
        digest.update(json.dumps([name, len(content)], ensure_ascii=False).encode() + b"\n" + content)
    return digest.hexdigest()
