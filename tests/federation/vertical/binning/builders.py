"""Rows in one order at a bank and two hosts, and joint binning over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from federation.ciphers.interface import SecretCipher
from federation.ciphers.plain import PlainSecret
from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.policy import HostPolicy
from federation.script import Wire, run
from federation.transports.memory import AmnesiacWire, MemoryWire
from federation.vertical.binning.guest import Binned, JointBinning, fit_told, wished
from federation.vertical.binning.host import TRANSITIONS, BinningHost
from federation.vertical.binning.prebinning import Prebinning
from models.losses import Floats
from models.table import Table
from models.woe.fitting import FittedWoe, WoeRules, count_prebins
from models.woe.prebins import PrebinRules, Prebins
from tests.builders import BANK, HOSTS, PLAIN, texts

ALLOWED = tuple({kind for _, kind in TRANSITIONS})
N, N_FIT = 700, 600
FLOOR = 10
POLICY = HostPolicy(FLOOR, min_rows=1, cipher=PLAIN)
RULES = WoeRules(min_bin_share=0.03)
SPECIAL = -999.0


@dataclass(frozen=True)
class Rows:
    """One row order for all; the last 100 rows are not fitted."""

    bank: Table
    hosts: Mapping[PartyId, Table]
    label: Floats


def rows(seed: int = 0, n: int = N) -> Rows:
    """Missing values and special codes of all sizes, levels, a constant, an empty column, hand-cut ages."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).round(2)
    level = rng.choice(["农民工", "clerk", "nurse", "pilot", "smith"], n, p=[0.4, 0.3, 0.2, 0.095, 0.005])
    label = (x.sum(axis=1) + (level == "clerk") + rng.normal(size=n) > 1.5).astype(np.float64)
    many, few, special = x[:, 1].copy(), x[:, 2].copy(), x[:, 3].copy()
    many[rng.random(n) < 0.2] = np.nan
    few[[3, 50, 400]] = np.nan
    special[rng.random(n) < 0.15] = SPECIAL
    special[[7, 8, 9, 300]] = np.nan
    jobs = texts(*level)
    jobs[rng.random(n) < 0.1] = None
    ids = tuple(f"ID-{k:06d}" for k in range(n))
    tax = {"tax_paid_2023": x[:, 0], "tax_arrears": many, "tax_refunds": few}
    telecom = {
        "phone_bill": special,
        "occupation": jobs,
        "age": rng.integers(18, 80, n).astype(float),
        "constant": np.ones(n),
        "nothing": np.full(n, np.nan),
    }
    bank = {"loan_amount": (x[:, 0] + rng.normal(size=n)).round(3), "branch": texts(*rng.choice(["n", "s"], n))}
    return Rows(Table(ids, bank), {HOSTS[0]: Table(ids, tax), HOSTS[1]: Table(ids, telecom)}, label)


COARSE = PrebinRules(n_prebins=8, min_share=0.02)
PREBINNING = {
    BANK: Prebinning(trends={"loan_amount": "tree"}),
    HOSTS[0]: Prebinning(rules=COARSE, trends={"tax_paid_2023": "valley", "tax_refunds": "descending"}),
    HOSTS[1]: Prebinning(
        rules=COARSE,
        cut_points={"age": [18.0, 30.0, 45.0, 78.0]},
        special_codes={"phone_bill": [SPECIAL]},
    ),
}


@dataclass
class Binning:
    """Joint binning in memory, each part replaceable."""

    rows: Rows
    cipher: SecretCipher = field(default_factory=PlainSecret)
    policy: HostPolicy = POLICY
    rules: WoeRules = RULES
    prebinning: Mapping[PartyId, Prebinning] = field(default_factory=lambda: PREBINNING)
    min_cell: int = 10
    n_fit: int = N_FIT
    hosts: dict[PartyId, BinningHost] = field(init=False)

    def __post_init__(self) -> None:
        self.hosts = {party: self.build(party) for party in self.rows.hosts}

    def build(self, party: PartyId) -> BinningHost:
        return BinningHost(party, self.rows.hosts[party], self.policy, self.prebinning[party])

    def guest(self, **changes: object) -> JointBinning:
        terms: dict[str, object] = {
            "party": BANK,
            "table": self.rows.bank,
            "label": self.rows.label,
            "n_fit": self.n_fit,
            "hosts": tuple(self.rows.hosts),
            "cipher": self.cipher,
            "rules": self.rules,
            "prebinning": self.prebinning[BANK],
            "min_cell": self.min_cell,
        }
        return JointBinning(**(terms | changes))

    def wire(self) -> MemoryWire:
        return MemoryWire({party: Endpoint(host, BANK, ALLOWED).answer for party, host in self.hosts.items()})

    def amnesiac(self) -> AmnesiacWire:
        builds = {party: (lambda party=party: self.build(party)) for party in self.rows.hosts}
        return AmnesiacWire(BANK, builds, ALLOWED)

    def fit(self, wire: Wire | None = None) -> Binned:
        return run(self.guest().fit(), wire or self.wire())

    def told_rules(self) -> WoeRules:
        """What the guest's rules become for features of hosts."""
        least = {k: max(getattr(self.rules, k), self.min_cell) for k in ("min_goods", "min_bads")}
        return replace(self.rules, small_bins="merge", **least)


def by_column(binning: Binning, binned: Binned, party: PartyId) -> dict[str, FittedWoe]:
    """The guest's result for a host, under the names only the host knows."""
    kept = binning.hosts[party].kept
    assert kept is not None
    return {f.prebins.name: binned.hosts[party][f.number - 1] for f in kept.features}


def pooled(binning: Binning, party: PartyId, prebins: Prebins, rules: WoeRules) -> FittedWoe:
    """The same feature binned where labels and values lie together."""
    column = binning.rows.hosts[party].columns[prebins.name][: binning.n_fit]
    counts = count_prebins(prebins, prebins.encode(column), binning.rows.label[: binning.n_fit])
    return fit_told(counts, wished(rules, binning.prebinning[party].trend(prebins.name)))
