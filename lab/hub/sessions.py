"""Runs a guest has asked for: one relay session and one Flower run each; parties work on one at a time, in order.

The hub knows who takes part, when, how much passed and which code a party ended with. It reads no payload.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from federation.errors import PartyId
from federation.transports.relay import Relay
from lab.errors import ServiceError
from models.declared import Declared
from models.errors import LianmoError

log = logging.getLogger("lianmo.hub")

CRYPTO: Final = (
    Declared(
        algorithm="random generator of the operating system",
        purpose="tickets to the relay of a hub",
        purpose_zh="枢纽中继入场票据",
        standard="Linux getrandom(2)",
        library="secrets",
    ),
)

SESSION: Final = r"[0-9a-f]{32}"
#: How often the hub looks for a run's report, and asks Flower whether it still runs.
_LOOK_SECONDS: Final = 0.1
_ASK_SECONDS: Final = 15.0
#: Runs that are waiting or at work; more are refused.
_MOST: Final = 64
#: Runs remembered after their end.
_REMEMBERED: Final = 256

State = Literal["queued", "running", "done", "failed", "stopped"]


class Control(Protocol):
    """The SuperLink, as far as runs go."""

    async def start_run(self, settings: dict[str, str | int], config: Path) -> str: ...
    async def is_over(self, run: str) -> bool: ...
    async def stop_run(self, run: str) -> None: ...


@dataclass(slots=True)
class HubRun:
    """Attributes:
    guest: who asked for it; nobody else is told of it or may stop it.
    flower_nodes: party → Flower's number of its node.
    terms: what the guest proposes to the hosts, JSON; passed on unread.
    lead: the party whose end is the run's, others may be lost; "": all are needed.
    outcomes: party → what it said at the end: a code and counts.
    """

    session: str
    guest: PartyId
    flower_nodes: Mapping[PartyId, str]
    terms: str
    lead: PartyId = ""
    state: State = "queued"
    outcomes: Mapping[PartyId, Mapping[str, Any]] = field(default_factory=dict)
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def parties(self) -> Sequence[PartyId]:
        return list(self.flower_nodes)

    def told(self) -> dict[str, Any]:
        """For its guest."""
        return {"session": self.session, "state": self.state, "parties": self.parties, "outcomes": self.outcomes}


@dataclass(slots=True)
class Sessions:
    """``folder``: where a run's settings and report lie while it lasts."""

    folder: Path
    control: Control
    relay: Relay
    runs: dict[str, HubRun] = field(default_factory=dict)
    _turns: dict[PartyId, asyncio.Lock] = field(default_factory=dict)

    def begin(
        self, session: str, guest: PartyId, flower_nodes: Mapping[PartyId, str], terms: str, lead: PartyId = ""
    ) -> HubRun:
        """Queue a run, or once more one of the same guest that failed or was stopped; call inside the event loop.

        Raises:
            ServiceError: ``bad_session``, ``too_many_runs``.
        """
        before = self.runs.get(session)
        again = before and before.guest == guest and before.state in ("failed", "stopped")
        if not re.fullmatch(SESSION, session) or (before and not again):
            raise ServiceError("bad_session", "The hub has had a run of this number.", "枢纽已有相同编号的运行。")
        if sum(run.state in ("queued", "running") for run in self.runs.values()) >= _MOST:
            raise ServiceError(
                "too_many_runs",
                f"The hub has {_MOST} runs waiting or at work. Try again later.",
                f"枢纽排队与进行中的运行已达 {_MOST} 个，请稍后再试。",
            )
        over = [name for name, run in self.runs.items() if run.state not in ("queued", "running")]
        for name in over[: max(0, len(over) - _REMEMBERED)]:
            del self.runs[name]
        run = self.runs[session] = HubRun(session, guest, dict(flower_nodes), terms, lead)
        run.task = asyncio.create_task(self._hold(run))
        log.info("run %s of %s: queued", session, guest)
        return run

    async def stop(self, run: HubRun) -> None:
        """End it now: its parties are cut off. One that is over stays as it is."""
        if run.task and not run.task.done():
            run.task.cancel()
            await asyncio.gather(run.task, return_exceptions=True)
            run.state = "stopped"
            log.info("run %s: stopped", run.session)

    async def stop_all(self, party: PartyId = "") -> None:
        """Every run, or every run with that party."""
        for run in list(self.runs.values()):
            if not party or party in run.parties:
                await self.stop(run)

    async def keep_to(self, members: Collection[PartyId]) -> None:
        """End every run of a party that is no member any more."""
        for run in list(self.runs.values()):
            if not set(run.parties) <= set(members):
                await self.stop(run)

    async def _hold(self, run: HubRun) -> None:
        turns = [self._turns.setdefault(party, asyncio.Lock()) for party in sorted(run.parties)]
        held: list[asyncio.Lock] = []
        try:
            for turn in turns:  # in one order everywhere, so that no two runs wait for each other
                await turn.acquire()
                held.append(turn)
            run.state = "running"
            log.info("run %s: begins with %s", run.session, ", ".join(run.parties))
            await self._one(run)
        except LianmoError as error:
            run.outcomes = {party: {"code": error.code} for party in run.parties}
            run.state = "failed"
            log.error("run %s: %s", run.session, error)
        except Exception as error:  # whoever waits for the run must hear of its end
            run.outcomes = {party: {"code": "internal"} for party in run.parties}
            run.state = "failed"
            log.error("run %s: unexpected %s", run.session, type(error).__name__)
        finally:
            for turn in held:
                turn.release()

    async def _one(self, run: HubRun) -> None:
        tickets = {party: secrets.token_urlsafe(32) for party in run.parties}
        place = self.folder / run.session
        place.mkdir(parents=True, mode=0o700)
        report = place / "report.json"
        settings: dict[str, str | int] = {
            "parties": ",".join(run.parties),
            "nodes": json.dumps(dict(run.flower_nodes)),
            "tickets": json.dumps(tickets),
            "session": run.session,
            "terms": run.terms,
            "lead": run.lead,
            "result": str(report.resolve()),
        }
        self.relay.open_session(run.session, tickets)
        flower_run, over = "", False
        try:
            flower_run = await self.control.start_run(settings, place / "run.toml")
            await self._report(report, flower_run)
            over = True
            run.outcomes = json.loads(report.read_text("utf-8")) if report.exists() else {}
            needed = [run.lead] if run.lead else run.parties
            failed = not run.outcomes or any(run.outcomes.get(party, {"code": "no_reply"})["code"] for party in needed)
            run.state = "failed" if failed else "done"
            log.info("run %s: %s %s", run.session, run.state, {p: o["code"] for p, o in run.outcomes.items()})
        finally:
            self.relay.close_session(run.session)
            shutil.rmtree(place, ignore_errors=True)
            if flower_run and not over:
                await self.control.stop_run(flower_run)

    async def _report(self, report: Path, flower_run: str) -> None:
        """Wait until the report is there, or Flower says that none will come."""
        waited = 0.0
        while not report.exists():
            await asyncio.sleep(_LOOK_SECONDS)
            waited += _LOOK_SECONDS
            if waited >= _ASK_SECONDS:
                waited = 0.0
                if await self.control.is_over(flower_run):
                    return
