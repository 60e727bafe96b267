"""A whole run over sites: prepare every party's folder, let the parties meet, collect what came of it."""

from __future__ import annotations

import json
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
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
from lab.horizontal.jobs import CoordinatorJob, SiteJob, SitesJob, forget_keys, jobs_of, keep_job
from lab.horizontal.membership import over_hub
from lab.horizontal.party import signing_of
from lab.horizontal.site import keep_site, open_site
from lab.hybrid.host import keep_data_node, open_data_node
from lab.jobs import LinkSection, node_directory
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
        coordinator, sites, _ = jobs_of(config, model_id, staging)
        keeping: tuple[CoordinatorJob | SiteJob, ...] = (coordinator, *sites)
        for job in keeping:
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
    for job in _all(config, model_id, staging):
        forget_keys(job)
    for step in finish:
        step(staging, result)
    return result


def _all(
    config: HorizontalConfig, model_id: str, staging: Path, links: Mapping[PartyId, LinkSection] | None = None
) -> tuple[SitesJob, ...]:
    """Jobs of all parties that are here, the coordinator's first."""
    coordinator, sites, hosts = jobs_of(config, model_id, staging, links)
    return coordinator, *sites, *hosts


def _in_memory(config: HorizontalConfig, model_id: str, staging: Path) -> None:
    """All parties in this process; frames pass through the real codec all the same."""
    coordinator, sites, hosts = jobs_of(config, model_id, staging)
    for job in (coordinator, *sites, *hosts):
        keep_job(job)
    with ExitStack() as stack:
        nodes = {job.party.party: stack.enter_context(open_data_node(job)) for job in hosts}
        parts = []
        for site in sites:
            to_hosts = MemoryWire({host: nodes[host].doors[site.party.party] for host in site.hosts.values()})
            parts.append(stack.enter_context(open_site(site, signing_of(site), to_hosts)))
        doors = {name: node.doors[config.lead] for name, node in nodes.items()}
        doors |= {p.job.party.party: Endpoint(p, config.lead, p.allowed).answer for p in parts}
        coordinate(coordinator, MemoryWire(doors))
        for part in parts:
            keep_site(part)
        for node in nodes.values():
            keep_data_node(node)


def _over_relay(config: HorizontalConfig, model_id: str, staging: Path) -> None:
    """One process per party, meeting at a relay in this process."""
    with _relay(config, model_id, staging) as jobs:
        _raise_failures(jobs, run_parties(jobs, all_needed=False))


def _under_flower(config: HorizontalConfig, model_id: str, staging: Path) -> None:
    """One Flower node per party; Flower carries one message to each, the session goes over the relay."""
    with _relay(config, model_id, staging) as jobs:
        report = staging / "flower.json"
        settings = {"jobs": str(staging), "result": str(report), "lead": config.lead}
        run_flower(config.party_names, settings, staging / "flower", staging / "flower.log")
        replies = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
        codes = {party: replies.get(party, {}).get("code", "no_reply") for party in config.party_names}
        _raise_failures(jobs, codes)
        shutil.rmtree(staging / "flower", ignore_errors=True)


@contextmanager
def _relay(config: HorizontalConfig, model_id: str, staging: Path) -> Iterator[tuple[SitesJob, ...]]:
    """Jobs of all parties, the coordinator's first, with a relay that lets in exactly them."""
    with relay_links(config.party_names, model_id) as links:
        jobs = _all(config, model_id, staging, links)
        for job in jobs:
            keep_job(job)
        yield jobs


def _raise_failures(jobs: Sequence[SitesJob], codes: Mapping[PartyId, int | str]) -> None:
    """Others may be lost; the coordinator may not. If it failed, their own errors explain more: those of data nodes
    first, without which sites cannot go on."""
    if codes[jobs[0].party.party]:
        raise_failures(jobs[::-1], codes)


def _result(config: HorizontalConfig, staging: Path) -> dict[str, Any]:
    """What all parties said of the run, put together. Behind a hub what a site says of itself stays with it."""
    coordinator = load(node_directory(staging, config.lead) / "outcome.json")
    said = {name: _said(staging, name) for name in (*config.site_names, *config.host_names)}
    coordinator["bytes"], coordinator["disclosures"] = _between_all(coordinator, said.values())
    return {
        "name": config.run.name,
        "purpose": config.run.purpose,
        "transport": config.transport,
        "coordinator": config.lead,
        "sites": {name: said[name] for name in config.site_names},
        **_of_cities(config, said),
        "seconds_total": coordinator.pop("seconds"),
        "parameters": config.settings,
        **coordinator,
    }


def _said(staging: Path, party: PartyId) -> dict[str, Any]:
    path = node_directory(staging, party) / "outcome.json"
    return load(path) if path.exists() else {}


def _of_cities(config: HorizontalConfig, said: Mapping[PartyId, dict[str, Any]]) -> dict[str, Any]:
    """Of a run in both directions: its cities, and what data nodes said."""
    if not config.hybrid:
        return {}
    cities = {name: city.model_dump() for name, city in config.hybrid.cities.items()}
    return {"cities": cities, "hosts": {name: said[name] for name in config.host_names}}


def _between_all(
    coordinator: dict[str, Any], said: Iterable[dict[str, Any]]
) -> tuple[dict[str, dict[str, int]], list[dict[str, Any]]]:
    """Traffic and disclosures: the coordinator's own, and those between sites and data nodes, as far as they are
    told."""
    n_bytes: dict[str, Counter[str]] = {}
    disclosures = []
    for own in (coordinator, *said):
        for party, counts in own.pop("bytes", {}).items():
            n_bytes.setdefault(party, Counter(sent=0, received=0)).update(counts)
        disclosures += own.pop("disclosures", [])
    return {party: dict(counts) for party, counts in n_bytes.items()}, disclosures
