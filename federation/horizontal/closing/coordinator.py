"""The end of a horizontal run, the coordinator's half: hands out the model, and has held-out rows of all counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from federation.errors import LocalProtocolError, PartyId
from federation.horizontal.aggregation.interface import Aggregation, Numbers
from federation.horizontal.boosting.site import MOST_ROWS
from federation.horizontal.closing.messages import N_BANDS, Count, Kind, Take, Taken
from federation.messages import Goodbye
from federation.script import Script


@dataclass(frozen=True, slots=True)
class Closed:
    """Attributes:
    takers: who has the model.
    goods, bads: held-out rows of all ``contributors`` per band of margins, shape ``(N_BANDS,)``; None: too few sites
        were left to count.
    """

    takers: tuple[PartyId, ...]
    goods: Numbers | None = None
    bads: Numbers | None = None
    contributors: tuple[PartyId, ...] = ()


def close(aggregation: Aggregation, kind: Kind, model: Mapping[str, Any]) -> Script[Closed]:
    """Every site that is left gets the model, those that stand aside, too. The model stands even if too few are left to
    test it together."""
    presence = aggregation.presence
    told = Take(model_kind=kind, model=json.dumps(dict(model), ensure_ascii=False, allow_nan=False).encode())
    asked = (*presence.sites, *presence.aside)
    takers = tuple(sorted(presence.arrived((yield dict.fromkeys(asked, told)), asked, Taken)))
    closed = Closed(takers)
    try:
        total = yield from aggregation.total(dict.fromkeys(presence.sites, Count()), 2 * N_BANDS, MOST_ROWS)
        goods, bads = total.values.reshape(2, N_BANDS)
        closed = Closed(takers, goods, bads, total.contributors)
    except LocalProtocolError as error:
        if error.code != "too_few_sites":
            raise
    yield dict.fromkeys((*presence.sites, *presence.aside), Goodbye(code=""))
    return closed
