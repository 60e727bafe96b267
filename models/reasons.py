"""What a reason for a margin is, whichever model gives it: a feature as far as the guest can tell, and what it adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.losses import Floats

#: Words for one feature in English and in Chinese, both empty where its owner says nothing.
Words = tuple[str, str]
MOST_LETTERS: Final = 120


@dataclass(frozen=True, slots=True, order=True)
class Player:
    """A feature as the guest knows it.

    Attributes:
        feature: the guest's own: its name; a host's: ``""``.
        number: a host's: the number, from 0, of the unnamed feature, or -1: all its features together.
    """

    party: str
    feature: str = ""
    number: int = -1


@dataclass(frozen=True, slots=True)
class Reason:
    """What one player adds to the margin of one applicant, against the average applicant; no value of the feature."""

    player: Player
    contribution: float


def strongest(players: Sequence[Player], values: Floats, n: int) -> tuple[Reason, ...]:
    """The ``n`` players that raise a margin most, of all parties together, greatest first; fewer if fewer do.

    Args:
        values: what each player adds, shape ``(n_players,)``.
    """
    order = np.argsort(-values, kind="stable")[:n]
    return tuple(Reason(players[k], float(values[k])) for k in order if values[k] > 0)


def fit_to_show(words: Words) -> bool:
    """Whether another party's words may stand in our pages and files: short, printable, and no formula of a sheet."""
    return all(len(w) <= MOST_LETTERS and (w.isprintable() and w[:1] not in {"=", "+", "-", "@"}) for w in words)
