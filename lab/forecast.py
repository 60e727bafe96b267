"""What a tree will cost, told before the first one: primitives are timed with the run's own key, then counted."""

from __future__ import annotations

import math
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
from federation.vertical.boosting.guest import JointBoosting, first_joint_tree
from federation.vertical.boosting.messages import Ready
from models.boosting.parameters import BoostingParameters

#: A party's program before it has read anything, with all that it imports.
_PROGRAM_MB: Final = 360.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """Attributes:
    seconds_per_tree, bytes_per_tree: of a tree that hosts take part in: wall seconds, and bytes between the guest and
        all hosts.
    n_trees: how many such trees there will be; those of the guest alone cost next to nothing.
    memory_mb: peak memory of each party's main process.
    """

    seconds_per_tree: float
    bytes_per_tree: int
    n_trees: int
    memory_mb: Mapping[PartyId, float]

    def note(self, n_trees: int) -> tuple[str, str]:
        """One line in each language. ``n_trees``: of the whole run."""
        total, megabytes = self.seconds_per_tree * self.n_trees, self.bytes_per_tree * self.n_trees / 1e6
        memory = max(self.memory_mb.values()) / 1e3
        english, chinese = f"{n_trees} trees", f"{n_trees} 棵树"
        if self.n_trees < n_trees:
            english = f"{self.n_trees} of {n_trees} trees with hosts"
            chinese = f"共 {n_trees} 棵树，其中数据方参与的 {self.n_trees} 棵"
        return (
            f"forecast: {self.seconds_per_tree:.2f} s per tree; {english}: {total:.0f} s, {megabytes:.0f} MB, "
            f"{memory:.1f} GB of memory at the largest party",
            f"预计：每棵树 {self.seconds_per_tree:.2f} 秒，{chinese}约 {total:.0f} 秒、传输 {megabytes:.0f} MB，"
            f"内存最大的一方约 {memory:.1f} GB",
        )


@dataclass(frozen=True, slots=True)
class TreeWork:
    """What a tree asks of one host: additions of ciphertexts to bins, and sums that it packs and shows."""

    n_additions: float
    n_sums: float


def tree_work(terms: Ready, p: BoostingParameters) -> TreeWork:
    """Estimate from what a host announced.

    A level sums the smaller of two siblings, about four rows in ten, and joint cells pay less in small nodes: a level
    below the root costs about half of the root. A tree of ``num_leaves`` leaves, cut best first, is taken to be as deep
    as a full one of so many: a deeper one parts rows less evenly, so that the smaller siblings together are no larger.
    Children of the last cut need no sums. About six candidates in ten are shown in an average node.
    """
    n_nodes, depth = 2 ** (p.max_depth - 1), float(p.max_depth)
    if p.num_leaves:
        n_nodes, depth = min(n_nodes, p.num_leaves - 1), min(depth, math.log2(p.num_leaves))
    return TreeWork(
        n_additions=p.row_share * p.feature_fraction * terms.n_additions * (1 + 0.5 * (depth - 1)),
        n_sums=0.6 * p.feature_fraction * terms.n_candidates * n_nodes,
    )


def forecast(boosting: JointBoosting) -> Forecast:
    """From a few timed operations and what the hosts announced; hosts are taken to have as many lanes as we."""
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
    of_hosts = [tree_work(terms, p) for terms in boosting.terms.values()]
    n_packed = sum(work.n_sums for work in of_hosts) / packing.pairs
    at_hosts = [
        n_rows * load + work.n_additions * (add + load / 4) + work.n_sums * (shift + 2 * add) for work in of_hosts
    ]
    # Lanes share memory and wait for one another: measured, the second adds about half.
    at_once = min(max(1 + 0.5 * (n_lanes - 1), len(of_hosts)), os.cpu_count() or 1)
    seconds = n_rows * encrypt + sum(at_hosts) / at_once + n_packed * decrypt / n_lanes
    n_bytes = public.ciphertext_bytes * (n_rows * len(of_hosts) + n_packed)
    n_trees = p.n_estimators - first_joint_tree(p, boosting.start) if of_hosts else 0
    return Forecast(seconds, int(n_bytes), n_trees, _memory(boosting))


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
