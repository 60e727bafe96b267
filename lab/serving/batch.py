"""Joint scores of a whole table; a single call is a table of one row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pandas as pd

from federation.errors import PartyId
from federation.script import Wire, run
from federation.vertical.scoring.guest import score
from lab.serving.answers import Answer, Unknown, answer_of
from models.bundle import JointModel
from models.table import Table

#: Rows asked about in one message: 128 KiB of points there, and about 3 MB back for a model of 6,000 cuts.
ROWS_PER_MESSAGE: Final = 4096


def score_table(model: JointModel, table: Table, wire: Wire) -> list[Answer | Unknown]:
    """One result per row of ``table``, in its order.

    Raises:
        ModelError: the table lacks a column of the guest's half, or one has the wrong type.
        Refused, RemoteProtocolError: a host declines, or answers what does not fit.
        TransportError: a host is absent, too slow or breaks off.
    """
    return [Unknown(absent) if absent else answer_of(margin) for margin, absent in _margins(model, table, wire)]


def score_frame(model: JointModel, table: Table, wire: Wire) -> pd.DataFrame:
    """``answers_frame`` of a model of defaults; of another objective columns ``id``, ``expected`` (the expected label,
    empty where a party does not hold the applicant) and ``unknown_at``. Raises as ``score_table``.
    """
    if model.objective == "binary":
        return answers_frame(table, score_table(model, table, wire))
    margins = list(_margins(model, table, wire))
    expected = model.predict(np.array([margin for margin, _ in margins], dtype=np.float64))
    unknown = [" ".join(absent) for _, absent in margins]
    return pd.DataFrame({"id": table.ids, "expected": expected, "unknown_at": unknown})


def _margins(model: JointModel, table: Table, wire: Wire) -> Iterator[tuple[float, tuple[PartyId, ...]]]:
    """Per row its margin, and the hosts that do not hold the applicant; the margin is NaN if there are any."""
    for start in range(0, len(table), ROWS_PER_MESSAGE):
        rows = np.arange(start, min(start + ROWS_PER_MESSAGE, len(table)))
        scored = run(score(model, table.take(rows)), wire)
        for row, margin in enumerate(scored.margin.tolist()):
            yield margin, tuple(host for host, known in scored.known.items() if not known[row])


def answers_frame(table: Table, results: Sequence[Answer | Unknown]) -> pd.DataFrame:
    """Results beside their ids; empty where a party does not hold the applicant, which ``unknown_at`` then names."""
    rows = [
        (a.default_probability, a.points, a.band, "")
        if isinstance(a, Answer)
        else (None, None, None, " ".join(a.parties))
        for a in results
    ]
    frame = pd.DataFrame(rows, columns=["default_probability", "points", "band", "unknown_at"])
    frame.insert(0, "id", table.ids)
    return frame.astype({"points": "Int64"})
