"""kill -9 of one process of a federation at a seeded random moment of a run, until the run is done: what is left?"""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import psutil
from network import HUB
from sessions import GUEST, HOSTS, Federation

#: Namespace → what its party is called.
PARTIES = {"bank": GUEST[0], **{space: party for space, (party, _) in HOSTS.items()}}


def _says(words: str, process: psutil.Process) -> bool:
    return words in " ".join(process.cmdline())


def _session(guarded: bool, process: psutil.Process) -> bool:
    """The process of a session, or the one that waits for it; both have the same command line."""
    parent = process.parent()
    return _says("flwr-clientapp", process) and guarded == (parent is not None and _says("flwr-clientapp", parent))


#: What is killed → where it runs, and how it is known there. Door, front and relay are one process, the hub's. Of a
#: machine every process is killed; a party's has its plug pulled first, so that no connection of it is ended.
VICTIMS: dict[str, tuple[str, Callable[[psutil.Process], bool]]] = {
    **{f"session of {party}": (space, partial(_session, True)) for space, party in PARTIES.items()},
    **{f"session's guardian at {party}": (space, partial(_session, False)) for space, party in PARTIES.items()},
    **{f"SuperNode of {party}": (space, partial(_says, "flower-supernode")) for space, party in PARTIES.items()},
    **{f"executor at {party}": (space, partial(_says, "flower-superexec")) for space, party in PARTIES.items()},
    **{f"node service of {party}": (space, partial(_says, "lab.cli node")) for space, party in PARTIES.items()},
    "bank's command": ("bank", partial(_says, "sessions.py")),
    "hub with relay": (HUB, partial(_says, "lab.cli hub")),
    "SuperLink": (HUB, partial(_says, "flower-superlink")),
    "executor at the hub": (HUB, partial(_says, "flower-superexec")),
    "server app": (HUB, partial(_says, "flwr-serverapp")),
    **{f"machine of {party}": (space, partial(_says, "")) for space, party in PARTIES.items()},
    "machine of the hub": (HUB, partial(_says, "")),
}
_LONGEST_SECONDS = 900.0
_CLEAN_SECONDS = 60.0
_MOST_ATTEMPTS = 4


@dataclass(frozen=True)
class Struck:
    """One run with one kill.

    Attributes:
        seed: of this strike alone.
        after: seconds since the run began; ``tree``: trees grown by then.
        killed: whether the victim was there to be killed; if not, the run was over first.
        told: what the bank was told; "": the run went on and finished.
        noticed: seconds from the kill until the bank was told, or its run was finished.
        resumed: seconds from the first ``resume`` to the end; 0 if there was no need.
        resumed_after: trees that were not grown again; -1: it finished without, or began anew.
        attempts: commands until it was done.
        right: whether the model is the in-memory one.
        orphans, ports, files: what was left a minute later that was not there before.
    """

    number: int
    seed: str
    victim: str
    after: float
    tree: int
    killed: bool
    told: str
    noticed: float
    resumed: float
    resumed_after: int
    attempts: int
    right: bool
    orphans: tuple[str, ...]
    ports: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def fine(self) -> bool:
        return self.right and not (self.orphans or self.ports or self.files)

    def row(self) -> str:
        left = ", ".join((*self.orphans, *self.ports, *self.files)) or "nothing"
        start = f"from tree {self.resumed_after}" if self.resumed_after >= 0 else "anew"
        resumed = f"{self.resumed:.0f} s {start}" if self.attempts > 1 else "–"
        return (
            f"| {self.number} | {self.victim if self.killed else self.victim + ' (missed)'} | {self.after:.1f} s, tree "
            f"{self.tree} | {self.told or 'went on'} | {self.noticed:.1f} | {resumed} | {self.right} | {left} |"
        )


HEAD = (
    "| # | killed | when | the bank was told | after s | resumed in | same model | left |\n"
    "|---|---|---|---|---|---|---|---|"
)


def standing(made: Federation) -> tuple[Counter[str], Counter[str]]:
    """Processes and listening ports by namespace, as ``space program`` and ``space outside|inside``."""
    processes: Counter[str] = Counter()
    ports: Counter[str] = Counter()
    for space in (HUB, *PARTIES):
        for process in _pids(made, space):
            try:
                processes[f"{space} {_program(process)}"] += 1
            except psutil.Error:
                continue
        outside = made.net.listening(space)
        every = subprocess.run(made.net.inside(space, "ss", "-Hltn"), capture_output=True, text=True).stdout
        ports[f"{space} outside"] = len(outside)
        ports[f"{space} inside"] = len(every.splitlines()) - len(outside)
    return processes, ports


def at_rest(made: Federation) -> tuple[Counter[str], Counter[str]]:
    """As ``standing``, once no session and no app of Flower's is there any more."""
    now = standing(made)
    while any("flwr-" in one for one in now[0]):
        time.sleep(0.5)
        now = standing(made)
    return now


def _program(process: psutil.Process) -> str:
    line = process.cmdline()
    known = ("flwr-clientapp", "flwr-serverapp", "flower-superexec", "flower-supernode", "flower-superlink")
    return next((word for word in known if word in " ".join(line)), " ".join(line[1:4]) or process.name())


def strike(
    made: Federation,
    number: int,
    seed: int,
    seconds: float,
    before: tuple[Counter[str], Counter[str]],
    victims: Sequence[str] = tuple(VICTIMS),
    growing: bool = False,
) -> Struck:
    """Run ``number`` of ``seed``. ``seconds``: what an undisturbed run takes. ``before``: as ``standing``, at rest.
    ``growing``: strike once trees are there, never before."""
    own = f"{seed}:{number}"
    chance = random.Random(own)
    order = list(victims)
    random.Random(f"{seed}:{number // len(order)}").shuffle(order)  # each once before any a second time
    victim = order[number % len(order)]
    by_tree, tree, moment = chance.random() < 0.7, chance.randrange(made.city.trees), chance.uniform(0, seconds)
    if growing:
        by_tree, tree = True, max(tree, 1)

    name = f"struck{number}"
    began = time.monotonic()
    process = made.begin(name)
    found: list[psutil.Process] = []
    while process.poll() is None and not found:
        if made.grown(name) >= tree if by_tree else time.monotonic() - began >= moment:
            space, known = VICTIMS[victim]
            found = [one for one in _pids(made, space) if _is(one, known)]
        time.sleep(0.05)
    after, trees = time.monotonic() - began, made.grown(name)
    if found and victim.startswith("machine"):
        _power_off(made, space)
    elif found:
        found[0].kill()
    struck = time.monotonic()
    _start_again(made, victim)
    told = _end(process)
    noticed = time.monotonic() - struck

    attempts, again = 1, time.monotonic()
    while not made.finished(name) and attempts < _MOST_ATTEMPTS:
        attempts += 1
        later = _end(made.begin(name, again=True))
        told += f"; then {later}" if later and not made.finished(name) else ""
    resumed = time.monotonic() - again if attempts > 1 else 0.0
    result = made.finished(name)
    orphans, ports, files = _left(made, before)
    return Struck(
        number=number,
        seed=own,
        victim=victim,
        after=round(after, 2),
        tree=trees,
        killed=bool(found),
        told=told,
        noticed=round(noticed, 2),
        resumed=round(resumed, 2),
        resumed_after=int(result.get("resumed_after", -1)),
        attempts=attempts,
        right=bool(result) and made.city.model(name) == made.city.model("memory"),
        orphans=orphans,
        ports=ports,
        files=files,
    )


def _start_again(made: Federation, victim: str) -> None:
    """What a service manager starts again where one is at work."""
    space, _ = VICTIMS[victim]
    if victim in ("hub with relay", "machine of the hub"):
        made.processes[space].wait()
        made.start_hub()
    elif victim.startswith(("node service", "machine")):
        made.processes[space].wait()
        made.net.plug(space, pulled=False)
        made.start_node(space)


def _power_off(made: Federation, space: str) -> None:
    if space != HUB:
        made.net.plug(space, pulled=True)
    while found := _pids(made, space):  # one may be starting another
        for one in found:
            with suppress(psutil.NoSuchProcess):
                one.kill()


def _end(process: subprocess.Popen[str]) -> str:
    """Wait for a run's command; what it printed if it failed."""
    try:
        said = process.communicate(timeout=_LONGEST_SECONDS)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"nothing in {_LONGEST_SECONDS:.0f} s"
    if not process.returncode:
        return ""
    return said.strip().splitlines()[0] if said.strip() else f"(killed, {process.returncode})"


def _left(made: Federation, before: tuple[Counter[str], Counter[str]]) -> tuple[tuple[str, ...], ...]:
    """Processes, ports and files beyond ``before``, or missing, once everything that was going to settle has."""
    until = time.monotonic() + _CLEAN_SECONDS
    while True:
        now = standing(made)
        changed = [
            tuple(f"{what} {now_[what] - then[what]:+d}" for what in sorted(then | now_) if now_[what] != then[what])
            for now_, then in zip(now, before, strict=True)
        ]
        left = (*changed, made.litter())
        if not any(left) or time.monotonic() > until:
            return left
        time.sleep(0.5)


def _pids(made: Federation, space: str) -> list[psutil.Process]:
    pids = subprocess.run(["ip", "netns", "pids", made.net.namespace(space)], capture_output=True, text=True).stdout
    found = []
    for pid in pids.split():
        try:
            process = psutil.Process(int(pid))
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def _is(process: psutil.Process, known: Callable[[psutil.Process], bool]) -> bool:
    try:
        return known(process)
    except psutil.Error:
        return False
