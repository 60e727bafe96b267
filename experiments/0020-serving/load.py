"""Load on a service: as fast as it answers (wrk), or at a rate of arrivals that does not wait for it (our own)."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

SCRIPT = Path(__file__).with_name("post.lua")
WRK_MISSING = (
    "wrk is missing: apt-get install wrk. Throughput is not measured.\n缺少 wrk：请 apt-get install wrk，吞吐量未测量。"
)


def has_wrk() -> bool:
    return shutil.which("wrk") is not None


def closed_loop(url: str, bodies: Path, seconds: float, connections: int) -> dict[str, Any]:
    """wrk: every connection asks again as soon as it is answered."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
    command += ["-s", str(SCRIPT), url, "--", str(bodies)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    told = json.loads(next(line for line in said.splitlines() if line.startswith("RESULT"))[7:])
    per_second = told.pop("requests") / told.pop("seconds")
    return {**told, "requests_per_second": round(per_second, 1), "offered_per_second": None}


@dataclass
class Paced:
    """What came of arrivals at a rate. Latency counts from when a request was due, so a service that stalls pays for
    all who wait meanwhile."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    n_errors: int = 0

    def summary(self, rate: float) -> dict[str, Any]:
        at = np.percentile(np.array(self.latencies or [0.0]) * 1000, [50, 95, 99]).round(3).tolist()
        done = round(len(self.latencies) / self.seconds, 1) if self.seconds else 0.0
        names = dict(zip(("p50_ms", "p95_ms", "p99_ms"), at, strict=True))
        return {**names, "requests_per_second": done, "offered_per_second": rate, "errors": self.n_errors}


#: Told the number of a request, the status and the answer; raises or returns False if it is not right.
Check = Callable[[int, int, Any], bool]


async def paced(
    url: str,
    bodies: Sequence[dict[str, Any]],
    rate: float,
    seconds: float,
    check: Check,
    beside: Callable[[], Awaitable[None]] | None = None,
) -> Paced:
    """Ask at ``rate`` per second, whatever comes back.

    Args:
        beside: something to do meanwhile.
    """
    found, n = Paced(), max(1, round(rate * seconds))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(30)) as session:
        begin = time.perf_counter() + 0.05
        other = asyncio.ensure_future(beside()) if beside else None

        async def one(k: int) -> None:
            due = begin + k / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            try:
                async with session.post(url, json=bodies[k % len(bodies)]) as response:
                    good = check(k, response.status, await response.json())
            except (aiohttp.ClientError, TimeoutError, ValueError):
                good = False
            found.latencies.append(time.perf_counter() - due)
            found.n_errors += not good

        asked = []
        for k in range(n):
            await asyncio.sleep(max(0.0, begin + k / rate - time.perf_counter() - 0.02))
            asked.append(asyncio.ensure_future(one(k)))
        await asyncio.gather(*asked)
        found.seconds = time.perf_counter() - begin
        if other:
            await other
    return found
