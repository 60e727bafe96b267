"""Joint scores of a whole table; a single call is a table of one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Final

import numpy as np
import pandas as pd

from federation.script import Wire, run
from federation.vertical.scoring.guest import score
from lab.serving.answers import Answer, Told, Unknown, answer_of, told
from models.joint import Joint
from models.reasons import Words
from models.table import Table

#: Rows asked about in one message: 128 KiB of points there, and about 3 MB back for a model of 6,000 cuts.
ROWS_PER_MESSAGE: Final = 4096


def score_table(
    model: Joint, table: Table, wire: Wire, n_reasons: int = 0, own_words: Mapping[str, Words] | None = None
) -> list[Answer | Unknown]:
    """One result per row of ``table``, in its order.

    Args:
        n_reasons: so many reasons per applicant, at most.
        own_words: the guest's column → words for it.

    Raises:
        ModelError: the table lacks a column of the guest's half, or one has the wrong type.
        Refused, RemoteProtocolError: a host declines, or answers what does not fit.
        TransportError: a host is absent, too slow or breaks off.
    """
    results: list[Answer | Unknown] = []
    for start in range(0, len(table), ROWS_PER_MESSAGE):
        rows = np.arange(start, min(start + ROWS_PER_MESSAGE, len(table)))
        scored = run(score(model, table.take(rows), n_reasons), wire)
        points = None if scored.points is None else scored.points.tolist()
        for row, margin in enumerate(scored.margin.tolist()):
            absent = tuple(host for host, known in scored.known.items() if not known[row])
            if absent:
                results.append(Unknown(absent))
                continue
            reasons = told(scored.reasons[row], scored.words, own_words or {}) if n_reasons else ()
            results.append(answer_of(margin, points[row] if points else None, reasons))
    return results


def answers_frame(table: Table, results: Sequence[Answer | Unknown], n_reasons: int = 0) -> pd.DataFrame:
    """Results beside their ids; empty where a party does not hold the applicant, which ``unknown_at`` then names.

    With reasons, a column for each part of ``Told``: ``reason_1_code``, ``reason_1_party``, ``reason_1_text``…
    """
    rows = [
        (a.default_probability, a.points, a.band, "")
        if isinstance(a, Answer)
        else (None, None, None, " ".join(a.parties))
        for a in results
    ]
    frame = pd.DataFrame(rows, columns=["default_probability", "points", "band", "unknown_at"])
    frame.insert(0, "id", table.ids)
    whole = all(isinstance(a.points, int) for a in results if isinstance(a, Answer))
    frame = frame.astype({"points": "Int64" if whole else "Float64"})
    for k in range(n_reasons):
        given = [a.reasons[k] if isinstance(a, Answer) and len(a.reasons) > k else None for a in results]
        for part in fields(Told):
            frame[f"reason_{k + 1}_{part.name}"] = [None if r is None else getattr(r, part.name) for r in given]
    return frame
