"""A whole run: prepare every party's folder, let the parties meet over the chosen transport, collect what came of it.

The run is written beside its final place and moved there when it is complete. One that dies leaves nothing there; it
stays beside it, to be resumed, if its parties have kept checkpoints (``lab.run_states``).
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from federation.endpoint import Endpoint
from federation.transports.memory import MemoryWire
from federation.vertical.host import ALLOWED
from lab.checkpoints import Checkpoints, any_kept
from lab.config import Config
from lab.continuation import check_continuation
from lab.failures import raise_failures
from lab.jobs import GuestJob, HostJob, Task, jobs_of, node_directory, save_job
from lab.local_relay import relay_links
from lab.membership.asking import over_hub
from lab.node import keep_half, lead, open_host
from lab.party_processes import run_parties
from lab.progress import watching
from lab.run_states import STATE, RunState, under_way
from lab.simulation import run_flower
from lab.staging import staged
from lab.workers import party_workers
from models.bundle import load, save
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="random generator of the operating system",
        purpose="model ids",
        purpose_zh="模型编号",
        standard="Linux getrandom(2)",
        library="secrets",
    ),
)

#: Called with the staging directory and the result so far; may add to both before the run is put in place.
Finish = Callable[[Path, dict[str, Any]], None]


def train_run(
    config: Config,
    console: Console,
    finish: Sequence[Finish] = (),
    task: Task = "train",
    state: RunState | None = None,
) -> dict[str, Any]:
    """Train as ``config`` says; returns the content of ``result.json``.

    Args:
        task: ``"trial"``: the held-out rows are scored, and nothing is measured on them.
        state: identity of a run that can be resumed; one that was under way before is taken up where it is. None:
            nothing is kept of a run that fails.

    Raises:
        LianmoError: what went wrong, of the party where it went wrong.
    """
    final = config.run.directory
    check_continuation(config)
    if state is None:
        config = config.model_copy(update={"run": config.run.model_copy(update={"checkpoint_share": 0.0})})
    with (
        staged(final, "result.json", state.directory if state else None, partial(resumable, state, console)) as staging,
        under_way(state, staging) if state else nullcontext(),
    ):
        done = staging / "result.json"
        if not done.exists():  # else it died while it was put in place
            model_id = hold_session(config, console, staging, task, state.model_id if state else None)
            result = _result(config, staging)
            for job in _all_jobs(config, model_id, staging):
                save_job(job)  # anew, without the ticket, which is spent
            for step in finish:
                step(staging, result)
            save(done, result)
        result = load(done)
        for job in _all_jobs(config, result["model_id"], staging):
            Checkpoints.of(job).clear()
    (final / STATE).unlink(missing_ok=True)
    return result


def _all_jobs(config: Config, model_id: str, staging: Path) -> tuple[GuestJob | HostJob, ...]:
    guest, hosts = jobs_of(config, model_id, staging)
    return guest, *hosts


def resumable(state: RunState | None, console: Console, staging: Path) -> bool:
    """Whether a run that failed can go on from a checkpoint; says how."""
    if state is None or not any_kept(staging):
        return False
    command = f"lianmo runs resume {state.run} --directory {staging.parent}"
    console.print(
        f"The run {state.run} is kept and can go on from its last checkpoint: {command}\n"
        f"运行 {state.run} 已保留，可从最近的检查点恢复：{command}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return True


def hold_session(
    config: Config, console: Console, directory: Path, task: Task = "train", model_id: str | None = None
) -> str:
    """One session of all parties, over the transport of ``config``; each writes into its folder below ``directory``.

    Args:
        model_id: of a run that has one; a fresh one by default.

    Returns:
        The model's identifier.

    Raises:
        LianmoError: what went wrong, of the party where it went wrong.
    """
    model_id = model_id or secrets.token_hex(16)
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
        raise_failures((guest, *hosts), run_parties((guest, *hosts)))


def _under_flower(config: Config, model_id: str, staging: Path, task: Task) -> None:
    """One Flower node per party; Flower carries one message to each, the session goes over the relay."""
    with _relay(config, model_id, staging, task) as (guest, hosts):
        jobs: tuple[GuestJob | HostJob, ...] = (guest, *hosts)
        report = staging / "flower.json"
        settings = {"jobs": str(staging), "result": str(report)}
        names = [job.party.party for job in jobs]
        run_flower(names, settings, staging / "flower", staging / "flower.log")
        replies = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
        raise_failures(jobs, {name: replies.get(name, {}).get("code", "no_reply") for name in names})
        shutil.rmtree(staging / "flower", ignore_errors=True)


@contextmanager
def _relay(config: Config, model_id: str, staging: Path, task: Task) -> Iterator[tuple[GuestJob, tuple[HostJob, ...]]]:
    """The parties' jobs, with a relay that lets in exactly them."""
    with relay_links(config.party_names, model_id) as links:
        guest, hosts = jobs_of(config, model_id, staging, links, task)
        for job in (guest, *hosts):
            save_job(job)
        yield guest, hosts


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
