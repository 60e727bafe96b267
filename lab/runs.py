"""A whole run: prepare every party's folder, let the parties meet over the chosen transport, collect what came of it.

The run is written beside its final place and moved there when it is complete: a failed run leaves nothing.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from federation.endpoint import Endpoint
from federation.transports.memory import MemoryWire
from federation.transports.relay import Relay
from federation.vertical.host import ALLOWED
from lab.config import Config
from lab.continuation import check_continuation
from lab.errors import ReportedError, ServiceError
from lab.jobs import GuestJob, HostJob, LinkSection, Task, jobs_of, node_directory, save_job
from lab.membership.asking import over_hub
from lab.node import keep_half, lead, open_host
from lab.progress import watching
from lab.simulation import run_flower
from lab.staging import staged
from lab.workers import party_workers
from models.bundle import save
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="random generator of the operating system",
        purpose="tickets to the relay, model ids",
        purpose_zh="中继入场票据、模型编号",
        standard="Linux getrandom(2)",
        library="secrets",
    ),
)

#: Called with the staging directory and the result so far; may add to both before the run is put in place.
Finish = Callable[[Path, dict[str, Any]], None]


def train_run(config: Config, console: Console, finish: Sequence[Finish] = (), task: Task = "train") -> dict[str, Any]:
    """Train as ``config`` says; returns the content of ``result.json``.

    Args:
        task: ``"trial"``: the held-out rows are scored, and nothing is measured on them.

    Raises:
        LianmoError: what went wrong, of the party where it went wrong; nothing is left behind.
    """
    final = config.run.directory
    check_continuation(config)
    with staged(final, "result.json") as staging:
        model_id = hold_session(config, console, staging, task)
        guest, hosts = jobs_of(config, model_id, staging)
        for job in (guest, *hosts):
            save_job(job)  # anew, without the ticket, which is spent
        result = _result(config, staging)
        for step in finish:
            step(staging, result)
        save(staging / "result.json", result)
    return result


def hold_session(config: Config, console: Console, directory: Path, task: Task = "train") -> str:
    """One session of all parties, over the transport of ``config``; each writes into its folder below ``directory``.

    Returns:
        The model's identifier.

    Raises:
        LianmoError: what went wrong, of the party where it went wrong.
    """
    model_id = secrets.token_hex(16)
    ways = {"memory": _in_memory, "relay": _over_relay, "flower": _under_flower, "hub": over_hub}
    travel = ways[config.transport]
    with watching(node_directory(directory, config.guest.party) / "progress.jsonl", console):
        travel(config, model_id, directory, task)
    return model_id


def _in_memory(config: Config, model_id: str, staging: Path, task: Task) -> None:
    """All parties in this process; frames pass through the real codec all the same."""
    guest, hosts = jobs_of(config, model_id, staging, task=task)
    for job in (guest, *hosts):
        save_job(job)
    with ExitStack() as stack:
        parts = [stack.enter_context(open_host(job)) for job in hosts]
        endpoints = {part.job.party.party: Endpoint(part, guest.party.party, ALLOWED).answer for part in parts}
        with party_workers(config.run.workers, config.run.n_jobs):
            lead(guest, MemoryWire(endpoints))
        for part in parts:
            keep_half(part)


def _over_relay(config: Config, model_id: str, staging: Path, task: Task) -> None:
    """One process per party, meeting at a relay in this process."""
    with _relay(config, model_id, staging, task) as (guest, hosts):
        jobs: tuple[GuestJob | HostJob, ...] = (guest, *hosts)
        logs = {job.party.party: (job.directory / "log.txt").open("w") for job in jobs}
        processes = {
            job.party.party: subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "lab.node", str(job.directory / "job.json")],
                stdin=subprocess.DEVNULL,
                stdout=logs[job.party.party],
                stderr=subprocess.STDOUT,
            )
            for job in jobs
        }
        try:
            for process in processes.values():
                process.wait()
        finally:
            for name, process in processes.items():
                process.kill()
                process.wait()
                logs[name].close()
        _raise_failures(jobs, {name: process.returncode for name, process in processes.items()})


def _under_flower(config: Config, model_id: str, staging: Path, task: Task) -> None:
    """One Flower node per party; Flower carries one message to each, the session goes over the relay."""
    with _relay(config, model_id, staging, task) as (guest, hosts):
        jobs: tuple[GuestJob | HostJob, ...] = (guest, *hosts)
        report = staging / "flower.json"
        settings = {"jobs": str(staging), "result": str(report)}
        names = [job.party.party for job in jobs]
        run_flower(names, settings, staging / "flower", staging / "flower.log")
        replies = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
        _raise_failures(jobs, {name: replies.get(name, {}).get("code", "no_reply") for name in names})
        shutil.rmtree(staging / "flower", ignore_errors=True)


@contextmanager
def _relay(config: Config, model_id: str, staging: Path, task: Task) -> Iterator[tuple[GuestJob, tuple[HostJob, ...]]]:
    """A relay that lets in exactly the parties of this run, each with its own ticket."""
    relay = Relay()
    try:
        port = relay.serve("127.0.0.1:0")
        tickets = {party.party: secrets.token_urlsafe(32) for party in config.parties}
        relay.open_session(model_id, tickets)
        links = {
            name: LinkSection(address=f"127.0.0.1:{port}", session=model_id, ticket=ticket)
            for name, ticket in tickets.items()
        }
        guest, hosts = jobs_of(config, model_id, staging, links, task)
        for job in (guest, *hosts):
            save_job(job)
        yield guest, hosts
    finally:
        relay.stop()


def _raise_failures(jobs: Sequence[GuestJob | HostJob], codes: Mapping[str, int | str]) -> None:
    """Raise the error of the party where it arose: a host's own explains more than the guest's view of it."""
    errors = {}
    for job in jobs:
        path = job.directory / "error.json"
        if path.exists():
            errors[job.party.party] = json.loads(path.read_text(encoding="utf-8"))
        elif codes[job.party.party]:
            errors[job.party.party] = None
    if not errors:
        return
    known = {name: e for name, e in errors.items() if e}
    follow_ups = ("party_left", "party_absent", "party_timeout", "bad_data", "policy", "no_consent", "relay_lost")
    first = next((name for name, e in known.items() if e["code"] not in follow_ups), next(iter(known), None))
    if first is None:
        raise ServiceError(
            "node_died",
            f"{', '.join(errors)} ended without saying why. Run `lianmo doctor`.",
            f"{'、'.join(errors)} 异常终止且未说明原因。请运行 lianmo doctor。",
        )
    raise ReportedError(**known[first])


def _result(config: Config, staging: Path) -> dict[str, Any]:
    """What all parties said of the run, put together."""
    guest = _outcome(staging, config.guest.party)
    # Behind a hub what a host says of its own data stays with it.
    hosts: dict[str, Any] = {name: {} for name in config.host_names} | {
        h.party: _outcome(staging, h.party) for h in config.hosts
    }
    result = {
        "name": config.run.name,
        "purpose": config.run.purpose,
        "transport": config.transport,
        "guest": config.guest.party,
        "hosts": hosts,
        "seconds_total": guest.pop("seconds"),
    }
    if not config.scorecard:
        seconds = guest["tree_seconds"]
        result["seconds_per_tree"] = sum(seconds) / max(len(seconds), 1)
    return {**result, "parameters": config.settings, **guest}


def _outcome(staging: Path, party: str) -> dict[str, Any]:
    path = node_directory(staging, party) / "outcome.json"
    outcome: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return outcome
