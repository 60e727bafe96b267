"""Banks and data nodes of two cities in one model: is it the pooled one, and what does each bank gain?

    python experiments/0023-both-ways/run.py --data FOLDER [--quick]

Two settings. *Synthetic*: two cities of ``lab.data.synthetic``, two banks in one and one in the other, each city with a
credit centre, a tax bureau and a guarantor; out of time. *SBA*: loans split by ``Bank`` and ``State``, three banks in
California and three in Ohio, Pennsylvania and New York; the borrower's columns as if with three nodes of each region;
three tenths held out at random. Gradients travel behind the cipher's interface in clear, which changes no bit of a
model; a short run under 2,048-bit Paillier says what encryption costs. Everything in one process through the real
codec; sums over banks are masked. Writes the tables in RESULT.md beside this file.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from federation.ciphers.interface import SecretCipher
from federation.ciphers.plain import PlainSecret
from federation.ciphers.suite import CipherRules, secret_cipher
from federation.ciphers.suites.choice import suite
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
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.agreement import Seals
from federation.transports.memory import MemoryWire
from federation.vertical.boosting.guest import JointBoosting, TrainingRows
from lab.data.synthetic.state import Settings
from lab.data.synthetic.writing import OUT_OF_TIME_FROM, write_population
from lab.estimators.frames import as_table
from lab.result_page import put_lines
from models.boosting.parameters import BoostingParameters
from models.boosting.trees import margins
from models.losses import Floats
from models.table import Table, is_category
from models.validation.discrimination import auc_gain, auc_interval

PARAMETERS = BoostingParameters(
    n_estimators=60,
    learning_rate=0.1,
    max_depth=3,
    max_bin=16,
    min_child_samples=0,
    min_child_weight=5.0,
    reg_lambda=5.0,
    max_cat_to_onehot=255,
)
SEEDS = (101, 102)
CALIFORNIA, EAST = ("CA",), ("OH", "PA", "NY")
SBA_BANKS = {
    "BANK OF AMERICA NATL ASSOC": CALIFORNIA,
    "CAPITAL ONE NATL ASSOC": CALIFORNIA,
    "WELLS FARGO BANK NATL ASSOC": CALIFORNIA,
    "CITIZENS BANK NATL ASSOC": EAST,
    "PNC BANK, NATIONAL ASSOCIATION": EAST,
    "JPMORGAN CHASE BANK NATL ASSOC": EAST,
}
SBA_OWN = ("GrAppv", "share_guaranteed", "RevLineCr", "LowDoc", "DisbursementGross")
SBA_HOSTED = {
    "registry": ("NewExist", "franchise"),
    "tax": ("NoEmp", "CreateJob", "RetainedJob"),
    "district": ("UrbanRural", "sector"),
}
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Setting:
    """Attributes:
    table, label: all rows with all columns.
    fit, late: rows of each bank.
    city_of: each bank's city.
    """

    table: Table
    label: Floats
    banks: tuple[str, ...]
    fit: tuple[Rows, ...]
    late: tuple[Rows, ...]
    city_of: tuple[int, ...]
    own: tuple[str, ...]
    hosted: Mapping[str, tuple[str, ...]]

    @property
    def everything(self) -> tuple[str, ...]:
        return (*self.own, *(name for of in self.hosted.values() for name in of))


@dataclass
class CountingWire:
    """A memory wire that counts bytes by link."""

    inner: MemoryWire
    sender: str
    n_bytes: Counter[str]

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        replies = self.inner.exchange(frames)
        for party in frames:
            self.n_bytes[f"{self.sender} and {party.split(':')[0]}"] += len(frames[party]) + len(replies[party])
        return replies


@dataclass
class Together:
    """All parties of a run."""

    setting: Setting
    parameters: BoostingParameters
    new_cipher: Callable[[int], SecretCipher]
    n_bytes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        s = self.setting
        names = tuple(f"bank:{k}" for k in range(len(s.banks)))
        keys = {name: suite("international").new_signing_key() for name in names}
        known = {name: ("international", suite("international").verifying_key(key)) for name, key in keys.items()}
        seals = {name: Seals.with_key("international", key, known) for name, key in keys.items()}
        cities = {
            name: {kind: f"host:{kind}-{city}" for kind in s.hosted}
            for name, city in zip(names, s.city_of, strict=True)
        }
        policy = HostPolicy(cipher=CipherRules(insecure_allow_plaintext=True))
        self.hosts: dict[PartyId, HybridHost] = {}
        for city in sorted(set(s.city_of)):
            served = [k for k, of in enumerate(s.city_of) if of == city]
            rows = np.concatenate([s.fit[k] for k in served])
            for kind, columns in s.hosted.items():
                party = f"host:{kind}-{city}"
                table = s.table.select(columns).take(rows)
                self.hosts[party] = HybridHost(party, {names[k]: Seat(table, policy) for k in served})
        self.banks = {}
        for k, name in enumerate(names):
            doors = {h: Endpoint(self.hosts[h].seats[name], name, OF_BANK).answer for h in cities[name].values()}
            wire = CountingWire(MemoryWire(doors), "bank", self.n_bytes)
            self.banks[name] = HybridBank(
                name,
                s.table.select(s.own).take(s.fit[k]),
                s.label[s.fit[k]],
                Hosts(cities[name], wire),
                MaskingSite(name, "s", seals[name]),
                self.new_cipher,
            )
        answers = {name: Endpoint(bank, "coordinator", bank.allowed).answer for name, bank in self.banks.items()}
        answers |= {h: Endpoint(host, "coordinator", OF_COORDINATOR).answer for h, host in self.hosts.items()}
        self.wire = CountingWire(MemoryWire(answers), "coordinator", self.n_bytes)
        self.cities = cities
        self.learning = HybridLearning(
            "m",
            MaskedAggregation("s", Presence(names), seals[names[0]]),
            cities,
            [self.feature(name) for name in s.own],
            {kind: [self.feature(name) for name in columns] for kind, columns in s.hosted.items()},
            self.parameters,
            most_rows=2**16,
        )

    def feature(self, name: str) -> Feature:
        column = self.setting.table.columns[name]
        if not is_category(column):
            return Feature(name)
        return Feature(name, category=True, levels=tuple(sorted({v for v in column if v is not None})))

    def learn(self) -> Learnt:
        return run(self.learning.learn(), self.wire)

    def margin(self, learnt: Learnt, k: int) -> Floats:
        """Of the late applicants of bank number ``k``, by its model and the halves of its city's hosts."""
        name = f"bank:{k}"
        late, model = self.setting.table.take(self.setting.late[k]), learnt.models[name]
        routes = {name: model.own.routes(late)}
        for host in self.cities[name].values():
            half = self.hosts[host].half
            assert half is not None
            routes[host] = half.routes(late)
        return margins(model.trees, model.base_margin, routes, len(late))

    def is_pooled(self, learnt: Learnt) -> bool:
        """Whether all rows and columns in one place give the same margins, to the last bit, over the same bins."""
        s = self.setting
        rows = np.concatenate([fit[bank.rows] for fit, bank in zip(s.fit, self.banks.values(), strict=True)])
        columns: dict[str, NDArray[np.float64] | NDArray[np.object_]] = {}
        for b in learnt.bins:
            codes = b.encode(s.table.columns[b.name][rows])
            gone = codes == b.missing_code
            if b.category:
                columns[b.name] = np.array(
                    [None if m else f"{c:03d}" for c, m in zip(codes, gone, strict=True)], dtype=object
                )
            else:
                columns[b.name] = np.where(gone, np.nan, codes.astype(np.float64))
        table = Table(tuple(s.table.ids[r] for r in rows), columns)
        pooled, _ = local(table, s.label[rows], np.arange(len(rows)), table, self.parameters)
        sites = [bank.boosting for bank in self.banks.values() if bank.boosting]
        return pooled.tobytes() == np.concatenate([site.state.margin for site in sites]).tobytes()


def local(
    table: Table, label: Floats, fit: Rows, late: Table, p: BoostingParameters = PARAMETERS
) -> tuple[Floats, Floats]:
    """Margins of the fitted and of the late rows, by this project's trees in one place."""
    rows = TrainingRows(table.take(fit), label[fit], len(fit))
    fitted = run(JointBoosting("m", "bank", rows, (), PlainSecret(), p).fit(), MemoryWire({}))
    model = fitted.model
    return fitted.margin, margins(model.trees, model.base_margin, {"bank": model.own.routes(late)}, len(late))


def synthetic(quick: bool) -> Setting:
    """Two cities; applicants known to all hosts of theirs, who fit before July 2024."""
    frames = []
    for city, seed in enumerate(SEEDS):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "city"
            write_population(path, Settings(n_enterprises=6_000 if quick else 50_000, seed=seed))

            def read(party: str, path: Path = path) -> pd.DataFrame:
                frame = pd.read_parquet(path / party / "synthetic-features.parquet").drop(columns="synthetic")
                return frame.set_index("subject")

            frame = read("bank")
            for host in ("credit", "tax", "guarantee"):
                own = read(f"host-{host}").drop(columns="as_of").add_prefix(f"{host}.")
                frame = frame.join(own, how="inner")
        frames.append(frame.sort_index().assign(city=city))
    frame = pd.concat(frames)
    label = frame.pop("default").to_numpy(dtype=np.float64)
    late = frame.pop("as_of").to_numpy() >= OUT_OF_TIME_FROM
    city = frame.pop("city").to_numpy()
    bank = np.where(city == 1, 2, np.random.default_rng(0).random(len(city)) < 0.3)
    columns = [str(name) for name in frame]
    table = as_table(frame, columns)
    table = Table(tuple(f"{k}-{i}" for k, i in enumerate(frame.index)), table.columns)
    kinds = {kind: tuple(n for n in columns if n.startswith(f"{kind}.")) for kind in ("credit", "tax", "guarantee")}
    return Setting(
        table,
        label,
        ("A, city 1", "B, city 1", "C, city 2"),
        tuple(np.flatnonzero((bank == k) & ~late) for k in range(3)),
        tuple(np.flatnonzero((bank == k) & late) for k in range(3)),
        (0, 0, 1),
        tuple(n for n in columns if "." not in n),
        kinds,
    )


def sba(data: Path) -> Setting:
    frame = pd.read_csv(data / "sba_loans.csv.gz").dropna(subset=["MIS_Status"]).reset_index(drop=True)
    frame = frame.assign(
        share_guaranteed=frame.SBA_Appv / frame.GrAppv,
        sector=frame.NAICS.astype(str).str[:2],
        franchise=(frame.FranchiseCode > 1).astype(float),
    )
    columns = [*SBA_OWN, *(name for of in SBA_HOSTED.values() for name in of)]
    rng = np.random.default_rng(0)
    parts = [
        rng.permutation(np.flatnonzero((frame.Bank == bank) & frame.State.isin(states)))
        for bank, states in SBA_BANKS.items()
    ]
    return Setting(
        as_table(frame[columns], columns),
        (frame.MIS_Status == "CHGOFF").to_numpy(dtype=np.float64),
        tuple(bank.title() for bank in SBA_BANKS),
        tuple(rows[: len(rows) * 7 // 10] for rows in parts),
        tuple(rows[len(rows) * 7 // 10 :] for rows in parts),
        tuple(int(states is EAST) for states in SBA_BANKS.values()),
        SBA_OWN,
        SBA_HOSTED,
    )


def gained(label: Floats, score: Floats, reference: Floats) -> str:
    """Difference of AUCs with DeLong's interval."""
    gain = auc_gain(label, score, reference).gain
    return f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"


def compared(name: str, s: Setting, p: BoostingParameters) -> list[str]:
    """A table: every bank by itself, with its city's nodes, with the other banks, and with all."""
    started = time.process_time()
    together = Together(s, p, lambda _: PlainSecret())
    learnt = together.learn()
    seconds = time.process_time() - started
    everyone = np.concatenate(s.fit)
    titles = ["bank", "rows fitted", "held out", "default rate", "alone", "banks only", "its city only", "all together"]
    titles += ["all − alone", "all − its city", "all − banks"]
    lines = [f"**{name}**", "", "| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    scores: list[list[Floats]] = []
    for k, bank in enumerate(s.banks):
        late, y = s.table.take(s.late[k]), s.label[s.late[k]]
        own, everything = s.table.select(s.own), s.table.select(s.everything)
        alone = local(own, s.label, s.fit[k], late, p)[1]
        banks = local(own, s.label, everyone, late, p)[1]
        city = local(everything, s.label, s.fit[k], late, p)[1]
        of_all = together.margin(learnt, k)
        scores.append([alone, banks, city, of_all])
        lines.append(row(bank, len(s.fit[k]), s.label[s.fit[k]], y, scores[-1]))
    late_label = np.concatenate([s.label[rows] for rows in s.late])
    joined = [np.concatenate(of) for of in zip(*scores, strict=True)]
    lines.append(row("all", len(everyone), s.label[everyone], late_label, joined))
    same = "the same to the last bit" if together.is_pooled(learnt) else "NOT THE SAME"
    lines += [
        "",
        f"Margins after training against all rows and columns in one place over the same bins: {same} "
        f"({len(everyone):,} rows, {len(s.everything)} features, {p.n_estimators} trees; {seconds:.0f} CPU s for all "
        "parties, gradients in clear).",
        "",
    ]
    return lines


def row(bank: str, n_fit: int, fitted: Floats, y: Floats, scores: Sequence[Floats]) -> str:
    of_all = scores[-1]
    cells = [bank, f"{n_fit:,}", f"{len(y):,}", f"{fitted.mean():.3f}"]
    cells += [f"{auc_interval(y, score).value:.4f}" for score in scores]
    cells += [gained(y, of_all, scores[0]), gained(y, of_all, scores[2]), gained(y, of_all, scores[1])]
    return "| " + " | ".join(cells) + " |"


def cost(s: Setting, n_trees: int) -> list[str]:
    """CPU and bytes under Paillier against gradients in clear; bins and alignment are in both."""
    titles = ["gradients", "CPU s a tree, all parties", "MB a tree, banks and hosts", "MB a tree, coordinator"]
    lines = ["**What a tree costs, SBA setting**", "", "| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    rules = CipherRules(insecure_allow_plaintext=True)
    for name in ("plain", "paillier"):
        spent: list[tuple[float, float, float]] = []
        for n in (1, 1 + n_trees):
            keys = iter([secret_cipher(name, 2048, rules) for _ in s.banks])
            together = Together(s, replace(PARAMETERS, n_estimators=n), lambda _, keys=keys: next(keys))
            started = time.process_time()
            together.learn()
            seconds, n_bytes = time.process_time() - started, together.n_bytes
            coordinator = sum(n for link, n in n_bytes.items() if link.startswith("coordinator"))
            spent.append((seconds, n_bytes["bank and host"] / 1e6, coordinator / 1e6))
        more = [(b - a) / n_trees for a, b in zip(*spent, strict=True)]
        shown = "in clear" if name == "plain" else "Paillier, 2,048 bits"
        lines.append(f"| {shown} | {more[0]:.2f} | {more[1]:.2f} | {more[2]:.2f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="few enterprises and trees, nothing written")
    arguments = parser.parse_args()
    p = replace(PARAMETERS, n_estimators=5) if arguments.quick else PARAMETERS
    loans = sba(arguments.data)
    lines = compared("Synthetic, out of time", synthetic(arguments.quick), p)
    lines += compared("SBA by bank and region", loans, p)
    lines += cost(loans, 1 if arguments.quick else 3)
    print("\n".join(lines))
    if not arguments.quick:
        put_lines(Path(__file__).parent / "RESULT.md", lines)


if __name__ == "__main__":
    main()
