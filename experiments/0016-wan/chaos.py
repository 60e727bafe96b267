"""kill -9 of one process of a federation at a seeded random moment of a run: what is the bank told?"""

from __future__ import annotations

import random
import subprocess
import time
from dataclasses import dataclass

import psutil
from sessions import City, Federation

#: What is killed → where it runs, and what its command line has in it.
VICTIMS = {
    "session process of host:tax": ("tax", "flwr-clientapp"),
    "SuperNode of host:tax": ("tax", "flower-supernode"),
    "SuperLink": ("hub", "flower-superlink"),
    "hub": ("hub", "lab.cli hub start"),
}
_LONGEST_SECONDS = 150.0


@dataclass(frozen=True)
class Struck:
    """``after``: seconds into the session. ``killed``: processes that were there to be killed. ``said``: what the run
    printed; "" if it finished. ``right``: whether a model that is reported as finished is the in-memory one; None: none
    was reported."""

    victim: str
    after: float
    killed: int
    said: str
    right: bool | None


def strike(made: Federation, victim: str, name: str, chance: random.Random) -> Struck:
    """One run with one kill; what was killed is started again only where nobody else does: the hub."""
    space, words = VICTIMS[victim]
    process = made.begin(name)
    # A session process exists some seconds after the run begins only: wait for one, then a random time.
    until = time.monotonic() + 60
    while not _found(made, "tax", "flwr-clientapp") and process.poll() is None and time.monotonic() < until:
        time.sleep(0.2)
    after = chance.uniform(0, 8)
    time.sleep(after)
    there = _found(made, space, words)
    for found in there:
        found.kill()
    if victim == "hub":
        made.processes[space].wait()
        made.start_hub()
    try:
        said = process.communicate(timeout=_LONGEST_SECONDS)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        said = f"no answer in {_LONGEST_SECONDS:.0f} s {process.communicate()[0]}"
    if process.returncode:
        return Struck(victim, after, len(there), said.strip().splitlines()[0], None)
    return Struck(victim, after, len(there), "", same(made.city, name))


def same(city: City, name: str) -> bool:
    return city.model(name) == city.model("memory")


def _found(made: Federation, space: str, words: str) -> list[psutil.Process]:
    pids = subprocess.run(["ip", "netns", "pids", made.net.namespace(space)], capture_output=True, text=True).stdout
    found = []
    for pid in pids.split():
        try:
            process = psutil.Process(int(pid))
            if words in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found
