"""What a sum over sites costs that no single party can open: time and bytes, against plaintext and phe one by one.

    python experiments/0019-aggregation/run.py --data FOLDER [--quick]

FOLDER holds sba_loans.csv.gz, for trees over eight sites.

Ten sites, 100,000 parameters each, quantised to 16 bits. Everything runs in one process, one after another; CPU
seconds are those of this process, so other work on the machine disturbs them little. Frames pass through the real
codec. phe one by one is measured on 200 parameters and multiplied. Writes the table in RESULT.md beside this file.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from phe import paillier as phe

from federation.ciphers import paillier
from federation.ciphers.elgamal import logarithm
from federation.ciphers.quantisation import Quantiser
from federation.ciphers.suites.choice import suite
from federation.ciphers.words import Words
from federation.codec import decode, encode
from federation.disclosure import Transcript
from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.horizontal.aggregation.interface import Aggregation, Contributor, Numbers, Total
from federation.horizontal.aggregation.masking.coordinator import MaskedAggregation, even_turns
from federation.horizontal.aggregation.masking.site import MaskingSite
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.aggregation.rules import SiteRules
from federation.horizontal.aggregation.threshold.coordinator import ThresholdAggregation
from federation.horizontal.aggregation.threshold.site import ThresholdSite
from federation.horizontal.boosting.coordinator import HorizontalBoosting
from federation.horizontal.site import HorizontalSite
from federation.messages import Message
from federation.script import Script, run
from federation.transports.agreement import Seals
from federation.transports.memory import MemoryWire
from lab.result_page import put_lines
from models.binning import fit_bins
from models.boosting.parameters import BoostingParameters
from models.bundle import JointModel
from models.losses import Floats
from models.table import Table

N_SITES, N_PARAMETERS = 10, 100_000
QUANTISER = Quantiser(clip=1.0, bits=16)
SAMPLE = 200
NUMBERS = (
    "GrAppv",
    "DisbursementGross",
    "NoEmp",
    "NewExist",
    "CreateJob",
    "RetainedJob",
    "FranchiseCode",
    "UrbanRural",
)
LEVELS = ("RevLineCr", "LowDoc", "State")
KEY_BITS = 2048


class Ask(Message, kind="experiments.ask"):
    """Coordinator → site: the parameters, please."""


@dataclass
class Cost:
    """CPU seconds of the coordinator and of a site (mean), bytes to and from a site (mean)."""

    coordinator: float
    site: float
    sent: float
    received: float


@dataclass
class MeteredWire:
    """Calls sites in turn; keeps what they took and what passed."""

    contributors: Mapping[PartyId, Contributor]
    vectors: Mapping[PartyId, Numbers]
    seconds: float = 0.0
    sent: int = 0
    received: int = 0

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        started, replies = time.process_time(), {}
        for party, frame in frames.items():
            site, request = self.contributors[party], decode(frame, "coordinator")
            if isinstance(request, Ask):
                reply = site.contribute(self.vectors[party], QUANTISER.bound)
            else:
                reply = site.answer(request)
            replies[party] = encode(reply)
        self.seconds += time.process_time() - started
        self.received += sum(map(len, frames.values()))
        self.sent += sum(map(len, replies.values()))
        return replies


@dataclass
class PlainSite:
    """Sends its numbers as they are."""

    n_sites: int
    allowed: tuple[type[Message], ...] = ()

    def answer(self, request: Message) -> Message:
        raise NotImplementedError

    def contribute(self, values: Numbers, bound: int) -> Message:
        data = Words.for_sum(self.n_sites, bound).dump(values.view(np.uint64))
        return Contribution(turn=0, data=data, proof=b"", signature=b"")

    def dump(self) -> bytes:
        return b""

    def load(self, data: bytes) -> None: ...


@dataclass
class PlainAggregation:
    """Adds them."""

    presence: Presence

    def total(
        self, requests: Mapping[PartyId, Message], n_values: int, bound: int, only: Collection[PartyId] = ()
    ) -> Script[Total]:
        assert set(only) <= set(self.presence.sites)
        words = Words.for_sum(len(self.presence.sites), bound)
        replies = yield requests
        vectors = self.presence.arrived(replies, self.presence.sites, Contribution)
        sum_ = np.zeros(n_values, dtype=np.uint64)
        for vector in vectors.values():
            sum_ += words.load(vector.data)
        return Total(words.signed(sum_), tuple(vectors))


def metered(
    aggregation: Aggregation, contributors: Mapping[PartyId, Contributor], vectors: Mapping[PartyId, Numbers]
) -> tuple[Cost, Cost]:
    """(set-up, one sum), each checked against the true sum."""
    names = tuple(contributors)
    costs = []
    steps: list[Callable[[], Script[Total | None]]] = []
    if hasattr(aggregation, "open"):
        steps.append(aggregation.open)
    n_values = len(vectors[names[0]])
    steps.append(lambda: aggregation.total(dict.fromkeys(names, Ask()), n_values, QUANTISER.bound))
    for step in steps:
        wire = MeteredWire(contributors, vectors)
        started = time.process_time()
        result = run(step(), wire)
        whole = time.process_time() - started
        costs.append(Cost(whole - wire.seconds, *(x / len(names) for x in (wire.seconds, wire.sent, wire.received))))
    assert result is not None
    assert (result.values == sum(vectors.values())).all()
    return (costs[0] if len(costs) == 2 else Cost(0, 0, 0, 0)), costs[-1]


def one_by_one(vectors: Mapping[PartyId, Numbers]) -> Cost:
    """phe as its documentation has it: one ciphertext a number, one key that somebody holds."""
    public, private = phe.generate_paillier_keypair(n_length=KEY_BITS)
    some = {party: vector[:SAMPLE] for party, vector in vectors.items()}
    scale = len(next(iter(vectors.values()))) / SAMPLE
    started = time.process_time()
    encrypted = [[public.encrypt(int(v)) for v in vector] for vector in some.values()]
    of_sites = time.process_time() - started
    total = encrypted[0]
    for other in encrypted[1:]:
        total = [a + b for a, b in zip(total, other, strict=True)]
    found = [private.decrypt(c) for c in total]
    of_coordinator = time.process_time() - started - of_sites
    assert found == sum(some.values()).tolist()
    n_bytes = KEY_BITS // 4 * SAMPLE * scale
    return Cost(of_coordinator * scale, of_sites / len(some) * scale, n_bytes, 0)


def batched(vectors: Mapping[PartyId, Numbers]) -> Cost:
    """BatchCrypt's setting with our Paillier: numbers packed, every site has the secret key, the coordinator none."""
    cipher = paillier.generate(KEY_BITS, expected=2_000)
    slot = (len(vectors) * QUANTISER.bound).bit_length() + 1
    per = (cipher.public.plaintext_bits - 1) // slot
    cipher.encrypt([0])  # tables
    started = time.process_time()
    sent = [cipher.encrypt([_packed(v[k : k + per], slot) for k in range(0, len(v), per)]) for v in vectors.values()]
    of_sites = time.process_time() - started
    total = cipher.public.load(sent[0])
    for data in sent[1:]:
        total = [cipher.public.add(a, b) for a, b in zip(total, cipher.public.load(data), strict=True)]
    of_coordinator = time.process_time() - started - of_sites
    plain = cipher.decrypt(cipher.public.dump(total))
    n = len(next(iter(vectors.values())))
    found = [x for k, p in enumerate(plain) for x in _unpacked(p, slot, min(per, n - k * per))]
    of_opening = time.process_time() - started - of_sites - of_coordinator
    assert found == sum(vectors.values()).tolist()
    back = len(sent[0])
    return Cost(of_coordinator, of_sites / len(vectors) + of_opening, len(sent[0]), back)


def _packed(numbers: Numbers, slot: int) -> int:
    total = 0
    for m in reversed(numbers.tolist()):
        total = (total << slot) + m
    return total


def _unpacked(plaintext: int, slot: int, n: int) -> list[int]:
    found, half = [], 1 << (slot - 1)
    for _ in range(n):
        digit = ((plaintext + half) & ((1 << slot) - 1)) - half
        found.append(digit)
        plaintext = (plaintext - digit) >> slot
    return found


def sba(path: Path, times: int) -> tuple[Table, Floats, list[NDArray[np.intp]]]:
    """Applications, their outcomes, and the rows of eight sites: banks' states, the seven largest and all others.

    Args:
        times: how often each row stands: the whole file of the authority has forty times as many.
    """
    frame = pd.read_csv(path / "sba_loans.csv.gz").dropna(subset=["MIS_Status"])
    frame = pd.concat([frame] * times, ignore_index=True)
    label = (frame["MIS_Status"] == "CHGOFF").to_numpy(dtype=np.float64)
    columns = {name: frame[name].to_numpy(dtype=np.float64) for name in NUMBERS}
    columns |= {name: frame[name].astype(object).where(frame[name].notna(), None).to_numpy() for name in LEVELS}
    state = frame["BankState"].fillna("")
    largest = list(state.value_counts().index[:7])
    rows = [np.flatnonzero(state == name) for name in largest]
    rows.append(np.flatnonzero(~state.isin(largest)))
    return Table(tuple(map(str, frame.index)), columns), label, rows


def trees(
    table: Table, label: Floats, parts: list[NDArray[np.intp]], hidden: bool, n_trees: int
) -> tuple[float, float, JointModel]:
    """(CPU seconds of all parties together, MB of all sites, model) of a run over sites."""
    names = tuple(f"bank:{k}" for k in range(len(parts)))
    keys = {party: suite("international").new_signing_key() for party in names}
    known = {party: ("international", suite("international").verifying_key(key)) for party, key in keys.items()}
    sites = {
        party: HorizontalSite(
            table.take(rows),
            label[rows],
            MaskingSite(party, "s", Seals.with_key("international", keys[party], known))
            if hidden
            else PlainSite(len(names)),
        )
        for party, rows in zip(names, parts, strict=True)
    }
    presence = Presence(names)
    parameters = BoostingParameters(n_estimators=n_trees, min_child_samples=0, min_child_weight=5.0, max_depth=5)
    turns = even_turns(1 + n_trees * parameters.max_depth)
    aggregation = MaskedAggregation("s", presence, n_turns=turns) if hidden else PlainAggregation(presence)
    bins = fit_bins(table, 32)
    transcript = Transcript("coordinator")
    wire = MemoryWire({party: Endpoint(site, "coordinator", site.allowed).answer for party, site in sites.items()})
    boosting = HorizontalBoosting("m", aggregation, bins, parameters, most_rows=2**20)
    started = time.process_time()  # all parties in one thread: without other work on the machine, wall time
    grown = run(boosting.fit(), wire, transcript)
    seconds = time.process_time() - started
    n_bytes = sum(t["sent"] + t["received"] for party, t in transcript.traffic().items() if party != "coordinator")
    return seconds, n_bytes / 1e6, grown.model


def tree_lines(data: Path, n_trees: int, n_runs: int) -> list[str]:
    """Masked and plain sums in turn, so that other work on the machine strikes both."""
    titles = [f"{n_trees} trees of depth 5 on SBA, 8 sites", "rows", f"CPU s of all parties, median of {n_runs}"]
    rows = ["| " + " | ".join([*titles, "× plaintext, by run", "MB, all sites"]) + " |", "|" + "---|" * 5]
    for times in (1, 10)[: 1 if n_runs == 1 else 2]:
        problem = sba(data, times)
        taken: dict[bool, list[float]] = {False: [], True: []}
        megabytes, models = {}, {}
        for _ in range(n_runs):
            for hidden in taken:
                seconds, megabytes[hidden], models[hidden] = trees(*problem, hidden, n_trees)
                taken[hidden].append(seconds)
        assert models[True].trees == models[False].trees
        ratios = sorted(a / b for a, b in zip(taken[True], taken[False], strict=True))
        spread = f"{np.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        for name, hidden, ratio in (("plaintext", False, "1"), ("**masked sums**", True, spread)):
            figures = f"{np.median(taken[hidden]):.2f} | {ratio} | {megabytes[hidden]:.1f}"
            rows.append(f"| {name} | {len(problem[1]):,} | {figures} |")
        print(*rows[-2:], sep="\n", flush=True)
    return rows


def line(name: str, cost: Cost, plain: Cost, opens: str) -> str:
    whole = cost.coordinator + N_SITES * cost.site
    ratio = whole / (plain.coordinator + N_SITES * plain.site)
    seconds = f"{cost.site:,.3f} | {cost.coordinator:,.3f} | {ratio:,.1f}"
    return f"| {name} | {seconds} | {cost.sent / 1e6:,.2f} | {cost.received / 1e6:,.2f} | {opens} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="2,000 parameters, 3 trees, nothing written")
    parser.add_argument("--trees-only", action="store_true", help="only the second table, nothing written")
    arguments = parser.parse_args()
    of_trees = tree_lines(arguments.data, *((3, 1) if arguments.quick else (20, 5)))
    if arguments.trees_only:
        print("\n".join(of_trees))
        return
    n = 2_000 if arguments.quick else N_PARAMETERS
    names = tuple(f"bank:{k}" for k in range(N_SITES))
    rng = np.random.default_rng(0)
    vectors = {party: QUANTISER.quantise(rng.normal(0, 0.2, n)) for party in names}
    keys = {party: suite("international").new_signing_key() for party in names}
    known = {party: ("international", suite("international").verifying_key(key)) for party, key in keys.items()}
    seals = {party: Seals.with_key("international", key, known) for party, key in keys.items()}

    _, plain = metered(PlainAggregation(Presence(names)), {p: PlainSite(N_SITES) for p in names}, vectors)
    masking = MaskedAggregation("s", Presence(names), seals[names[0]], n_turns=16)
    masking_setup, masked = metered(masking, {p: MaskingSite(p, "s", seals[p]) for p in names}, vectors)
    logarithm(bytes(32), 1)  # the table is made once per process
    threshold = ThresholdAggregation("s", Presence(names))
    threshold_setup, shared = metered(threshold, {p: ThresholdSite(p, "s", seals[p]) for p in names}, vectors)
    together = SiteRules().threshold(N_SITES)
    titles = ["", "CPU s, a site", "CPU s, coordinator", "CPU of all, × plaintext", "MB from a site", "MB to a site"]
    rows = ["| " + " | ".join([*titles, "who can open one site's numbers"]) + " |", "|" + "---|" * 7]
    rows += [
        line("plaintext", plain, plain, "the coordinator"),
        line("**masked sums**", masked, plain, f"{together} of {N_SITES} sites with the coordinator"),
        line("– set-up, for 16 sums", masking_setup, plain, ""),
        line("**shared key** (ElGamal, 16 keys)", shared, plain, f"{together} of {N_SITES} sites with the coordinator"),
        line("– set-up, once", threshold_setup, plain, ""),
        line("Paillier, packed (BatchCrypt)", batched(vectors), plain, "every site, if it sees a ciphertext"),
        line(f"phe one by one (from {SAMPLE})", one_by_one(vectors), plain, "the key holder"),
    ]
    rows += ["", *of_trees]
    print("\n".join(rows))
    if not arguments.quick:
        put_lines(Path(__file__).parent / "RESULT.md", rows)


if __name__ == "__main__":
    main()
