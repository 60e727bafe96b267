"""What of a site's rows can be rebuilt from what a coordinator sees? Writes the table in RESULT.md and figure.png.

    python experiments/0025-horizontal-leakage/run.py --data FOLDER [--quick]

Eight sites, one table in shares of equal size, joint bins, a first tree. Every site is attacked in turn: with its own
tree and histograms as other systems ship them, with the sums that our coordinator opens, and with those of the same run
without the site, which is the level of chance: what the other sites' rows tell of people like these.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from federation.ciphers.suites.choice import suite
from federation.ciphers.words import Words
from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.horizontal.aggregation.interface import Numbers, Total
from federation.horizontal.aggregation.masking.coordinator import MaskedAggregation
from federation.horizontal.aggregation.masking.site import MaskingSite
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.boosting.coordinator import HorizontalBoosting
from federation.horizontal.boosting.messages import Grow
from federation.horizontal.conduct import run_over_sites
from federation.horizontal.site import HorizontalSite
from federation.messages import Message
from federation.script import Script, run
from federation.transports.agreement import Seals
from federation.transports.memory import MemoryWire
from lab.estimators.frames import as_table
from lab.leakage.rebuilding import drawn_from_bins, drawn_from_boxes, finest, matched, node_sums, rebuilt
from lab.result_page import put_lines
from models.binning import Codes, encode, fit_bins
from models.boosting.parameters import BoostingParameters
from models.boosting.splits import Candidates
from models.bundle import JointModel
from models.losses import Floats
from models.table import Table

matplotlib.use("Agg")
from matplotlib import pyplot as plt

N_SITES, N_DRAWS, N_RESAMPLES, MAX_BIN = 8, 5, 1000, 16
VIEWS = {
    "tree": "the site's own tree, as trees are shipped",
    "histograms": "the site's own histograms, as they are shipped",
    "ours": "**sums over 8 sites: what our coordinator opens**",
    "without": "the same, of a run without the site: chance",
    "blind": "each feature's distribution over all sites, nothing else",
}


@dataclass
class Noting:
    """An aggregation of which is noted what it opens, node for node."""

    inner: MaskedAggregation
    told: list[tuple[tuple[int, ...], Numbers]]

    @property
    def presence(self) -> Presence:
        return self.inner.presence

    def total(
        self, requests: Mapping[PartyId, Message], n_values: int, bound: int, only: Collection[PartyId] = ()
    ) -> Script[Total]:
        found = yield from self.inner.total(requests, n_values, bound, only)
        asked = next(iter(requests.values()))
        if isinstance(asked, Grow):
            self.told.append((asked.nodes, found.values.reshape(len(asked.nodes), 2, -1)))
        return found


class Alone:
    """An aggregation of one site in clear: how that site grows a tree by itself."""

    def __init__(self, party: PartyId) -> None:
        self.presence = Presence((party,))

    def total(
        self, requests: Mapping[PartyId, Message], n_values: int, bound: int, only: Collection[PartyId] = ()
    ) -> Script[Total]:
        assert set(only) <= set(self.presence.sites)
        replies = yield requests
        [(party, reply)] = replies.items()
        words = Words.for_sum(1, bound)
        assert isinstance(reply, Contribution)
        assert len(reply.data) == n_values * words.n_bytes
        return Total(words.signed(words.load(reply.data)), (party,))


class Clear:
    """A site's half of it."""

    allowed: tuple[type[Message], ...] = ()

    def contribute(self, values: Numbers, bound: int) -> Message:
        data = Words.for_sum(1, bound).dump(values.view(np.uint64))
        return Contribution(turn=0, data=data, proof=b"", signature=b"")

    def answer(self, request: Message) -> Message:
        raise NotImplementedError

    def dump(self) -> bytes:
        return b""

    def load(self, data: bytes) -> None: ...


@dataclass
class City:
    """Sites, and what of each is true."""

    table: Table
    label: Floats
    parts: Sequence[np.ndarray]
    depth: int

    def __post_init__(self) -> None:
        self.bins = fit_bins(self.table, MAX_BIN)
        self.candidates = Candidates(self.bins)
        self.codes = np.array(encode(self.table, self.bins), dtype=np.int64)
        self.shares = np.concatenate(
            [np.bincount(c, minlength=b.n_bins) / len(c) for c, b in zip(self.codes, self.bins, strict=True)]
        )

    @property
    def parameters(self) -> BoostingParameters:
        return BoostingParameters(
            n_estimators=1, max_depth=self.depth, min_child_samples=0, min_child_weight=0.5, max_cat_to_onehot=255
        )

    def joint(self, without: int = -1) -> tuple[JointModel, list[tuple[tuple[int, ...], Numbers]]]:
        """The run of all sites, or of all but one, with masked sums, and what the coordinator opens of it."""
        taking = [k for k in range(len(self.parts)) if k != without]
        names = {k: f"bank:{k}" for k in taking}
        keys = {party: suite("international").new_signing_key() for party in names.values()}
        known = {p: ("international", suite("international").verifying_key(key)) for p, key in keys.items()}
        sites = {
            party: HorizontalSite(
                self.table.take(self.parts[k]),
                self.label[self.parts[k]],
                MaskingSite(party, "s", Seals.with_key("international", keys[party], known)),
            )
            for k, party in names.items()
        }
        noting = Noting(MaskedAggregation("s", Presence(tuple(sorted(sites)))), [])
        wire = MemoryWire({p: Endpoint(site, "coordinator", site.allowed).answer for p, site in sites.items()})
        boosting = HorizontalBoosting("m", noting, self.bins, self.parameters, most_rows=2**20)
        grown = run_over_sites(boosting.fit(), wire, noting.presence)
        return grown.model, noting.told

    def alone(self, k: int) -> JointModel:
        """The tree of one site by itself."""
        site = HorizontalSite(self.table.take(self.parts[k]), self.label[self.parts[k]], Clear())
        wire = MemoryWire({"bank": Endpoint(site, "coordinator", site.allowed).answer})
        script = HorizontalBoosting("m", Alone("bank"), self.bins, self.parameters, most_rows=2**20).fit()
        return run(script, wire).model

    def nodes_of(self, model: JointModel, k: int) -> np.ndarray:
        """Leaf of each row of a site."""
        routes = model.own.routes(self.table.take(self.parts[k]))
        place = np.zeros(len(self.parts[k]), dtype=np.int64)
        for number, node in enumerate(model.trees[0]):
            here = place == number
            if node.owner:
                place[here] = np.where(routes[node.handle][here], node.left, node.right)
        return place

    def own_sums(self, model: JointModel, told: list[tuple[tuple[int, ...], Numbers]], k: int) -> list[Numbers]:
        """Of the finest nodes that the run knows, the site's share in clear."""
        tree, rows = model.trees[0], self.parts[k]
        p = 1 / (1 + np.exp(-model.base_margin))
        values = np.rint((p - self.label[rows]) * 2**32), np.full(len(rows), np.rint(p * (1 - p) * 2**32))
        flat = self.codes[:, rows] + self.candidates.starts[:-1, None]
        leaf, found = self.nodes_of(model, k), []
        for node in finest(tree, node_sums(tree, told)):
            here = np.isin(leaf, [node, *([tree[node].left, tree[node].right] if tree[node].owner else [])])
            of_node = [sum(np.bincount(row[here], v[here], self.candidates.n_bins) for row in flat) for v in values]
            found.append(np.array(of_node).astype(np.int64))
        return found

    def attack(self, k: int, everybody: tuple[JointModel, list[tuple[tuple[int, ...], Numbers]]]) -> dict[str, Floats]:
        """Share of values rebuilt, per draw and row of site ``k``, of every view."""
        n, true = len(self.parts[k]), self.codes[:, self.parts[k]]
        own, without = self.alone(k), self.joint(without=k)
        leaves, counts = np.unique(self.nodes_of(own, k), return_counts=True)
        of_leaf = dict.fromkeys(range(len(own.trees[0])), 0) | dict(zip(leaves.tolist(), counts.tolist(), strict=True))
        clear = self.own_sums(*everybody, k)

        def guess(view: str, rng: np.random.Generator) -> Codes:
            if view == "tree":
                return drawn_from_boxes(own.trees[0], own.own.splits, of_leaf, self.candidates, self.shares, rng)
            if view == "histograms":
                return rebuilt(clear, everybody[0].base_margin, self.candidates, rng)[0]
            if view == "blind":
                return drawn_from_bins(n, self.candidates, self.shares, rng)
            model, told = everybody if view == "ours" else without
            sums = node_sums(model.trees[0], told)
            picked = [sums[node] for node in finest(model.trees[0], sums)]
            rows = rebuilt(picked, model.base_margin, self.candidates, rng)[0]
            return rows[:, rng.choice(rows.shape[1], n, replace=False)]

        rngs = [np.random.default_rng((k, draw)) for draw in range(N_DRAWS)]
        return {view: np.array([matched(true, guess(view, rng), self.candidates) for rng in rngs]) for view in VIEWS}


def credit_data(data: Path) -> tuple[Table, Floats]:
    frame = pd.read_csv(data / "credit_data.csv.gz").sample(frac=1, random_state=0)
    label = (frame.pop("Status") == "bad").to_numpy(dtype=np.float64)
    return as_table(frame, [str(name) for name in frame.columns]), label


def sba(data: Path) -> tuple[Table, Floats]:
    frame = pd.read_csv(data / "sba_loans.csv.gz").dropna(subset=["MIS_Status"]).sample(4000, random_state=0)
    label = (frame["MIS_Status"] == "CHGOFF").to_numpy(dtype=np.float64)
    names = ["GrAppv", "DisbursementGross", "NoEmp", "NewExist", "CreateJob", "RetainedJob", "UrbanRural"]
    names += ["RevLineCr", "LowDoc", "State"]
    return as_table(frame[names], names), label


def interval(of_sites: Sequence[Floats]) -> tuple[float, float, float]:
    """Mean, and its 95 % interval over sites: chance in putting rows together is in it."""
    rng, means = np.random.default_rng(0), np.array([values.mean() for values in of_sites])
    low, high = np.quantile(rng.choice(means, (N_RESAMPLES, len(means))).mean(axis=1), [0.025, 0.975])
    return float(means.mean()), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="one data set, depth 4, two sites; nothing written")
    arguments = parser.parse_args()
    problems = {"credit_data": credit_data(arguments.data)}
    if not arguments.quick:
        problems["SBA"] = sba(arguments.data)
    lines = [
        "| data, depth | what the attacker has | values rebuilt | − chance | of those rows, rebuilt whole |",
        "|" + "---|" * 5,
    ]
    figures: dict[str, dict[str, tuple[float, float, float]]] = {}
    for name, (table, label) in problems.items():
        for depth in (4,) if arguments.quick else (4, 8):
            city = City(table, label, np.array_split(np.arange(len(label)), N_SITES), depth)
            everybody = city.joint()
            attacked = range(2 if arguments.quick else N_SITES)
            found = [city.attack(k, everybody) for k in attacked]
            shares = {view: [f[view] for f in found] for view in VIEWS}
            figures[f"{name}, depth {depth}"] = {view: interval(values) for view, values in shares.items()}
            for view, said in VIEWS.items():
                value, low, high = interval(shares[view])
                gain = "–"
                if view != "without":
                    more, least, most = interval([a - b for a, b in zip(shares[view], shares["without"], strict=True)])
                    gain = f"{more:+.3f} ({least:+.3f} to {most:+.3f})"
                whole = np.mean([(values == 1.0).mean() for values in shares[view]])
                cells = [f"{name}, {depth}", said, f"{value:.3f} ({low:.3f} to {high:.3f})", gain, f"{whole:.1%}"]
                lines.append(f"| {' | '.join(cells)} |")
                print(lines[-1], flush=True)
    if arguments.quick:
        return
    put_lines(Path(__file__).parent / "RESULT.md", lines)
    draw(figures, Path(__file__).parent / "figure.png")


def draw(figures: dict[str, dict[str, tuple[float, float, float]]], path: Path) -> None:
    """A panel per data set: every view with its interval, chance as a line."""
    short = {"tree": "own tree", "histograms": "own histograms", "ours": "sums of 8 sites", "without": "chance"}
    chart, panels = plt.subplots(1, len(figures), figsize=(3.2 * len(figures), 3.4), sharey=True, squeeze=False)
    for axes, (name, views) in zip(panels[0], figures.items(), strict=True):
        for k, view in enumerate([*short, "blind"]):
            value, low, high = views[view]
            colour = "#1f77b4" if view == "ours" else "#888888" if view in ("without", "blind") else "#d62728"
            axes.errorbar([k], [value], [[value - low], [high - value]], fmt="o", color=colour, capsize=4)
        axes.axhline(views["without"][0], color="#888888", linestyle=":", linewidth=1)
        axes.set_xticks(range(len(short) + 1), [*short.values(), "distributions"], rotation=40, ha="right")
        axes.set_title(name, fontsize=10)
    panels[0][0].set_ylabel("share of values rebuilt, 95 %")
    chart.tight_layout()
    chart.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
