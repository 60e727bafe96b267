"""One process per party on this machine: nobody waits for ever for one that is stuck, and none outlives its run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from threading import Thread
from typing import Final

import psutil

from lab.failures import STUCK, PartyJob

#: Tells a party's process that its standard input ends when whoever started it does.
TIED: Final = "--tied"
#: Once a party has failed the others notice at once, unless they compute: then their work is of no use any more.
SECONDS_AFTER_FAILURE: Final = 10.0
_POLL_SECONDS: Final = 0.1


def run_parties(
    jobs: Sequence[PartyJob], *, after_failure: float = SECONDS_AFTER_FAILURE, all_needed: bool = True
) -> dict[str, int | str]:
    """Run ``lab.node`` for each job, until all have ended or those that have not are stuck. None is left behind.

    Args:
        jobs: the lead's first; saved in their folders, where ``log.txt`` takes what each process says.
        after_failure: seconds for the others once one has failed. Once the lead is done they have ``answer_seconds``.
        all_needed: whether the run fails with any party; else with the lead only.

    Returns:
        Party → exit code, or ``STUCK``.
    """
    logs = {job.party.party: (job.directory / "log.txt").open("a") for job in jobs}
    started: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for job in jobs:
            name = job.party.party
            started[name] = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "lab.node", str(job.directory / "job.json"), TIED],
                stdin=subprocess.PIPE,
                stdout=logs[name],
                stderr=subprocess.STDOUT,
            )
        codes = _wait(started, jobs[0], after_failure, all_needed)
    finally:
        for process in started.values():
            process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()
        for file in logs.values():
            file.close()
    return {name: codes.get(name, STUCK) for name in started}


def _wait(
    started: dict[str, subprocess.Popen[bytes]], lead: PartyJob, after_failure: float, all_needed: bool
) -> dict[str, int]:
    """Exit codes of those that ended by themselves."""
    until: float | None = None
    while True:
        codes = {name: code for name, process in started.items() if (code := process.poll()) is not None}
        if len(codes) == len(started) or (until is not None and time.monotonic() > until):
            return codes
        failed = any(codes.values()) if all_needed else bool(codes.get(lead.party.party))
        if until is None and failed:
            until = time.monotonic() + after_failure
        elif until is None and lead.party.party in codes:
            until = time.monotonic() + lead.answer_seconds
        time.sleep(_POLL_SECONDS)


def end_with_parent() -> None:
    """From now on this process, and all it has started, ends when its standard input does: the other end is held by
    its parent alone, so that also a parent that is killed leaves nobody behind."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        for child in psutil.Process().children(recursive=True):
            child.kill()
        os._exit(1)

    Thread(target=watch, name="end-with-parent", daemon=True).start()
