"""A party's process ends with whoever started it, whatever it is doing, and so does all that it started."""

from __future__ import annotations

import subprocess
import sys

import psutil

#: A party that computes with a worker and looks at nothing else.
BUSY = """
import subprocess, sys, time
from lab import node
from lab.party_processes import TIED

def compute(path):
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    print(worker.pid, flush=True)
    time.sleep(120)

node.load_job = compute
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
