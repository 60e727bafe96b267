"""Messages at the end of a horizontal run: every site gets the model, and held-out rows are counted by score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from federation.messages import Message

Kind = Literal["trees", "scorecard", "averaged"]

#: Bands of margins (log-odds of default): below the first edge, between edges, from the last one on.
FIRST_EDGE: Final = -8.0
BANDS_PER_UNIT: Final = 32
N_BANDS: Final = 16 * BANDS_PER_UNIT + 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Take(Message, kind="horizontal.closing.take"):
    """Coordinator → site. ``model``: the finished one, JSON, of this ``model_kind``.

    Reveals to site: the model, which belongs to all sites.
    向站点透露：模型，归全部站点共有。
    """

    model_kind: str
    model: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken(Message, kind="horizontal.closing.taken"):
    """Site → coordinator. It has the model, and the model is the one it helped to train.

    Reveals to coordinator: that it has.
    向协调方透露：该站点已收到模型，且与其参与训练的一致。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Count(Message, kind="horizontal.closing.count"):
    """Coordinator → site. Contribute non-defaults per band of margins, then defaults, of rows that nobody was fitted
    on; once.

    Reveals to site: nothing.
    向站点透露：无。
    """
