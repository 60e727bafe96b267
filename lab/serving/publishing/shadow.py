"""What a model in the shadow said beside what was told: one line per application, for the bank's eyes alone.

Lines hold the score's id, versions, probabilities, points and bands, no applicant and no feature. They lie on the
shelf, readable by its owner only, and go with the trial.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.stats import spearmanr

from lab.serving.answers import Answer
from lab.serving.publishing.folder import ShelfFolder

_FILE: Final = "shadow.jsonl"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same applications.

    Attributes:
        n: applications.
        champion, challenger: mean default probabilities.
        rank_correlation: Spearman's, of default probabilities; None where one of them never varies.
        moved: share of applications whose band differs.
        safer, riskier: shares to which the challenger gives a safer, a riskier band.
        largest: largest difference of default probabilities.
    """

    n: int
    champion: float
    challenger: float
    rank_correlation: float | None
    moved: float
    safer: float
    riskier: float
    largest: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ShadowBook:
    """Of one shelf; several workers write at the same time."""

    folder: ShelfFolder

    def note(self, score_id: str, version: str, told: Answer, shadow: Answer) -> None:
        """``told``: what the caller got; ``shadow``: what the model on trial would have said."""
        line = {"score": score_id, "version": version, "told": _plain(told), "shadow": _plain(shadow)}
        data = (json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n").encode()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, data)  # in one piece: lines of several workers do not mix
        finally:
            os.close(descriptor)

    def compared(self, version: str) -> Comparison | None:
        """The challenger of this version beside what was told; None: it has scored nothing yet."""
        lines = [line for line in self._lines() if line.get("version") == version]
        if not lines:
            return None
        told, shadow = (np.array([line[who][0] for line in lines]) for who in ("told", "shadow"))
        bands = [(line["told"][2], line["shadow"][2]) for line in lines]
        varied = len(lines) > 1 and np.ptp(told) > 0 and np.ptp(shadow) > 0
        return Comparison(
            n=len(lines),
            champion=float(told.mean()),
            challenger=float(shadow.mean()),
            rank_correlation=float(spearmanr(told, shadow).statistic) if varied else None,
            moved=float(np.mean([a != b for a, b in bands])),
            safer=float(np.mean([b < a for a, b in bands])),
            riskier=float(np.mean([b > a for a, b in bands])),
            largest=float(np.abs(told - shadow).max()),
        )

    @property
    def _path(self) -> Path:
        return self.folder.directory / _FILE

    def _lines(self) -> Iterator[dict[str, Any]]:
        """Whole lines: one that a crash tore is passed over, with what was written behind it."""
        for line in self._path.read_bytes().split(b"\n") if self._path.exists() else ():
            with suppress(ValueError):
                yield json.loads(line)


def _plain(answer: Answer) -> tuple[float, float, str]:
    return answer.default_probability, answer.points, answer.band
