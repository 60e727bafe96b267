"""Three banks in two cities with a credit centre, a tax bureau and a guarantor each, over shares of one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from federation.ciphers.interface import SecretCipher
from federation.ciphers.plain import PlainSecret
from federation.ciphers.suite import CipherRules
from federation.codec import decode
from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.horizontal.aggregation.masking.coordinator import MaskedAggregation
from federation.horizontal.aggregation.masking.site import MaskingSite
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.binning.coordinator import Feature
from federation.hybrid.bank import HybridBank
from federation.hybrid.coordinator import HybridLearning, Learnt
from federation.hybrid.features import Hosts
from federation.hybrid.host import ALLOWED as OF_COORDINATOR
from federation.hybrid.host import HybridHost
from federation.hybrid.seat import ALLOWED as OF_BANK
from federation.hybrid.seat import Seat
from federation.messages import Message
from federation.policy import HostPolicy
from federation.script import run
from models.binning import FeatureBins
from models.boosting.parameters import BoostingParameters
from models.losses import Floats
from models.table import Table, is_category
from tests.federation.horizontal.boosting.cities import PARAMETERS
from tests.federation.horizontal.sites import COORDINATOR, SESSION, names, signings

#: Who holds which columns of ``tests.builders.vertical_problem``.
OWN = ("loan_amount", "monthly_income")
HOSTED = {
    "credit": ("phone_bill_mean",),
    "tax": ("tax_paid_2023", "tax_arrears_days"),
    "guarantor": ("occupation_class",),
}
POLICY = HostPolicy(min_rows=1, cipher=CipherRules(insecure_allow_plaintext=True))

#: (sender, receiver, message)
Passed = tuple[PartyId, PartyId, Message]


def never(sender: PartyId, receiver: PartyId, request: Message) -> bool:
    return False


@dataclass
class HybridWire:
    """A memory wire from one party to doors; keeps what passes, and leaves out who is lost."""

    sender: PartyId
    doors: Mapping[PartyId, Endpoint]
    passed: list[Passed]
    lost: Callable[[PartyId, PartyId, Message], bool] = never

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        replies = {}
        for party, frame in frames.items():
            request = decode(frame, self.sender)
            if self.lost(self.sender, party, request):
                continue
            self.passed.append((self.sender, party, request))
            replies[party], _ = self.doors[party].answer(frame)
            self.passed.append((party, self.sender, decode(replies[party], party)))
        return replies


def feature_of(table: Table, name: str) -> Feature:
    column = table.columns[name]
    if not is_category(column):
        return Feature(name)
    return Feature(name, category=True, levels=tuple(sorted({v for v in column if v is not None})))


@dataclass
class Trial:
    """``parts``: rows of each bank; ``city_of``: number of each bank's city. Hosts know every row of their city, and
    strangers, in an order of their own."""

    table: Table
    label: Floats
    parts: Sequence[np.ndarray]
    city_of: Sequence[int]
    parameters: BoostingParameters = PARAMETERS
    own: tuple[str, ...] = OWN
    hosted: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: HOSTED)
    new_cipher: Callable[[int], SecretCipher] = lambda _: PlainSecret()
    policy: HostPolicy = POLICY
    lost: Callable[[PartyId, PartyId, Message], bool] = never
    passed: list[Passed] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = names(len(self.parts))
        known = signings(len(self.parts))
        self.cities = {
            bank: {kind: f"host:{kind}-{city}" for kind in self.hosted}
            for bank, city in zip(self.names, self.city_of, strict=True)
        }
        self.hosts = {
            f"host:{kind}-{city}": self._host(kind, city) for kind in self.hosted for city in sorted({*self.city_of})
        }
        self.banks = {bank: self._bank(bank, rows, known) for bank, rows in zip(self.names, self.parts, strict=True)}
        doors = {
            **{bank: Endpoint(b, COORDINATOR, b.allowed) for bank, b in self.banks.items()},
            **{party: Endpoint(host, COORDINATOR, OF_COORDINATOR) for party, host in self.hosts.items()},
        }
        self.wire = HybridWire(COORDINATOR, doors, self.passed, self.lost)
        self.learning = HybridLearning(
            "m-1",
            MaskedAggregation(SESSION, Presence(self.names), known[self.names[0]]),
            self.cities,
            [feature_of(self.table, name) for name in self.own],
            {kind: [feature_of(self.table, name) for name in of] for kind, of in self.hosted.items()},
            self.parameters,
            most_rows=2**16,
        )

    def _host(self, kind: str, city: int) -> HybridHost:
        rows = np.concatenate([part for part, of in zip(self.parts, self.city_of, strict=True) if of == city])
        rows = np.random.default_rng(len(kind) + city).permutation(rows)
        held = self.table.select(self.hosted[kind]).take(rows)
        strangers = tuple(f"STRANGER-{kind}-{k}" for k in range(7))
        table = Table(held.ids + strangers, {m: np.concatenate([c, c[:7]]) for m, c in held.columns.items()})
        served = [bank for bank, of in zip(self.names, self.city_of, strict=True) if of == city]
        return HybridHost(f"host:{kind}-{city}", {bank: Seat(table, self.policy) for bank in served})

    def _bank(self, bank: PartyId, rows: np.ndarray, known: Mapping[PartyId, object]) -> HybridBank:
        parties = self.cities[bank]
        doors = {host: Endpoint(self.hosts[host].seats[bank], bank, OF_BANK) for host in parties.values()}
        wire = HybridWire(bank, doors, self.passed, self.lost)
        site = MaskingSite(bank, SESSION, known[bank])
        table, label = self.table.select(self.own).take(rows), self.label[rows]
        return HybridBank(bank, table, label, Hosts(parties, wire), site, self.new_cipher)

    def learn(self) -> Learnt:
        return run(self.learning.learn(), self.wire)

    @property
    def pooled(self) -> np.ndarray:
        """All rows that take part, bank after bank."""
        return np.concatenate([part[bank.rows] for part, bank in zip(self.parts, self.banks.values(), strict=True)])

    def margin(self) -> Floats:
        """As banks have them after training."""
        return np.concatenate([bank.boosting.state.margin for bank in self.banks.values()])


def coded(table: Table, bins: Sequence[FeatureBins], rows: np.ndarray) -> Table:
    """Rows whose values are the bins themselves: any engine that bins them anew has these bins."""
    columns = {}
    for number, b in enumerate(bins):
        codes = b.encode(table.columns[b.name][rows])
        missing = codes == b.missing_code
        if b.category:
            columns[f"{number}"] = np.array([None if m else f"{c:03d}" for c, m in zip(codes, missing, strict=True)])
        else:
            columns[f"{number}"] = np.where(missing, np.nan, codes)
    return Table(tuple(table.ids[r] for r in rows), columns)
