"""What a model in the shadow said beside what was told: one line per application, for the bank's eyes alone.

Lines hold the score's id, probabilities, points and bands, no applicant and no feature. They lie with the version on
the shelf, readable by their owner only, and go with it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self

import numpy as np

from lab.serving.answers import Answer
from lab.serving.publishing.folder import ShelfFolder
from models.bundle import load
from models.losses import Floats, Integers
from models.scale import BANDS
from models.validation.stability import reading, stability_index

FILE: Final = "shadow.jsonl"

#: How the answer that was told came about; what the shadow said came about alike.
Told = Literal["joint", "bank_only"]
TOLD: Final[tuple[Told, ...]] = ("joint", "bank_only")


class Line(NamedTuple):
    """One application.

    Attributes:
        score: id of the answer.
        against: digest of the joint model of the version that answered.
        mode: how the answer that was told came about.
        told, shadow: what the caller got, and what the model on trial would have said.
    """

    score: str
    against: str
    mode: Told
    told: Answer
    shadow: Answer


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same applications.

    Attributes:
        n: applications.
        champion, challenger: mean default probabilities.
        rank_correlation: Spearman's, of default probabilities; None where one of them never varies.
        largest: largest difference of default probabilities.
        agreement: share of applications of which both give the same band.
        safer, riskier: shares to which the challenger gives a safer, a riskier band.
        stability_index: of the applications' shares per band, told against shadow (``models.validation.stability``).
        reading: of the index, in a word.
        bands: their names, safest first.
        moves: applications by band told (rows) and band of the shadow (columns).
    """

    n: int
    champion: float
    challenger: float
    rank_correlation: float | None
    largest: float
    agreement: float
    safer: float
    riskier: float
    stability_index: float
    reading: str
    bands: tuple[str, ...]
    moves: tuple[tuple[int, ...], ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Default probabilities and bands (numbers from 0, the safest) of the same applications, shape ``(n, 2)``: told,
    then shadow."""

    probabilities: Floats
    bands: Integers

    @classmethod
    def together(cls, parts: Iterable[Self]) -> Self:
        """All of them as one. At least one."""
        found = list(parts)
        return cls(np.concatenate([p.probabilities for p in found]), np.concatenate([p.bands for p in found]))

    def compared(self) -> Comparison:
        """Of one application at least."""
        from scipy.stats import spearmanr  # a CPU second, which no service needs

        names = tuple(name for name, _ in BANDS)
        told, shadow = self.probabilities.T
        moves = np.zeros((len(names), len(names)), dtype=int)
        np.add.at(moves, tuple(self.bands.T), 1)
        varied = len(told) > 1 and np.ptp(told) > 0 and np.ptp(shadow) > 0
        index = stability_index(moves.sum(axis=1), moves.sum(axis=0))
        return Comparison(
            n=len(told),
            champion=float(told.mean()),
            challenger=float(shadow.mean()),
            rank_correlation=float(spearmanr(told, shadow).statistic) if varied else None,
            largest=float(np.abs(told - shadow).max()),
            agreement=float(np.trace(moves) / len(told)),
            safer=float(np.tril(moves, -1).sum() / len(told)),
            riskier=float(np.triu(moves, 1).sum() / len(told)),
            stability_index=index,
            reading=reading(index),
            bands=names,
            moves=tuple(tuple(row) for row in moves.tolist()),
        )


@dataclass(frozen=True, slots=True)
class ShadowBook:
    """Of one shelf; several workers write at the same time."""

    folder: ShelfFolder

    def note(self, version: str, lines: Sequence[Line]) -> None:
        """What the challenger of this version said. Raises ``OSError``, if only because the trial is over."""
        told = [
            {
                "score": line.score,
                "against": line.against,
                "mode": line.mode,
                "told": _plain(line.told),
                "shadow": _plain(line.shadow),
            }
            for line in lines
        ]
        data = "".join(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n" for line in told).encode()
        descriptor = os.open(self._path(version), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, data)  # in one piece: lines of several workers do not mix
        finally:
            os.close(descriptor)

    def pairs(self, version: str, champion: str) -> dict[Told, Pairs]:
        """Answers by the version ``champion``, and what the challenger of ``version`` said beside them; nothing under a
        mode in which there are none. Raises ``ModelError``."""
        against = load(self.folder.folder(champion) / "selftest.json")["digest"]
        lines = [line for line in self._lines(version) if line.get("against") == against]
        place = {name: k for k, (name, _) in enumerate(BANDS)}
        found: dict[Told, Pairs] = {}
        for mode in TOLD:
            both = [(line["told"], line["shadow"]) for line in lines if line["mode"] == mode]
            if both:
                found[mode] = Pairs(
                    np.array([(told[0], shadow[0]) for told, shadow in both]),
                    np.array([(place[told[2]], place[shadow[2]]) for told, shadow in both]),
                )
        return found

    def _path(self, version: str) -> Path:
        return self.folder.folder(version) / FILE

    def _lines(self, version: str) -> Iterator[dict[str, Any]]:
        """Whole lines: one that a crash tore is passed over, with what was written behind it."""
        path = self._path(version)
        for line in path.read_bytes().split(b"\n") if path.exists() else ():
            with suppress(ValueError):
                yield json.loads(line)


def _plain(answer: Answer) -> tuple[float, float, str]:
    return answer.default_probability, answer.points, answer.band
