"""A whole run over sites: prepare every party's folder, let the parties meet, collect what came of it."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.transports.memory import MemoryWire
from lab.checkpoints import Checkpoints
from lab.failures import raise_failures
from lab.horizontal.config import HorizontalConfig
from lab.horizontal.coordinator import coordinate
from lab.horizontal.jobs import CoordinatorJob, SiteJob, forget_keys, jobs_of, keep_job
from lab.horizontal.membership import over_hub
from lab.horizontal.party import signing_of
from lab.horizontal.site import keep_site, open_site
from lab.jobs import node_directory
from lab.local_relay import relay_links
from lab.party_processes import run_parties
from lab.progress import watching
from lab.run_states import STATE, RunState, under_way
from lab.runs import Finish, resumable
from lab.simulation import run_flower
from lab.staging import staged
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


def train_over_sites(
    config: HorizontalConfig, console: Console, finish: Sequence[Finish] = (), state: RunState | None = None
) -> dict[str, Any]:
    """Train as ``config`` says; returns the content of ``result.json``.

    Args:
        state: identity of a run that can be seen, stopped and, if it is one of trees, resumed; one that was under way
            before is taken up where it is. None: nothing is kept of a run that fails.

    Raises:
        LianmoError: what went wrong, of the party where it went wrong.
    """
    final = config.run.directory
    if state is None:
        config = config.model_copy(update={"run": config.run.model_copy(update={"checkpoint_share": 0.0})})
    with (
        staged(final, "result.json", state.directory if state else None, partial(resumable, state, console)) as staging,
        under_way(state, staging) if state else nullcontext(),
    ):
        done = staging / "result.json"
        model_id = state.model_id if state else secrets.token_hex(16)
        if not done.exists():  # else it died while it was put in place
            save(done, _led(config, console, staging, model_id, finish))
        result: dict[str, Any] = load(done)
        for job in _all_jobs(config, model_id, staging):
            Checkpoints.of(job).clear()
    (final / STATE).unlink(missing_ok=True)
    return result


def _led(
    config: HorizontalConfig, console: Console, staging: Path, model_id: str, finish: Sequence[Finish]
) -> dict[str, Any]:
    ways = {"memory": _in_memory, "relay": _over_relay, "flower": _under_flower, "hub": over_hub}
    with watching(node_directory(staging, config.lead) / "progress.jsonl", console):
        ways[config.transport](config, model_id, staging)
    result = _result(config, staging)
    for job in _all_jobs(config, model_id, staging):
        forget_keys(job)
    for step in finish:
        step(staging, result)
    return result


def _all_jobs(config: HorizontalConfig, model_id: str, staging: Path) -> tuple[CoordinatorJob | SiteJob, ...]:
    coordinator, sites = jobs_of(config, model_id, staging)
    return coordinator, *sites


def _in_memory(config: HorizontalConfig, model_id: str, staging: Path) -> None:
    """All parties in this process; frames pass through the real codec all the same."""
    coordinator, sites = jobs_of(config, model_id, staging)
    for job in (coordinator, *sites):
        keep_job(job)
    with ExitStack() as stack:
        parts = [stack.enter_context(open_site(job, signing_of(job))) for job in sites]
        wire = MemoryWire({p.job.party.party: Endpoint(p, config.lead, p.allowed).answer for p in parts})
        coordinate(coordinator, wire)
        for part in parts:
            keep_site(part)


def _over_relay(config: HorizontalConfig, model_id: str, staging: Path) -> None:
    """One process per party, meeting at a relay in this process."""
    with relay_links(config.party_names, model_id) as links:
        coordinator, sites = jobs_of(config, model_id, staging, links)
        for job in (coordinator, *sites):
            keep_job(job)
        _raise_failures(coordinator, sites, run_parties((coordinator, *sites), all_needed=False))


def _under_flower(config: HorizontalConfig, model_id: str, staging: Path) -> None:
    """One Flower node per party; Flower carries one message to each, the session goes over the relay."""
    with relay_links(config.party_names, model_id) as links:
        coordinator, sites = jobs_of(config, model_id, staging, links)
        for job in (coordinator, *sites):
            keep_job(job)
        report = staging / "flower.json"
        settings = {"jobs": str(staging), "result": str(report), "lead": config.lead}
        run_flower(config.party_names, settings, staging / "flower", staging / "flower.log")
        replies = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
        codes = {party: replies.get(party, {}).get("code", "no_reply") for party in config.party_names}
        _raise_failures(coordinator, sites, codes)
        shutil.rmtree(staging / "flower", ignore_errors=True)


def _raise_failures(coordinator: CoordinatorJob, sites: Sequence[SiteJob], codes: Mapping[PartyId, int | str]) -> None:
    """A site may be lost; the coordinator may not. If it failed, a site's own error explains more."""
    if codes[coordinator.party.party]:
        raise_failures((*sites, coordinator), codes)


def _result(config: HorizontalConfig, staging: Path) -> dict[str, Any]:
    """What all parties said of the run, put together. Behind a hub what a site says of itself stays with it."""
    coordinator = load(node_directory(staging, config.lead) / "outcome.json")
    own = {site.party: node_directory(staging, site.party) / "outcome.json" for site in config.sites}
    sites = {name: load(own[name]) if name in own and own[name].exists() else {} for name in config.site_names}
    return {
        "name": config.run.name,
        "purpose": config.run.purpose,
        "transport": config.transport,
        "coordinator": config.lead,
        "sites": sites,
        "seconds_total": coordinator.pop("seconds"),
        "parameters": config.settings,
        **coordinator,
    }
