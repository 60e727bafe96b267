"""Made-up applicants by which a stored half is known to answer as it did when it was stored.

They are drawn from the half's own bins by a seed: no applicant's row is among them, and they tell nothing that the half
beside them does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from models.binning import FeatureBins
from models.bundle import Half
from models.errors import ModelError
from models.joint import JointHalf
from models.table import Column, Table

N_EXAMPLES: Final = 32
#: Shares of values that are missing, and of levels that are unknown.
_MISSING: Final = 0.1
_UNKNOWN: Final = 0.1


def bins_of(half: JointHalf) -> tuple[FeatureBins, ...]:
    """The columns that the half needs."""
    return half.bins if isinstance(half, Half) else tuple(f.prebins.bins for f in half.features)


def drawn(bins: Sequence[FeatureBins], seed: int = 0, n_rows: int = N_EXAMPLES) -> Table:
    """``n_rows`` made-up applicants: values in every bin, on its bounds, missing and unknown ones."""
    rng = np.random.default_rng(seed)
    columns = {b.name: _levels(b, rng, n_rows) if b.category else _numbers(b, rng, n_rows) for b in bins}
    return Table(tuple(f"example-{k}" for k in range(n_rows)), columns)


def told(half: JointHalf, rows: Table) -> dict[str, Any]:
    """What the half makes of ``rows``, in JSON that keeps every bit: sides of all cuts, or parts of margins and points.
    Raises ``ModelError`` as the half does."""
    if isinstance(half, Half):
        return {"left": np.packbits(half.routes(rows), axis=None).tobytes().hex()}
    return {"margin": half.margin(rows).tolist(), "points": half.points(rows).tolist()}


def columns_to_json(rows: Table) -> dict[str, list[Any]]:
    """Columns by name; missing values are null."""
    return {
        name: [None if v is None or v != v else v for v in column.tolist()]  # NaN is not itself
        for name, column in rows.columns.items()
    }


def columns_from_json(data: Mapping[str, Sequence[Any]], bins: Sequence[FeatureBins]) -> Table:
    """The inverse of ``columns_to_json``. Raises ``ModelError`` (``examples_unreadable``)."""
    try:
        columns: dict[str, Column] = {
            b.name: np.array(data[b.name], dtype=object if b.category else np.float64) for b in bins
        }
        n_rows = {len(c) for c in columns.values()} or {0}
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable() from error
    if len(n_rows) != 1:
        raise unreadable()
    return Table(tuple(f"example-{k}" for k in range(n_rows.pop())), columns)


def examples_of(half: JointHalf, seed: int = 0) -> dict[str, Any]:
    """Examples as they are stored beside the half."""
    rows = drawn(bins_of(half), seed)
    return {"digest": half.digest(), "columns": columns_to_json(rows), "told": told(half, rows)}


def check_examples(half: JointHalf, data: Mapping[str, Any]) -> None:
    """Whether the half answers as it did when ``data`` was stored, bit for bit.

    Raises:
        ModelError: ``selftest_failed`` if it does not, or ``data`` are of another half; ``examples_unreadable``.
    """
    try:
        digest, columns, expected = data["digest"], data["columns"], data["told"]
    except (KeyError, TypeError) as error:
        raise unreadable() from error
    if digest != half.digest() or told(half, columns_from_json(columns, bins_of(half))) != expected:
        raise differs()


def differs() -> ModelError:
    return ModelError(
        "selftest_failed",
        "A stored model does not answer its own examples as it did when it was stored: a file was changed, or is of "
        "another run, or this machine computes otherwise. It is not put to use. Restore the files of one run.",
        "存储的模型对自检样例的应答与存储时不一致：文件被改动、来自其他运行，或本机计算结果不同。该模型不会投入使用，"
        "请恢复同一次运行的文件。",
    )


def unreadable() -> ModelError:
    return ModelError(
        "examples_unreadable",
        "The examples stored beside a model are missing or damaged. Train again or restore the file.",
        "与模型一同存储的自检样例缺失或损坏，请重新训练或恢复该文件。",
    )


def _numbers(bins: FeatureBins, rng: np.random.Generator, n_rows: int) -> Column:
    edges = np.array(bins.edges or (0.0,), dtype=np.float64)
    low = rng.integers(0, len(edges) + 1, n_rows)
    share = np.where(rng.random(n_rows) < 0.25, 1.0, rng.random(n_rows))  # 1: on the upper bound
    with np.errstate(over="ignore", invalid="ignore"):  # bounds may be as far apart as numbers go
        width = float(edges[-1] - edges[0]) or 1.0
        bounds = np.concatenate([[edges[0] - width], edges, [edges[-1] + width]])
        values = np.where(share == 1.0, bounds[low + 1], bounds[low] + share * (bounds[low + 1] - bounds[low]))
    values[~np.isfinite(values) | (rng.random(n_rows) < _MISSING)] = np.nan
    return values


def _levels(bins: FeatureBins, rng: np.random.Generator, n_rows: int) -> Column:
    known = np.array([*bins.levels, ""], dtype=object)[rng.integers(0, max(1, len(bins.levels)), n_rows)]
    draw = rng.random(n_rows)
    known[draw < _UNKNOWN] = "no such level"
    known[(draw >= _UNKNOWN) & (draw < _UNKNOWN + _MISSING)] = None
    return known
