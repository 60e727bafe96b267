"""What a sum over sites costs that no single party can open: time and bytes, against plaintext and phe one by one.

    python experiments/0019-aggregation/run.py [--quick]

Ten sites, 100,000 parameters each, quantised to 16 bits. Everything runs in one process, one after another; CPU
seconds are those of this process, so other work on the machine disturbs them little. Frames pass through the real
codec. phe one by one is measured on 200 parameters and multiplied. Writes the table in RESULT.md beside this file.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from phe import paillier as phe

from federation.ciphers import paillier
from federation.ciphers.elgamal import logarithm
from federation.ciphers.quantisation import Quantiser
from federation.ciphers.suites.choice import suite
from federation.ciphers.words import Words
from federation.codec import decode, encode
from federation.errors import PartyId
from federation.horizontal.aggregation.interface import Aggregation, Contributor, Numbers, Total
from federation.horizontal.aggregation.masking.coordinator import MaskedAggregation
from federation.horizontal.aggregation.masking.site import MaskingSite
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.aggregation.rules import SiteRules
from federation.horizontal.aggregation.threshold.coordinator import ThresholdAggregation
from federation.horizontal.aggregation.threshold.site import ThresholdSite
from federation.messages import Message
from federation.script import Script, run
from federation.transports.agreement import Seals
from lab.result_page import put_lines

N_SITES, N_PARAMETERS = 10, 100_000
QUANTISER = Quantiser(clip=1.0, bits=16)
SAMPLE = 200
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

    allowed: tuple[type[Message], ...] = ()

    def answer(self, request: Message) -> Message:
        raise NotImplementedError

    def contribute(self, values: Numbers, bound: int) -> Message:
        data = Words.for_sum(N_SITES, bound).dump(values.view(np.uint64))
        return Contribution(turn=0, data=data, proof=b"", signature=b"")

    def dump(self) -> bytes:
        return b""

    def load(self, data: bytes) -> None: ...


@dataclass
class PlainAggregation:
    """Adds them."""

    presence: Presence
    turns: list[int] = field(default_factory=list)

    def total(self, requests: Mapping[PartyId, Message], n_values: int, bound: int) -> Script[Total]:
        words = Words.for_sum(N_SITES, bound)
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


def line(name: str, cost: Cost, plain: Cost, opens: str) -> str:
    whole = cost.coordinator + N_SITES * cost.site
    ratio = whole / (plain.coordinator + N_SITES * plain.site)
    seconds = f"{cost.site:,.3f} | {cost.coordinator:,.3f} | {ratio:,.1f}"
    return f"| {name} | {seconds} | {cost.sent / 1e6:,.2f} | {cost.received / 1e6:,.2f} | {opens} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="not used: parameters are drawn")
    parser.add_argument("--quick", action="store_true", help="2,000 parameters, nothing written")
    arguments = parser.parse_args()
    n = 2_000 if arguments.quick else N_PARAMETERS
    names = tuple(f"bank:{k}" for k in range(N_SITES))
    rng = np.random.default_rng(0)
    vectors = {party: QUANTISER.quantise(rng.normal(0, 0.2, n)) for party in names}
    keys = {party: suite("international").new_signing_key() for party in names}
    known = {party: ("international", suite("international").verifying_key(key)) for party, key in keys.items()}
    seals = {party: Seals.with_key("international", key, known) for party, key in keys.items()}

    _, plain = metered(PlainAggregation(Presence(names)), {p: PlainSite() for p in names}, vectors)
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
    print("\n".join(rows))
    if not arguments.quick:
        put_lines(Path(__file__).parent / "RESULT.md", rows)


if __name__ == "__main__":
    main()
