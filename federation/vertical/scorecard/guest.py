"""A whole scorecard session, guest side: common applicants, bins and WOE, selection, logistic regression."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from federation.alignment.guest import choose_rows, find_common
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
from models.errors import DataError
from models.losses import Floats
from models.scorecard.card import ScorecardRules, WoeFeature
from models.scorecard.logistic import LogisticRules
from models.scorecard.selection import SelectionRules, Verdict, select
from models.table import Table
from models.woe.fitting import WoeRules


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorecardJob:
    """What the guest brings.

    Attributes:
        label: 0/1 per row of ``table``, 1 = default.
        new_cipher: number of encryptions to come → a fresh key.
        arrange: indices of the common rows → their use.
        watch: told the name of each stage as it begins: ``binning``, ``fitting``.
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


@dataclass(frozen=True, slots=True)
class Developed:
    """Outcome of a session; ``fitted.margin`` belongs to ``arrangement.rows``."""

    arrangement: Arrangement
    binned: Binned
    verdicts: tuple[Verdict, ...]
    fitted: FittedScorecard


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
    verdicts = select({job.party: binned.own, **binned.hosts}, job.selection)
    # By what is in them: hosts number their features at random, and sums of floats depend on their order.
    strongest = sorted(verdicts, key=lambda v: (-v.information_value, v.place))
    parties = (job.party, *job.hosts)
    kept = {party: [v.place for v in strongest if v.party == party and not v.reason] for party in parties}
    if not any(kept.values()):
        raise DataError(
            "nothing_selected",
            f"None of the {len(verdicts)} features passes the selection: lower min_information_value, or look at their "
            "flags in the binning tables.",
            f"{len(verdicts)} 个特征均未通过筛选：请降低 min_information_value，或查看分箱表中的提示。",
        )
    yield from _tell(kept, job.hosts)
    own = tuple(WoeFeature(binned.prebins[k], binned.own[k].bins) for k in kept[job.party])
    job.watch("fitting")
    fitted = yield from JointLogistic(
        job.model_id, job.party, ScorecardRows(table, label, n_fit), own, job.hosts, cipher, job.fitting, job.points
    ).fit()
    yield {host: Goodbye(code="") for host in job.hosts}
    numbered = replace(fitted.model, host_features={host: tuple(kept[host]) for host in job.hosts})
    return Developed(arrangement, binned, verdicts, replace(fitted, model=numbered))


def _tell(kept: Mapping[PartyId, list[int]], hosts: Sequence[PartyId]) -> Script[None]:
    replies = yield {host: Selected(numbers=tuple(k + 1 for k in kept[host])) for host in hosts}
    for host in hosts:
        if expect(replies, host, Accepted).n_features != len(kept[host]):
            raise RemoteProtocolError(host, "bad_value", "accepted other features.", "接受的特征不符。")
