"""A scorecard after alignment, host side: bins first, then the features that the guest selected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgpack

from federation.errors import LocalProtocolError, PartyId
from federation.messages import Message
from federation.policy import HostPolicy
from federation.responder import bad_value
from federation.vertical.binning.host import TRANSITIONS as BINNING
from federation.vertical.binning.host import BinningHost
from federation.vertical.binning.kept import KeptBins
from federation.vertical.binning.prebinning import Prebinning
from federation.vertical.logistic.host import TRANSITIONS as LOGISTIC
from federation.vertical.logistic.host import LogisticHost
from federation.vertical.logistic.state import LogisticState
from federation.vertical.scorecard.messages import Accepted, Selected
from models.scorecard.card import ScorecardHalf, WoeFeature
from models.table import Table

_BINNING_KINDS: Final = frozenset(kind for _, kind in BINNING)
_LOGISTIC_KINDS: Final = frozenset(kind for _, kind in LOGISTIC)
#: Every message of a scorecard after alignment.
KINDS: Final[frozenset[type[Message]]] = frozenset({Selected, *_BINNING_KINDS, *_LOGISTIC_KINDS})


@dataclass(slots=True)
class ScorecardHost:
    """Answers over ``table``, whose rows stand in run order."""

    party: PartyId
    table: Table
    policy: HostPolicy
    prebinning: Prebinning = field(default_factory=Prebinning)
    binning: BinningHost = field(init=False)
    logistic: LogisticHost | None = field(init=False, default=None)
    _numbers: tuple[int, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        self.binning = BinningHost(self.party, self.table, self.policy, self.prebinning)

    def answer(self, request: Message) -> Message:
        if type(request) in _BINNING_KINDS:
            return self.binning.answer(request)
        if isinstance(request, Selected) and self.logistic is None and self.kept:
            self.logistic = self._begin(self.kept, request.numbers)
            self._numbers = request.numbers
            return Accepted(n_features=len(request.numbers))
        if type(request) in _LOGISTIC_KINDS and self.logistic is not None:
            return self.logistic.answer(request)
        raise LocalProtocolError(
            "out_of_turn",
            f"A {request.kind} message is not accepted now.",
            f"此时不接受 {request.kind} 消息。",
        )

    @property
    def kept(self) -> KeptBins | None:
        """The host's own bins and WOE, once binning is over."""
        return self.binning.kept

    @property
    def selected(self) -> tuple[WoeFeature, ...] | None:
        """The features that the guest selected from those binned, in its order, once it has."""
        return self.logistic.features if self.logistic else None

    @property
    def n_fit(self) -> int:
        """Rows that are fitted, the first of the run."""
        return self.binning.state.n_fit

    @property
    def half(self) -> ScorecardHalf | None:
        """The host's half of the scorecard, once sealed."""
        return self.logistic.half if self.logistic else None

    def dump(self) -> bytes:
        """Everything remembered, for this party's own disk only."""
        fitting = self.logistic.state.dump() if self.logistic else b""
        return bytes(msgpack.packb([self.binning.dump(), list(self._numbers), fitting]))

    def load(self, data: bytes) -> None:
        """Take up what ``dump`` wrote, over the same table, policy and prebinning."""
        binning, numbers, fitting = msgpack.unpackb(data)
        self.binning.load(binning)
        self._numbers = tuple(numbers)
        if fitting and self.kept:
            self.logistic = self._begin(self.kept, self._numbers)
            self.logistic.state = LogisticState.load(fitting)

    def _begin(self, kept: KeptBins, numbers: tuple[int, ...]) -> LogisticHost:
        by_number = {f.number: f for f in kept.features}
        if len(set(numbers)) < len(numbers) or not set(numbers) <= set(by_number):
            raise bad_value("numbers of features", "特征编号")
        features = tuple(WoeFeature(by_number[n].prebins, by_number[n].bins) for n in numbers)
        return LogisticHost(self.party, self.table, features, self.policy)
