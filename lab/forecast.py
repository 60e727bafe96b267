"""What a tree will cost, told before the first one: primitives are timed with the run's own key, then counted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from federation.ciphers.workers import lanes
from federation.vertical.boosting.guest import JointBoosting


@dataclass(frozen=True, slots=True)
class Forecast:
    """Per tree: wall seconds, and bytes between the guest and all hosts."""

    seconds_per_tree: float
    bytes_per_tree: int

    def note(self, n_trees: int) -> tuple[str, str]:
        """One line in each language."""
        total, megabytes = self.seconds_per_tree * n_trees, self.bytes_per_tree * n_trees / 1e6
        return (
            f"forecast: {self.seconds_per_tree:.2f} s per tree; {n_trees} trees: {total:.0f} s, {megabytes:.0f} MB",
            f"预计：每棵树 {self.seconds_per_tree:.2f} 秒，{n_trees} 棵树约 {total:.0f} 秒、{megabytes:.0f} MB",
        )


def forecast(boosting: JointBoosting) -> Forecast:
    """Estimate from a few timed operations and what the hosts announced; hosts are taken to have as many lanes as we.

    A level sums the smaller of two siblings, about four rows in ten, and joint cells pay less in small nodes: a level
    below the root costs about half of the root. About six candidates in ten are shown in an average node.
    """
    cipher, packing, p = boosting.cipher, boosting.packing, boosting.parameters
    public, n_rows, n_lanes = cipher.public, boosting.rows.n_fit, lanes()
    numbers = packing.join([1] * 256, [1] * 256) * (1 if n_lanes == 1 else 8 * n_lanes)  # enough to hide the dispatch
    sample = cipher.encrypt(numbers[:64])
    ciphertexts = public.load(sample)
    one = ciphertexts[0]
    encrypt = _seconds(lambda: cipher.encrypt(numbers)) / len(numbers)
    load = _seconds(lambda: public.load(sample)) / 64
    add = _seconds(lambda: [public.add(a, b) for a in ciphertexts[:8] for b in ciphertexts]) / (8 * 64)
    shift = _seconds(lambda: public.shift(one, 2 * packing.slot))
    decrypt = _seconds(lambda: cipher.decrypt(public.dump([one])))
    n_pairs = 2 ** (p.max_depth - 1)
    hosts = list(boosting.terms.values())
    n_sums = [0.6 * host.n_candidates * n_pairs for host in hosts]
    n_packed = [sums / packing.pairs for sums in n_sums]
    at_hosts = [
        n_rows * load + host.n_additions * (1 + 0.5 * (p.max_depth - 1)) * (add + load / 4) + sums * (shift + 2 * add)
        for host, sums in zip(hosts, n_sums, strict=True)
    ]
    # Lanes share memory and wait for one another: measured, the second adds about half.
    at_once = min(max(1 + 0.5 * (n_lanes - 1), len(hosts)), os.cpu_count() or 1)
    seconds = n_rows * encrypt + sum(at_hosts) / at_once + sum(n_packed) * decrypt / n_lanes
    n_bytes = public.ciphertext_bytes * (n_rows * len(hosts) + sum(n_packed))
    return Forecast(seconds, int(n_bytes))


def _seconds(work: Callable[[], object]) -> float:
    """The faster of two runs."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
