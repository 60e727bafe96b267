"""The end of a horizontal run, the coordinator's half: hands out the model, and has held-out rows of all counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from federation.errors import LocalProtocolError, PartyId
from federation.horizontal.aggregation.interface import Aggregation, Numbers, Total
from federation.horizontal.boosting.site import MOST_ROWS
from federation.horizontal.checkpoint import Journal
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


def close(
    aggregation: Aggregation, kind: Kind, model: Mapping[str, Any], journal: Journal | None = None
) -> Script[Closed]:
    """Every site that is left gets the model, those that stand aside, too. The model stands even if too few are left to
    test it together.

    Args:
        journal: of a run that can be resumed. Held-out rows are counted once, also if it dies: counts over fewer sites,
            beside the first, would tell those of who left in between.
    """
    sites = (*aggregation.presence.sites, *aggregation.presence.aside)
    return (yield from close_each(aggregation, kind, dict.fromkeys(sites, model), journal))


def close_each(
    aggregation: Aggregation, kind: Kind, models: Mapping[PartyId, Mapping[str, Any]], journal: Journal | None = None
) -> Script[Closed]:
    """The same, where every site has a model of its own. Who has none here takes no further part."""
    presence = aggregation.presence
    presence.sites = tuple(site for site in presence.sites if site in models)
    takes = {site: Take(model_kind=kind, model=_as_json(model)) for site, model in models.items()}
    takers = tuple(sorted(presence.arrived((yield takes), tuple(takes), Taken)))
    total = yield from _tested(aggregation, journal)
    closed = Closed(takers)
    if total:
        goods, bads = total.values.reshape(2, N_BANDS)
        closed = Closed(takers, goods, bads, total.contributors)
    here = {*presence.sites, *presence.aside}
    yield dict.fromkeys((site for site in takers if site in here), Goodbye(code=""))
    return closed


def _tested(aggregation: Aggregation, journal: Journal | None) -> Script[Total | None]:
    """Held-out rows per band; None if too few sites are left, or if the run died while they were counted."""
    if journal and journal.last.tested:
        return Total(journal.last.bands, journal.last.testers) if journal.last.testers else None
    if journal:
        journal.testing()
    everybody = dict.fromkeys(aggregation.presence.sites, Count())
    try:
        total = yield from aggregation.total(everybody, 2 * N_BANDS, MOST_ROWS)
    except LocalProtocolError as error:
        if error.code != "too_few_sites":
            raise
        return None
    if journal:
        journal.tested(total)
    return total


def _as_json(model: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(model), ensure_ascii=False, allow_nan=False).encode()
