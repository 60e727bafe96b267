"""What masked sums cost a site as sites grow in number: CPU seconds and bytes, everybody masked with everybody."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom

from federation.ciphers.suites.choice import suite
from federation.codec import decode
from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.horizontal.aggregation.masking.coordinator import MaskedAggregation
from federation.horizontal.aggregation.masking.site import MaskingSite
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.boosting.messages import LabelsWanted
from federation.messages import Message
from federation.script import run
from federation.transports.agreement import Seals

BOUND, N_VALUES, N_TURNS = 2**52, 1000, 16
TITLES = [
    "sites",
    "vanish",
    "set-up of 16 sums, a site",
    "one sum, a site",
    "one sum, coordinator",
    "KB to and from a site",
]


@dataclass
class AskedSite:
    """Gives ones, whenever it is asked for labels."""

    contributor: MaskingSite

    def answer(self, request: Message) -> Message:
        if isinstance(request, LabelsWanted):
            return self.contributor.contribute(np.ones(N_VALUES, dtype=np.int64), BOUND)
        return self.contributor.answer(request)


@dataclass
class MeteredWire:
    """Loses ``gone`` at the vectors; sums up what sites spend."""

    sites: Mapping[PartyId, AskedSite]
    gone: frozenset[PartyId] = frozenset()
    seconds: float = 0.0
    n_bytes: int = 0

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        started, replies = time.process_time(), {}
        for party, frame in frames.items():
            site = self.sites[party]
            if party in self.gone and isinstance(decode(frame, "c"), LabelsWanted):
                continue
            replies[party], _ = Endpoint(site, "c", (*site.contributor.allowed, LabelsWanted)).answer(frame)
            self.n_bytes += len(frame) + len(replies[party])
        self.seconds += time.process_time() - started
        return replies


def cost(n: int, n_gone: int) -> list[str]:
    names = tuple(f"site:{k:02d}" for k in range(n))
    chosen = suite("international")
    keys = {party: chosen.new_signing_key() for party in names}
    known = {party: ("international", chosen.verifying_key(key)) for party, key in keys.items()}
    sites = {
        party: AskedSite(MaskingSite(party, "s", Seals.with_key("international", keys[party], known)))
        for party in names
    }
    aggregation = MaskedAggregation("s", Presence(names), n_turns=N_TURNS)
    wire = MeteredWire(sites)
    run(aggregation.open(), wire)
    opened, kilobytes = wire.seconds / n, [wire.n_bytes / n / 1000]
    wire = MeteredWire(sites, frozenset(names[:n_gone]))
    started = time.process_time()
    total = run(aggregation.total(dict.fromkeys(names, LabelsWanted()), N_VALUES, BOUND), wire)
    whole = time.process_time() - started
    assert (total.values == n - n_gone).all()
    kilobytes.append(wire.n_bytes / n / 1000)
    figures = [f"{1000 * s:.1f} ms" for s in (opened, wire.seconds / n, whole - wire.seconds)]
    return [f"{n}", f"{n_gone}", *figures, f"{kilobytes[0]:.0f} once, {kilobytes[1]:.1f} a sum"]


def neighbours(n: int, false: float, gone: float) -> int:
    """Fewest neighbours of a site in the graph of Bell et al. (CCS 2020, §3): in which no site has, but for 2**-40, as
    many false neighbours as open its shares, nor, but for 2**-30, fewer left than that."""
    for k in range(3, n):
        t = np.arange(1, k + 1)
        opened = n * hypergeom.sf(t - 1, n - 1, int(false * n), k)
        lost = n * hypergeom.cdf(t - 1, n - 1, n - 1 - int(gone * n), k)
        if ((opened < 2.0**-40) & (lost < 2.0**-30)).any():
            return k
    return n - 1


def lines(quick: bool) -> list[str]:
    rows = ["| " + " | ".join(TITLES) + " |", "|" + "---|" * len(TITLES)]
    sizes = ((4, 0), (16, 0)) if quick else ((4, 0), (5, 0), (5, 1), (16, 0), (16, 4), (77, 0), (77, 19))
    rows += ["| " + " | ".join(cost(*size)) + " |" for size in sizes]
    needed = [f"{neighbours(n, 1 / 3, 1 / 3)} of {n - 1}" for n in (16, 77, 1000)]
    rows += [
        "",
        f"Neighbours that a sparse graph needs if a third may be false and a third vanish: {', '.join(needed)}.",
    ]
    return rows
