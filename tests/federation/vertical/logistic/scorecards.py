"""Joint scorecards in memory, each part replaceable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from federation.ciphers.interface import SecretCipher
from federation.ciphers.plain import PlainSecret
from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.messages import Message
from federation.policy import HostPolicy
from federation.script import Wire, run
from federation.transports.memory import MemoryWire
from federation.vertical.logistic.guest import FittedScorecard, JointLogistic, ScorecardRows
from federation.vertical.logistic.host import TRANSITIONS, LogisticHost
from federation.vertical.logistic.state import LogisticState
from models.losses import Floats
from models.scorecard.card import ScorecardRules, WoeFeature, woe_of
from models.scorecard.logistic import LogisticRules
from models.table import Table
from models.woe.fitting import WoeRules, count_prebins, fit_woe
from models.woe.prebins import PrebinRules, fit_prebins
from tests.builders import BANK, PLAIN, join_tables, numbers, texts

ALLOWED = tuple({kind for _, kind in TRANSITIONS})


def woe_features(table: Table, label: Floats, n_fit: int, max_bins: int = 4) -> tuple[WoeFeature, ...]:
    """Final bins of all columns, from the fitted rows."""
    fit = table.take(np.arange(n_fit))
    found = []
    for prebins in fit_prebins(fit, PrebinRules(n_prebins=8, min_share=0.03)):
        counts = count_prebins(prebins, prebins.encode(fit.columns[prebins.name]), label[:n_fit])
        rules = WoeRules(method="tree", max_bins=max_bins, min_apart_count=20)
        found.append(WoeFeature(prebins, fit_woe(counts, rules).bins))
    return tuple(found)


@dataclass
class Session:
    """Rows stand in one order; ``tables``: the bank's first, then one per host."""

    tables: Sequence[Table]
    label: Floats
    n_fit: int
    cipher: Callable[[], SecretCipher] = PlainSecret
    policy: HostPolicy = field(default_factory=lambda: HostPolicy(min_rows_per_bin=5, min_rows=1, cipher=PLAIN))
    rules: LogisticRules = field(default_factory=LogisticRules)
    points: ScorecardRules = field(default_factory=ScorecardRules)
    weight: Floats | None = None
    max_margins: int = 12
    features: list[tuple[WoeFeature, ...]] = field(init=False)
    hosts: dict[PartyId, LogisticHost] = field(init=False)

    def __post_init__(self) -> None:
        self.features = [woe_features(table, self.label, self.n_fit) for table in self.tables]
        self.hosts = {party: build() for party, build in self.builds.items()}

    @property
    def builds(self) -> dict[PartyId, Callable[[], LogisticHost]]:
        def build(k: int) -> Callable[[], LogisticHost]:
            return lambda: LogisticHost(f"host:{k}", self.tables[k], self.features[k], self.policy)

        return {f"host:{k}": build(k) for k in range(1, len(self.tables))}

    def wire(self) -> MemoryWire:
        return MemoryWire({party: Endpoint(host, BANK, ALLOWED).answer for party, host in self.hosts.items()})

    def guest(self) -> JointLogistic:
        rows = ScorecardRows(self.tables[0], self.label, self.n_fit, self.weight)
        return JointLogistic(
            "m-1",
            BANK,
            rows,
            self.features[0],
            tuple(self.hosts),
            self.cipher(),
            self.rules,
            self.points,
            self.max_margins,
        )

    def fit(self, wire: Wire | None = None) -> FittedScorecard:
        return run(self.guest().fit(), wire or self.wire())

    def pooled(self) -> Floats:
        """WOE of all parties side by side, shape ``(n_rows, n_features)``."""
        joined = join_tables(*self.tables)
        return woe_of([f for of_party in self.features for f in of_party], joined)


@dataclass
class Dumped:
    """A host as an amnesiac wire wants it."""

    host: LogisticHost

    def answer(self, request: Message) -> Message:
        return self.host.answer(request)

    def dump(self) -> bytes:
        return self.host.state.dump()

    def load(self, data: bytes) -> None:
        self.host.state = LogisticState.load(data)


def three_parties(n: int = 400, seed: int = 0) -> tuple[list[Table], Floats]:
    """A bank and two hosts whose features go together; missing values and levels; label."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)) @ (np.eye(6) + 0.25)
    jobs = texts(*np.array(["clerk", "nurse", "pilot"])[np.digitize(x[:, 3], [-0.5, 0.9])])
    label = (x @ numbers(0.6, -0.5, 0.8, -0.9, 0.5, 0.3) + rng.logistic(size=n) > 0.8).astype(np.float64)
    x[rng.random(x.shape) < 0.08] = np.nan
    ids = tuple(f"ID-3301-{k:06d}" for k in range(n))
    columns = {
        "loan_amount": x[:, 0],
        "monthly_income": x[:, 1],
        "tax_paid_2023": x[:, 2],
        "occupation_class": jobs,
        "phone_bill_mean": x[:, 4],
        "calls_abroad": x[:, 5],
    }
    whole = Table(ids, columns)
    names = list(columns)
    return [whole.select(tuple(names[k : k + 2])) for k in (0, 2, 4)], label


def coefficients(fitted: FittedScorecard) -> Floats:
    """All of them, the intercept first, party after party."""
    found = [fitted.intercept, *fitted.own, *(c for of_host in fitted.of_hosts.values() for c in of_host)]
    return np.array([c.value for c in found])
