"""What coordinator and sites keep of a run of trees under way, so that it can go on: each on its own disk, never a
message. No key, seed, mask or share is in it: sums that are asked for again are hidden anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from federation.checkpoint import Keeping, need_same_rows
from federation.errors import PartyId
from federation.horizontal.aggregation.interface import Total
from federation.horizontal.aggregation.presence import Presence
from federation.state import SecretState
from models.bundle import JointModel


@dataclass(slots=True, repr=False)
class SiteCheckpoint(SecretState):
    """Attributes:
    rows: ``rows_digest`` of the site's rows, fitted and held out.
    boosting: ``BoostingState`` without what it has per row: margins follow from the trees, which are told again.
    tested: whether held-out rows were counted.
    """

    rows: str
    boosting: bytes
    tested: bool


@dataclass(slots=True, repr=False)
class CoordinatorCheckpoint(SecretState):
    """Attributes:
    plan: what is trained, JSON.
    times: how often the run was resumed.
    summed, retired: as in ``Presence``, after the last sum over all rows that was opened, or was about to be.
    model: the trees so far, as JSON; empty before the first were kept.
    contributors: of each tree.
    tested: whether held-out rows were counted, or were about to be; ``bands``, ``testers``: the sums, and over whom, if
        they were opened.
    """

    plan: str
    times: int = 0
    summed: tuple[PartyId, ...] = ()
    retired: tuple[PartyId, ...] = ()
    model: bytes = b""
    contributors: tuple[tuple[PartyId, ...], ...] = ()
    tested: bool = False
    bands: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    testers: tuple[PartyId, ...] = ()

    @property
    def joint(self) -> JointModel | None:
        """Raises ``ModelError`` if it is damaged."""
        return JointModel.from_json(json.loads(self.model)) if self.model else None


@dataclass(slots=True)
class Journal:
    """What the coordinator writes down of its run; what it does next may rest on its being on the disk.

    Taken up again, it brings back to ``presence`` whom sums were over: without that, a sum after the death, beside one
    before it, could tell a single site's numbers. Who left before any sum without it was opened may be back; who is
    out of sums stands aside.

    Attributes:
        keeping: where checkpoints go between trees, and when.
        write: where those go that cannot wait.
        kept: the newest checkpoint of this very run, if it is resumed.

    Raises:
        LocalProtocolError: ``rows_changed`` if the run is resumed under another plan.
    """

    presence: Presence
    plan: str
    keeping: Keeping
    write: Callable[[CoordinatorCheckpoint], None]
    kept: CoordinatorCheckpoint | None = None
    last: CoordinatorCheckpoint = field(init=False)

    def __post_init__(self) -> None:
        self.last = CoordinatorCheckpoint(self.plan)
        presence = self.presence
        presence.pledge = self._note
        if self.kept:
            need_same_rows(self.kept.plan, self.plan)
            everybody, retired = {*presence.sites, *presence.aside}, {*self.kept.retired}
            presence.summed, presence.retired = self.kept.summed, retired
            presence.sites = tuple(sorted(everybody - retired))
            presence.aside = tuple(sorted(everybody & retired))
            self.last = replace(self.kept, times=self.kept.times + 1)
            self._note()

    def keep(self, model: JointModel, contributors: Sequence[tuple[PartyId, ...]]) -> None:
        """Between two trees, once the sites have kept what they gave."""
        data = json.dumps(model.to_json(), ensure_ascii=False).encode()
        self.last = replace(self._present(), model=data, contributors=tuple(contributors))
        self.keeping.keep(self.last)

    def testing(self) -> None:
        """Before held-out rows are counted: they are not, a second time."""
        self.last = replace(self.last, tested=True)
        self._note()

    def tested(self, total: Total) -> None:
        """What came of it."""
        self.last = replace(self.last, bands=total.values, testers=total.contributors)
        self._note()

    def _note(self) -> None:
        self.last = self._present()
        self.write(self.last)

    def _present(self) -> CoordinatorCheckpoint:
        presence = self.presence
        return replace(self.last, summed=presence.summed, retired=tuple(sorted(presence.retired)))
