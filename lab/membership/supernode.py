"""A party's Flower node: dials the hub and waits there for sessions; started anew when it dies."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lab.flower_programs import end_left, environment, free_port, has_lost_executor, program, stopping
from lab.membership.alone import alone
from lab.membership.bundle_approval import approved_digest, write_program
from lab.membership.papers import AUTHORITY, FLOWER_KEY, FOLDER, Membership, membership_of
from lab.membership.session import NODE_VARIABLE
from lab.membership.withdrawal import withdraw

log = logging.getLogger("lianmo.node")

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
#: A node that ran this long did not fail at its start.
_STEADY_SECONDS: Final = 30.0
_GRACE_SECONDS: Final = 5.0
#: How often its executor is looked after.
_LOOK_SECONDS: Final = 2.0


def run_supernode(node: Path, announce: Callable[[Membership], None] = lambda _: None) -> None:
    """Keep the party's Flower node running until the process is told to stop (SIGINT, SIGTERM).

    Raises:
        ConfigError: ``not_joined``; ``node_running`` if another process does so already.
    """
    membership = membership_of(node)
    approved_digest()  # now, not when the first session waits
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    home = (node / FOLDER / "flower").resolve()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    variables = environment(home, write_program((node / FOLDER / "programs").resolve()))
    variables[NODE_VARIABLE] = str(node.resolve())
    with alone(node), stopping(home):
        announce(membership)
        pause = _FIRST_PAUSE
        while not told.is_set():
            process = _start(node, membership, home, variables)
            began = time.monotonic()
            _attend(process, told)
            if told.is_set():
                break
            log.error("the Flower node ended (exit code %s); starting it again", process.returncode)
            steady = time.monotonic() - began > _STEADY_SECONDS
            pause = _FIRST_PAUSE if steady else min(2 * pause, _LONGEST_PAUSE)
            told.wait(pause)
        if process.poll() is None:  # politely first: the hub then knows that it is gone
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)


def _attend(process: subprocess.Popen[bytes], told: threading.Event) -> None:
    """Until the Flower node has ended, or can do no more work and is ended, or we are told to end."""
    looked = time.monotonic()
    while process.poll() is None and not told.wait(0.2):
        if time.monotonic() - looked > _LOOK_SECONDS:
            looked = time.monotonic()
            if has_lost_executor(process.pid):
                process.kill()
                process.wait()


def _start(node: Path, membership: Membership, home: Path, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    place = (node / FOLDER).resolve()
    command = [
        *(program("flower-supernode"), "--superlink", membership.address),
        *("--root-certificates", str(place / AUTHORITY)),
        *("--auth-supernode-private-key", str(place / FLOWER_KEY)),
        *("--node-config", f'party="{membership.party}"'),
        *("--port", str(free_port())),
    ]
    end_left(home)  # of a node that died or was killed
    withdraw(node)
    with (node / "node.log").open("ab") as file:
        return subprocess.Popen(  # noqa: S603
            command,
            cwd=home,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
