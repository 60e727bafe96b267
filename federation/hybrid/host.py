"""Learning in both directions, a host's half towards the coordinator: seeds, bins, cuts of its features, its half.

What the coordinator asks for is made for the applicants of every bank, and each bank fetches its part at a door of its
own (``federation.hybrid.seat``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgpack

from federation.errors import PartyId
from federation.horizontal.binning.messages import CellsWanted
from federation.horizontal.binning.messages import Open as OpenBinning
from federation.horizontal.binning.messages import Opened as OpenedBinning
from federation.horizontal.boosting.features import from_fields
from federation.horizontal.boosting.messages import Open, Opened
from federation.hybrid.messages import Cuts, Held, Seal, Sealed, Seeds, SeedsWanted
from federation.hybrid.seat import Seat
from federation.hybrid.state import HostState
from federation.hybrid.veils import MOST_BITS, new_seed
from federation.messages import Message
from federation.responder import Transitions, bad_value, next_phase
from models.boosting.splits import Split
from models.bundle import Half

#: (phase, request) → next phase; what is absent is refused.
TRANSITIONS: Final[Transitions] = {
    ("new", SeedsWanted): "seeded",
    ("seeded", OpenBinning): "counting",
    ("counting", CellsWanted): "counting",
    ("seeded", Open): "growing",
    ("counting", Open): "growing",
    ("growing", Cuts): "growing",
    ("growing", Seal): "sealed",
}
ALLOWED: Final[tuple[type[Message], ...]] = tuple(dict.fromkeys(kind for _, kind in TRANSITIONS))


@dataclass(slots=True)
class HybridHost:
    """Answers the coordinator; ``seats`` answer the banks that this party lets take part, one each, over what of its
    rows that bank may use."""

    party: PartyId
    seats: Mapping[PartyId, Seat]
    state: HostState = field(default_factory=HostState)

    @property
    def half(self) -> Half | None:
        """This party's half of the model, once sealed."""
        return Half.from_json(json.loads(self.state.half)) if self.state.half else None

    def answer(self, request: Message) -> Message:
        """The coordinator's door."""
        phase = next_phase(TRANSITIONS, self.state.phase, request)
        reply: Message = Held()
        match request:
            case SeedsWanted():
                reply = self._begin(request)
            case OpenBinning():
                for seat in self._begun:
                    seat.open_binning(request)
                reply = OpenedBinning()
            case CellsWanted():
                for seat in self._begun:
                    seat.count(request)
            case Open():
                reply = self._open(request)
            case Cuts():
                self._cut(request)
            case Seal():
                reply = self._seal(request)
        self.state.phase = phase
        return reply

    @property
    def _begun(self) -> list[Seat]:
        """Of banks that were aligned when the run began; who comes later has no veils."""
        return [seat for seat in self.seats.values() if seat.state.seed]

    def _begin(self, m: SeedsWanted) -> Message:
        if not 1 <= m.veil_bits <= MOST_BITS:
            raise bad_value("bits of veils", "遮蔽位数")
        seeds = {bank: new_seed() for bank, seat in self.seats.items() if seat.taken}
        for bank, seed in seeds.items():
            self.seats[bank].begin(seed, m.veil_bits)
        return Seeds(seeds=tuple(seeds.items()))

    def _open(self, m: Open) -> Message:
        for seat in self._begun:
            seat.open(m.features)
        self.state.model_id, self.state.features = m.model_id, m.features
        return Opened()

    def _cut(self, m: Cuts) -> None:
        bins = from_fields(self.state.features)
        if not all(0 <= f < len(bins) and 0 <= code < bins[f].n_bins for _, f, code, *_ in m.cuts):
            raise bad_value("cuts", "切分")
        for seat in self._begun:
            seat.cut(m.tree, m.cuts)
        self.state.splits += tuple((m.tree, f, code, missing_left) for _, f, code, missing_left, *_ in m.cuts)

    def _seal(self, m: Seal) -> Message:
        s = self.state
        splits = tuple(Split(f, code, missing_left) for tree, f, code, missing_left in s.splits if tree < m.n_trees)
        half = Half(s.model_id, self.party, from_fields(s.features), splits)
        s.half = json.dumps(half.to_json()).encode()
        self._hand_over()
        return Sealed(digest=half.digest(), features=half.numbers())

    def _hand_over(self) -> None:
        for seat in self._begun:
            seat.half = self.half

    def dump(self) -> bytes:
        """All that is remembered, for this party's own disk."""
        return bytes(msgpack.packb([self.state.dump(), *(seat.dump() for seat in self.seats.values())]))

    def load(self, data: bytes) -> None:
        """What ``dump`` gave, with the same banks."""
        own, *of_seats = msgpack.unpackb(data)
        self.state = HostState.load(own)
        for seat, of_seat in zip(self.seats.values(), of_seats, strict=True):
            seat.load(of_seat)
        self._hand_over()
