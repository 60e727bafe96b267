"""A run through a hub, on the side that begins it: ask for it, wait for its end, say what went wrong. Our own node does
its part. ``over_hub`` is a bank's; a coordinator's stands in ``lab.horizontal.membership``."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from federation.errors import WIRE_CODES, PartyId, TransportError
from lab.config import Config
from lab.errors import ConfigError, ReportedError, ServiceError
from lab.failures import PartyJob
from lab.hub.invitations import Role
from lab.jobs import Task, jobs_of, save_job
from lab.membership.hub_client import Hub
from lab.membership.session import ask_for, no_longer
from lab.membership.terms import Terms
from models.bundle import load
from models.errors import LianmoError

_LOOK_SECONDS: Final = 0.5
#: The hub may be started again meanwhile; longer than that and the run is given up.
_AWAY_SECONDS: Final = 60.0
_LOST: Final[dict[str, Any]] = {"state": "lost", "outcomes": {}}
#: What is said of a party that says nothing.
_SILENT: Final = frozenset(("party_absent", "no_reply", "node_lost"))
#: What a party says when another's fault ended the session.
_FOLLOW_UPS: Final = frozenset(
    ("party_left", "party_absent", "party_timeout", "relay_lost", "session_closed", "no_reply", "node_lost")
)
_MEANINGS: Final = {
    **WIRE_CODES,
    "party_absent": ("its node is not connected to the hub", "其节点未连接枢纽"),
    "node_lost": ("its part ended without a word: was it killed?", "其会话进程无声中止，可能被终止"),
    "no_reply": ("its node did not report", "其节点未回报"),
    "unknown_bundle": ("its node has another release", "其节点版本不同"),
}


def over_hub(config: Config, model_id: str, staging: Path, task: Task) -> None:
    """One session of all parties, each on its own machine; this bank's node finds its job in ``staging``.

    Raises:
        ConfigError: ``not_joined``; ``hub_role`` if the node in ``[hub]`` is not this bank's.
        LianmoError: what went wrong, of the party where it went wrong as far as it is told.
    """
    assert config.hub
    hub = hub_of(config.hub.node, config.guest.party, "guest")
    job, _ = jobs_of(config, model_id, staging, task=task)
    save_job(job)
    terms = Terms(
        guest=job.guest,
        algorithm="scorecard" if job.scorecard else "boosting",
        parties=job.parties if job.countersigned else (),
        countersigned=job.countersigned,
        continues=load(job.earlier / "model.json")["own"]["model_id"] if job.earlier else "",
        party_seconds=job.party_seconds,
        answer_seconds=job.answer_seconds,
    )
    hold(hub, model_id, job, config.host_names, terms)


def hub_of(node: Path, party: PartyId, role: Role) -> Hub:
    """The hub that ``node`` joined. Raises ``ConfigError``: ``not_joined``; ``hub_role`` unless it joined as ``party``
    and ``role``, who begins the run."""
    hub = Hub(node)
    own = hub.membership
    if (own.party, own.role) != (party, role):
        raise ConfigError(
            "hub_role",
            f"[hub] node joined as {own.party} ({own.role}), but the run is begun by {party} ({role}). Name {party}'s "
            "folder.",
            f"[hub] node 以 {own.party}（{own.role}）加入，而本次运行由 {party}（{role}）发起。请填写 {party} 的目录。",
        )
    return hub


def hold(hub: Hub, session: str, job: PartyJob, others: Sequence[PartyId], terms: BaseModel) -> None:
    """One session with ``others``, to its end; our own node finds ``job``. If we give up it is stopped. Raises as
    ``raise_failure``."""
    ask_for(hub.node, session, job.directory)
    try:
        hub.begin(session, others, terms.model_dump(mode="json"))
        raise_failure(job, ended(hub, session, job.directory / "error.json"))
    except BaseException:
        with suppress(LianmoError):
            hub.stop(session)
        raise
    finally:
        no_longer(hub.node, session)


def ended(hub: Hub, session: str, error: Path) -> dict[str, Any]:
    """The hub's last word of the run; ``lost`` if it has none: it is away, and our own part has ended with ``error``;
    or it was started anew and knows nothing of the run."""
    away = 0.0
    while True:
        began = time.monotonic()
        try:
            told = hub.run(session)
            away = 0.0
        except ReportedError as refused:
            if refused.code != "no_such_run":
                raise
            return _LOST
        except TransportError:
            if error.exists():
                return _LOST
            away += _LOOK_SECONDS + time.monotonic() - began
            if away > _AWAY_SECONDS:
                raise
        else:
            if told["state"] not in ("queued", "running"):
                return told
        time.sleep(_LOOK_SECONDS)


def raise_failure(job: PartyJob, told: dict[str, Any]) -> None:
    """Raise what went wrong in a run of ours that has ended, if anything did."""
    path = job.directory / "error.json"
    own = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    codes = {party: outcome["code"] for party, outcome in told["outcomes"].items() if outcome["code"]}
    causes = {party: code for party, code in codes.items() if party != job.party.party and code not in _FOLLOW_UPS}
    if own and not (own["code"] in _FOLLOW_UPS and causes):
        raise ReportedError(**own)
    if told["state"] == "done":
        return
    if told is _LOST:
        raise ServiceError(
            "hub_restarted",
            "The hub was started anew and knows the run no more. Resume it: lianmo runs.",
            "枢纽已重新启动，不再保有该运行。请恢复运行：lianmo runs。",
        )
    codes = causes or {party: code for party, code in codes.items() if code in _SILENT} or codes
    told_of = [(f"{party} [{code}]", *_MEANINGS.get(code, ("", ""))) for party, code in codes.items()]
    english = ", ".join(f"{who} {meaning}".rstrip() for who, meaning, _ in told_of)
    chinese = "，".join(f"{who} {meaning}".rstrip() for who, _, meaning in told_of)
    raise ServiceError(
        "run_stopped" if told["state"] == "stopped" else "hub_run_failed",
        f"The hub's run ended ({told['state']}): {english or 'no party reported'}. Each node's own log says why.",
        f"枢纽上的运行已结束（{told['state']}）：{chinese or '各方均未回报'}。原因见各节点本地日志。",
    )
