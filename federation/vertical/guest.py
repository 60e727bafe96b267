"""A whole training session, guest side: find the common applicants, choose rows, boost, ask how features moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federation.alignment.guest import choose_rows, find_common
from federation.audit.guest import countersign
from federation.audit.keeper import Keeper
from federation.checkpoint import Keeping
from federation.ciphers.interface import SecretCipher
from federation.errors import PartyId
from federation.messages import Goodbye
from federation.script import Script
from federation.vertical.boosting.checkpoint import GuestCheckpoint
from federation.vertical.boosting.guest import Fitted, JointBoosting, Progress, TrainingRows, first_joint_tree
from federation.vertical.boosting.recall import recall
from federation.vertical.stability.guest import ask_shifts
from models.boosting.parameters import BoostingParameters
from models.bundle import JointModel
from models.losses import Floats
from models.table import Table
from models.validation.features import FeatureShift


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Rows of a run, as indices into the guest's table: ``n_fit`` to fit, ``n_valid`` to watch, the rest held out."""

    rows: NDArray[np.intp]
    n_fit: int
    n_valid: int


@dataclass(frozen=True, slots=True)
class Trained:
    """Outcome of a session; ``fitted.margin`` belongs to ``arrangement.rows``, ``shifts`` to the hosts' features."""

    arrangement: Arrangement
    fitted: Fitted
    shifts: tuple[FeatureShift, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """What the guest brings.

    Attributes:
        label: per row of ``table``, what the objective learns: 1 = default, 0 = not.
        new_cipher: number of encryptions to come → a fresh key.
        arrange: indices of the common rows → their use.
        watch: told after each tree.
        opened: told once all hosts have agreed to the terms, before the first tree.
        weight: of every row of ``table``, above 0; none: all weigh 1.
        start: model to add trees to, of the same parties, up to ``n_estimators`` in all; its bins are kept.
        kept: checkpoints of this very run, newest first, if it is resumed: it goes on from the newest that all hold.
        keeping: where checkpoints go and when, if they are to be taken.
        keeper: the finished model → this party's audit log, if all parties keep one and countersign at the end.
    """

    model_id: str
    party: PartyId
    table: Table
    label: Floats
    hosts: Sequence[PartyId]
    parameters: BoostingParameters
    new_cipher: Callable[[int], SecretCipher]
    arrange: Callable[[NDArray[np.intp]], Arrangement]
    watch: Callable[[Progress], None] = lambda _: None
    opened: Callable[[JointBoosting], None] = lambda _: None
    weight: Floats | None = None
    start: JointModel | None = None
    kept: Sequence[GuestCheckpoint] = ()
    keeping: Keeping | None = None
    keeper: Callable[[JointModel], Keeper] | None = None


def train(job: TrainingJob) -> Script[Trained]:
    """The session from first to last message."""
    positions = yield from find_common(job.table.ids, job.hosts)
    everywhere = np.logical_and.reduce([np.ones(len(job.table), dtype=bool), *(p >= 0 for p in positions.values())])
    arrangement = job.arrange(np.flatnonzero(everywhere))
    chosen = arrangement.rows
    yield from choose_rows(positions, chosen)
    rows = TrainingRows(
        job.table.take(chosen),
        job.label[chosen],
        arrangement.n_fit,
        arrangement.n_valid,
        None if job.weight is None else job.weight[chosen],
    )
    resumed = yield from recall(job.hosts, job.kept, rows.digest(job.parameters) if job.kept else "")
    start = resumed.joint if resumed else job.start
    boosting = JointBoosting(
        job.model_id,
        job.party,
        rows,
        job.hosts,
        job.new_cipher(arrangement.n_fit * (job.parameters.n_estimators - first_joint_tree(job.parameters, start))),
        job.parameters,
        job.watch,
        job.opened,
        start,
        resumed,
        job.keeping,
    )
    fitted = yield from boosting.fit()
    names = {
        host: [f"{host} feature {number + 1}" for number in sorted(set(numbers))]
        for host, numbers in fitted.model.host_features.items()
    }
    shifts = yield from ask_shifts(names, len(chosen), arrangement.n_fit, arrangement.n_valid)
    if job.keeper:
        yield from countersign(job.party, job.model_id, job.hosts, job.keeper(fitted.model))
    yield {host: Goodbye(code="") for host in job.hosts}
    return Trained(arrangement, fitted, shifts)
