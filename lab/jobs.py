"""What one party is given for one session, in its own folder: its section of the configuration, and how to join."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from lab.config import Config
from lab.config_party import Party
from lab.config_sections import CipherSection, ScorecardSection, Section, SplitSection, Workers
from lab.governance.node_log import keeps_log
from models.bundle import load, save
from models.errors import ModelError

#: A trial is trained and scored, but not tested; to align is to learn which applicants all parties know.
Task = Literal["train", "trial", "align"]


class LinkSection(Section):
    """Where and as whom to join the relay. ``node``: the folder with the party's papers; None: all on one machine."""

    address: str
    session: str
    ticket: str
    node: Path | None = None


class Job(Section):
    """Attributes:
    role: the guest leads, a host follows.
    directory: the party's own folder: its job, its half of the model, its log; wherever the job is read from.
    link: how to join; taken out when the run is over.
    earlier: the party's own folder of the run whose model trees are added to.
    parties: who takes part, as far as this party learns it.
    countersigned: whether all parties sign the heads of each other's audit logs at the end.
    checkpoint_share: as in the run's configuration.
    """

    role: Literal["guest", "host"]
    model_id: str
    party: Party
    guest: str
    directory: Path = Field(exclude=True)
    link: LinkSection | None = None
    earlier: Path | None = None
    party_seconds: float = 60.0
    answer_seconds: float = 600.0
    n_jobs: int = 1
    workers: Workers = "loky"
    parties: tuple[str, ...] = ()
    countersigned: bool = False
    checkpoint_share: float = 0.0


class HostJob(Job):
    """A data node's part. ``algorithm``: what it is asked to help with."""

    role: Literal["host"] = "host"
    algorithm: Literal["boosting", "scorecard"] = "boosting"


class GuestJob(Job):
    """The bank's part: what to train and how to test."""

    role: Literal["guest"] = "guest"
    task: Task = "train"
    hosts: tuple[str, ...]
    boosting: dict[str, Any]
    scorecard: ScorecardSection | None = None
    cipher: CipherSection
    split: SplitSection


def jobs_of(
    config: Config,
    model_id: str,
    directory: Path,
    links: dict[str, LinkSection] | None = None,
    task: Task = "train",
) -> tuple[GuestJob, tuple[HostJob, ...]]:
    """One job per party, each in ``directory/nodes/PARTY``."""
    countersigned = task != "align" and all(keeps_log(party.node) for party in config.parties)
    everybody = [config.guest.party, *config.host_names]

    def common(party: Party) -> dict[str, Any]:
        return {
            "model_id": model_id,
            "party": party,
            "guest": config.guest.party,
            "directory": node_directory(directory, party.party),
            "link": links[party.party] if links else None,
            "earlier": config.run.continues and node_directory(config.run.continues, party.party),
            "party_seconds": config.run.party_seconds,
            "answer_seconds": config.run.answer_seconds,
            "n_jobs": config.run.n_jobs,
            "workers": config.run.workers,
            "parties": everybody if countersigned or party is config.guest else [config.guest.party, party.party],
            "countersigned": countersigned,
            "checkpoint_share": config.run.checkpoint_share,
        }

    guest = GuestJob(
        **common(config.guest),
        task=task,
        hosts=config.host_names,
        boosting=config.boosting,
        scorecard=config.scorecard,
        cipher=config.cipher,
        split=config.split,
    )
    algorithm: Literal["boosting", "scorecard"] = "scorecard" if config.scorecard else "boosting"
    return guest, tuple(HostJob(**common(host), algorithm=algorithm) for host in config.hosts)


def node_directory(run: Path, party: str) -> Path:
    """A party's own folder inside a run's."""
    return run / "nodes" / party.replace(":", "-")


def save_job(job: Job) -> Path:
    """Write ``job.json`` into the party's folder, readable by its owner only."""
    job.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = job.directory / "job.json"
    save(path, json.loads(job.model_dump_json()))
    return path


def load_job(path: Path) -> GuestJob | HostJob:
    """What ``save_job`` wrote. Raises ``ModelError`` if it is absent or damaged."""
    data = load(path)
    if data.get("role") not in ("guest", "host"):
        raise ModelError(
            "run_of_sites",
            "This folder is of a run over sites: `lianmo score` and `lianmo report` read it; those for a bank and its "
            "data nodes cannot.",
            "该目录属于横向（多站点）运行：仅 lianmo score 与 lianmo report 可用，面向银行与数据方的命令不适用。",
        )
    kind = GuestJob if data["role"] == "guest" else HostJob
    return kind.model_validate({**data, "directory": path.parent})
