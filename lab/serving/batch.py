"""Joint scores of a whole table; a single call is a table of one row."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Final

import numpy as np
import pandas as pd

from federation.errors import PartyId
from federation.script import Wire, run
from federation.vertical.scoring.guest import Scored, score
from lab.serving.answers import Answer, Told, Unknown, answer_of, told
from lab.serving.loaded import Calibrated, Calibration
from models.joint import Joint
from models.reasons import Words
from models.scorecard.card import JointScorecard
from models.table import Table
from models.validation.calibrators import Calibrator

#: Called with a question's name and the applicants who have a score.
Note = Callable[[str, Sequence[str]], None]

#: Rows asked about in one message: 128 KiB of points there, and about 3 MB back for a model of 6,000 cuts.
ROWS_PER_MESSAGE: Final = 4096

_DRAWN: Final = 256
_names: Final[list[str]] = []


def new_name() -> str:
    """Of a question: random, so that it says nothing and is nobody else's."""
    if not _names:
        drawn = os.urandom(16 * _DRAWN).hex()  # many at once: a call of the system for each is dear under load
        _names.extend(drawn[k : k + 32] for k in range(0, len(drawn), 32))
    try:
        return _names.pop()
    except IndexError:  # another thread took the last
        return os.urandom(16).hex()


def unnoted(question: str, applicants: Sequence[str]) -> None:
    """Where nobody keeps a log."""


def score_table(
    model: Joint,
    table: Table,
    wire: Wire,
    n_reasons: int = 0,
    own_words: Mapping[str, Words] | None = None,
    note: Note = unnoted,
    name: Callable[[], str] = new_name,
    calibrator: Calibrator | None = None,
) -> list[Answer | Unknown]:
    """One result per row of ``table``, in its order.

    Args:
        n_reasons: so many reasons per applicant, at most.
        own_words: the guest's column → words for it.
        note: told, by each question's name, of the applicants who have a score, before any result is given.
        name: gives each question its own.
        calibrator: tells default probabilities and bands.

    Raises:
        ModelError: the table lacks a column of the guest's half, or one has the wrong type.
        Refused, RemoteProtocolError: a host declines, or answers what does not fit.
        TransportError: a host is absent, too slow or breaks off.
    """
    results: list[Answer | Unknown] = []
    for scored, row in _rows(model, table, wire, n_reasons, note, name):
        if absent := _absent(scored, row):
            results.append(Unknown(absent))
            continue
        points = None if scored.points is None else float(scored.points[row])
        reasons = told(scored.reasons[row], scored.words, own_words or {}) if n_reasons else ()
        results.append(answer_of(float(scored.margin[row]), points, reasons, calibrator))
    return results


def score_frame(
    calibrated: Calibrated,
    table: Table,
    wire: Wire,
    n_reasons: int = 0,
    own_words: Mapping[str, Words] | None = None,
    note: Note = unnoted,
) -> pd.DataFrame:
    """``answers_frame`` of a model of defaults; of another objective columns ``id``, ``expected`` (the expected label,
    empty where a party does not hold the applicant) and ``unknown_at``. Raises as ``score_table``.
    """
    model = calibrated.model
    if isinstance(model, JointScorecard) or model.objective == "binary":
        found = score_table(model, table, wire, n_reasons, own_words, note, calibrator=calibrated.calibrator)
        return answers_frame(table, found, n_reasons, calibrated.calibration)
    rows = _rows(model, table, wire, 0, note, new_name)
    margins = [(float(scored.margin[row]), " ".join(_absent(scored, row))) for scored, row in rows]
    expected = model.predict(np.array([margin for margin, _ in margins], dtype=np.float64))
    return pd.DataFrame({"id": table.ids, "expected": expected, "unknown_at": [absent for _, absent in margins]})


def _rows(
    model: Joint, table: Table, wire: Wire, n_reasons: int, note: Note, name: Callable[[], str]
) -> Iterator[tuple[Scored, int]]:
    """Every row as it was scored, in order: what came of its message, and its place there."""
    for start in range(0, len(table), ROWS_PER_MESSAGE):
        rows = np.arange(start, min(start + ROWS_PER_MESSAGE, len(table)))
        asked, question = table.take(rows), name()
        scored = run(score(model, asked, n_reasons, question), wire)
        note(question, [asked.ids[row] for row in range(len(rows)) if not _absent(scored, row)])
        yield from ((scored, row) for row in range(len(rows)))


def _absent(scored: Scored, row: int) -> tuple[PartyId, ...]:
    """Hosts that do not hold the applicant."""
    return tuple(host for host, known in scored.known.items() if not known[row])


def answers_frame(
    table: Table, results: Sequence[Answer | Unknown], n_reasons: int = 0, calibration: Calibration = "none"
) -> pd.DataFrame:
    """Results beside their ids; empty where a party does not hold the applicant, which ``unknown_at`` then names.
    ``calibration``: rows on which probabilities were set right, as the service's answers say it.

    With reasons, a column for each part of ``Told``: ``reason_1_code``, ``reason_1_party``, ``reason_1_text``…
    """
    rows = [
        (a.default_probability, calibration, a.points, a.band, "")
        if isinstance(a, Answer)
        else (None, None, None, None, " ".join(a.parties))
        for a in results
    ]
    frame = pd.DataFrame(rows, columns=["default_probability", "calibration", "points", "band", "unknown_at"])
    frame.insert(0, "id", table.ids)
    whole = all(isinstance(a.points, int) for a in results if isinstance(a, Answer))
    frame = frame.astype({"points": "Int64" if whole else "Float64"})
    for k in range(n_reasons):
        given = [a.reasons[k] if isinstance(a, Answer) and len(a.reasons) > k else None for a in results]
        for part in fields(Told):
            frame[f"reason_{k + 1}_{part.name}"] = [None if r is None else getattr(r, part.name) for r in given]
    return frame
