"""What a tree will cost, told before the first one: primitives are timed with the run's own key, then counted."""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from federation.ciphers.workers import lanes
from federation.errors import PartyId
from federation.vertical.boosting.guest import JointBoosting

#: A party's program before it has read anything, with all that it imports.
_PROGRAM_MB: Final = 360.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """Per tree: wall seconds, and bytes between the guest and all hosts; peak memory of each party's main process."""

    seconds_per_tree: float
    bytes_per_tree: int
    memory_mb: Mapping[PartyId, float]

    def note(self, n_trees: int) -> tuple[str, str]:
        """One line in each language."""
        total, megabytes = self.seconds_per_tree * n_trees, self.bytes_per_tree * n_trees / 1e6
        memory = max(self.memory_mb.values()) / 1e3
        return (
            f"forecast: {self.seconds_per_tree:.2f} s per tree; {n_trees} trees: {total:.0f} s, {megabytes:.0f} MB, "
            f"{memory:.1f} GB of memory at the largest party",
            f"预计：每棵树 {self.seconds_per_tree:.2f} 秒，{n_trees} 棵树约 {total:.0f} 秒、传输 {megabytes:.0f} MB，"
            f"内存最大的一方约 {memory:.1f} GB",
        )


def forecast(boosting: JointBoosting) -> Forecast:
    """Estimate from a few timed operations and what the hosts announced; hosts are taken to have as many lanes as we.

    A level sums the smaller of two siblings, about four rows in ten, and joint cells pay less in small nodes: a level
    below the root costs about half of the root. About six candidates in ten are shown in an average node.
    """
    cipher, packing, p = boosting.cipher, boosting.packing, boosting.parameters
    public, n_lanes = cipher.public, lanes()
    n_rows = round(boosting.rows.n_fit * p.row_share)
    numbers = packing.join([1] * 256, [1] * 256) * (1 if n_lanes == 1 else 8 * n_lanes)  # enough to hide the dispatch
    sample = cipher.encrypt(numbers[:64])
    ciphertexts = public.load(sample)
    one = ciphertexts[0]
    encrypt = _seconds(lambda: cipher.encrypt(numbers)) / len(numbers)
    load = _seconds(lambda: public.load(sample)) / 64
    add = _seconds(lambda: [public.add(a, b) for a in ciphertexts[:8] for b in ciphertexts]) / (8 * 64)
    shift = _seconds(lambda: public.shift(one, 2 * packing.slot))
    decrypt = _seconds(lambda: cipher.decrypt(public.dump([one])))
    n_pairs, share = 2 ** (p.max_depth - 1), p.row_share * p.feature_fraction
    hosts = list(boosting.terms.values())
    n_sums = [0.6 * p.feature_fraction * host.n_candidates * n_pairs for host in hosts]
    n_packed = [sums / packing.pairs for sums in n_sums]
    n_additions = [share * host.n_additions * (1 + 0.5 * (p.max_depth - 1)) for host in hosts]
    at_hosts = [
        n_rows * load + additions * (add + load / 4) + sums * (shift + 2 * add)
        for additions, sums in zip(n_additions, n_sums, strict=True)
    ]
    # Lanes share memory and wait for one another: measured, the second adds about half.
    at_once = min(max(1 + 0.5 * (n_lanes - 1), len(hosts)), os.cpu_count() or 1)
    seconds = n_rows * encrypt + sum(at_hosts) / at_once + sum(n_packed) * decrypt / n_lanes
    n_bytes = public.ciphertext_bytes * (n_rows * len(hosts) + sum(n_packed))
    return Forecast(seconds, int(n_bytes), _memory(boosting))


def _memory(boosting: JointBoosting) -> dict[PartyId, float]:
    """Megabytes: what this process holds now and its sums of a level; for hosts, a program that has read its table.

    A host holds a table twice, codes and cells (22 bytes a value), and a tree's ciphertexts, nearly half of them once
    more on their way in and to its workers.
    """
    n_fit, n_rows = boosting.rows.n_fit, len(boosting.rows.table)
    own = psutil.Process().memory_info().rss + 24 * n_fit * len(boosting.own.bins)
    per_row = boosting.cipher.public.ciphertext_bytes
    hosts = {
        host: _PROGRAM_MB + (1.45 * n_fit * per_row + 22 * n_rows * terms.n_features) / 1e6
        for host, terms in boosting.terms.items()
    }
    return {boosting.party: own / 1e6, **hosts}


def _seconds(work: Callable[[], object]) -> float:
    """The faster of two runs."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_rss_mb() -> float:
    """Most resident memory of this process so far, in megabytes; workers not counted."""
    status = Path("/proc/self/status")  # unlike getrusage's figure, this one does not count the process we came from
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
