"""A whole scorecard session, guest side: common applicants, bins and WOE, selection, logistic regression."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from federation.alignment.guest import choose_rows, find_common
from federation.audit.guest import countersign
from federation.audit.keeper import Keeper
from federation.ciphers.interface import SecretCipher
from federation.errors import PartyId, RemoteProtocolError
from federation.expect import expect
from federation.messages import Goodbye
from federation.script import Script
from federation.vertical.binning.guest import Binned, JointBinning
from federation.vertical.binning.prebinning import Prebinning
from federation.vertical.guest import Arrangement
from federation.vertical.logistic.guest import FittedScorecard, JointLogistic, ScorecardRows
from federation.vertical.scorecard.messages import Accepted, Selected
from federation.vertical.stability.guest import ask_shifts
from models.errors import DataError
from models.losses import Floats
from models.scorecard.card import JointScorecard, ScorecardRules, WoeFeature
from models.scorecard.logistic import LogisticRules
from models.scorecard.selection import Selection, SelectionRules, Verdict, select
from models.table import Table
from models.validation.features import FeatureShift, binned_by_woe, feature_shifts
from models.woe.fitting import WoeRules


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorecardJob:
    """What the guest brings.

    Attributes:
        label: 0/1 per row of ``table``, 1 = default.
        new_cipher: number of encryptions to come → a fresh key.
        arrange: indices of the common rows → their use.
        watch: told the name of each stage as it begins: ``binning``, ``fitting``.
        weight: of every row of ``table``, above 0, in the regression; bins count applicants. None: all weigh 1.
        keeper: the finished model → this party's audit log, if all parties keep one and countersign at the end.
    """

    model_id: str
    party: PartyId
    table: Table
    label: Floats
    hosts: Sequence[PartyId]
    new_cipher: Callable[[int], SecretCipher]
    arrange: Callable[[NDArray[np.intp]], Arrangement]
    prebinning: Prebinning = field(default_factory=Prebinning)
    binning: WoeRules = field(default_factory=WoeRules)
    selection: SelectionRules = field(default_factory=SelectionRules)
    fitting: LogisticRules = field(default_factory=LogisticRules)
    points: ScorecardRules = field(default_factory=ScorecardRules)
    watch: Callable[[str], None] = lambda _: None
    weight: Floats | None = None
    keeper: Callable[[JointScorecard], Keeper] | None = None


@dataclass(frozen=True, slots=True)
class Developed:
    """Outcome of a session; ``fitted.margin`` belongs to ``arrangement.rows``, ``shifts`` to
    the features of the scorecard, the guest's own first."""

    arrangement: Arrangement
    binned: Binned
    verdicts: tuple[Verdict, ...]
    fitted: FittedScorecard
    shifts: tuple[FeatureShift, ...]


def develop(job: ScorecardJob) -> Script[Developed]:
    """The session from first to last message.

    Raises:
        DataError: ``nothing_selected`` if no feature passes the selection; and what its parts raise.
    """
    positions = yield from find_common(job.table.ids, job.hosts)
    everywhere = np.logical_and.reduce([np.ones(len(job.table), dtype=bool), *(p >= 0 for p in positions.values())])
    arrangement = job.arrange(np.flatnonzero(everywhere))
    rows, n_fit = arrangement.rows, arrangement.n_fit
    yield from choose_rows(positions, rows)
    table, label = job.table.take(rows), job.label[rows]
    cipher = job.new_cipher(12 * n_fit)
    job.watch("binning")
    binned = yield from JointBinning(
        job.party, table, label, n_fit, job.hosts, cipher, job.binning, job.prebinning
    ).fit()
    selection = Selection(job.selection, list(select({job.party: binned.own, **binned.hosts}, job.selection)))
    if not selection.columns:
        raise DataError(
            "nothing_selected",
            f"None of the {len(selection.verdicts)} features passes the selection: lower min_information_value, or "
            "look at their flags in the binning tables.",
            f"{len(selection.verdicts)} 个特征均未通过筛选：请降低 min_information_value，或查看分箱表中的提示。",
        )
    yield from _tell({host: selection.places(host) for host in job.hosts})
    own = tuple(WoeFeature(binned.prebins[k], binned.own[k].bins) for k in selection.places(job.party))
    held_out = np.arange(n_fit + arrangement.n_valid, len(rows))
    shifts = feature_shifts(binned_by_woe(table, own), np.arange(n_fit), held_out)
    names = {host: selection.names(host) for host in job.hosts}
    shifts += yield from ask_shifts(names, len(rows), n_fit, arrangement.n_valid)
    selection.moved = [s.stability.index if s.stability else None for s in shifts]
    job.watch("fitting")
    weight = None if job.weight is None else job.weight[rows[:n_fit]]
    fitted = yield from JointLogistic(
        job.model_id,
        job.party,
        ScorecardRows(table, label, n_fit, weight),
        own,
        job.hosts,
        cipher,
        job.fitting,
        job.points,
        screen=selection.screen,
        eliminate=selection.eliminate,
    ).fit()
    numbered = replace(fitted.model, host_features={host: tuple(selection.places(host)) for host in job.hosts})
    if job.keeper:
        yield from countersign(job.party, job.model_id, job.hosts, job.keeper(numbered))
    yield {host: Goodbye(code="") for host in job.hosts}
    used = {(party, name) for party in (job.party, *job.hosts) for name in selection.names(party)}
    moved = tuple(s for s in shifts if (s.party or job.party, s.name) in used)
    return Developed(arrangement, binned, tuple(selection.verdicts), replace(fitted, model=numbered), moved)


def _tell(kept: Mapping[PartyId, list[int]]) -> Script[None]:
    """Which features of each host go into the fit."""
    replies = yield {host: Selected(numbers=tuple(k + 1 for k in places)) for host, places in kept.items()}
    for host, places in kept.items():
        if expect(replies, host, Accepted).n_features != len(places):
            raise RemoteProtocolError(host, "bad_value", "accepted other features.", "接受的特征不符。")
