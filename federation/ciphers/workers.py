"""Work spread over the cores, or the cluster, that the party's operator gives.

Protocols do not know how many there are: they call ``spread`` and joblib's active backend decides
(``joblib.parallel_config`` with loky on one machine; Ray or Dask beyond). Without one, everything runs in this
process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import joblib
from joblib.parallel import get_active_backend

T = TypeVar("T")


def lanes() -> int:
    """How many pieces of work run at the same time."""
    return int(joblib.effective_n_jobs(get_active_backend()[1]))


def spread(work: Callable[..., T], pieces: Sequence[tuple[object, ...]]) -> list[T]:
    """``work(*piece)`` for every piece, results in order. Arrays over 1 MB are shared by memory maps, not copied."""
    if lanes() == 1 or len(pieces) < 2:
        return [work(*piece) for piece in pieces]
    return list(joblib.Parallel(batch_size=1)(joblib.delayed(work)(*piece) for piece in pieces))


def cut(items: Sequence[T], multiple: int = 1, least: int = 1) -> list[Sequence[T]]:
    """``items`` in one run per lane, each but the last a multiple of ``multiple`` and at least ``least`` long.

    Handing a piece of work over costs some 10 ms: ``least`` says how many items are worth that.
    """
    size = -(-max(least, -(-len(items) // lanes())) // multiple) * multiple
    return [items[i : i + size] for i in range(0, len(items), size)] if items else []
