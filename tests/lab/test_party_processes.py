"""A party's process ends with whoever started it, whatever it is doing, and so does all that it started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from lab import party_processes
from lab.failures import STUCK

#: A party that computes with a worker and looks at nothing else.
BUSY = """
import subprocess, sys, time
from lab import node
from lab.party_processes import TIED

def compute(path):
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    print(worker.pid, flush=True)
    time.sleep(120)

node.begin = compute
sys.argv = ["node", "job.json", TIED]
node.main()
"""


def test_it_ends_when_the_other_end_of_its_input_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as party:
        assert party.stdin
        assert party.stdout
        worker = psutil.Process(int(party.stdout.readline()))
        party.stdin.close()  # as the system does for a parent that is killed
        try:
            party.wait(20)
            assert not psutil.wait_procs([worker], timeout=20)[1]
        finally:
            party.kill()
            if worker.is_running():
                worker.kill()


#: The other party dies once the lead is there; the lead then ends well, or stays until it is ended.
LEAD = """
import json, sys
from pathlib import Path
job = json.loads(Path(sys.argv[1]).read_text())
with open(job["door"], "w" if job["role"] == "other" else "r"):
    pass
if job["role"] == "other":
    sys.exit(7)
if job["stays"]:
    sys.stdin.read()
"""


@dataclass
class FakeJob:
    party: SimpleNamespace
    directory: Path
    answer_seconds: float = 60.0


@pytest.mark.parametrize(("all_needed", "lead"), [(False, 0), (True, STUCK)])
def test_who_is_not_needed_may_die(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, all_needed: bool, lead: int | str
) -> None:
    """Where all are needed the others are ended after a death; else the lead goes on."""
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} {tmp_path / "party.py"} "$@"\n')
    program.chmod(0o700)
    (tmp_path / "party.py").write_text(LEAD)
    monkeypatch.setattr(party_processes.sys, "executable", str(program))
    os.mkfifo(tmp_path / "door")
    jobs = []
    for role in ("lead", "other"):
        directory = tmp_path / role
        directory.mkdir()
        (directory / "job.json").write_text(
            json.dumps({"role": role, "door": str(tmp_path / "door"), "stays": all_needed})
        )
        jobs.append(FakeJob(SimpleNamespace(party=role), directory))
    assert party_processes.run_parties(jobs, after_failure=0.0, all_needed=all_needed) == {"lead": lead, "other": 7}
