"""Runs a guest has asked for: one relay session and one Flower run each; parties work on one at a time, in order.

The hub knows who takes part, when, how much passed and which code a party ended with. It reads no payload.

Flower opens a session; how it goes is seen at the relay, and heard from each party itself (``ended``). So the end of a
session, also a party that is killed, is known within seconds, and a session outlives Flower's SuperLink.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import secrets
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
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
    Declared(
        algorithm="comparison in constant time",
        purpose="tickets of parties that tell how their part ended",
        purpose_zh="参与方回报结束时票据的比对",
        standard="none",
        library="hmac",
    ),
)

SESSION: Final = r"[0-9a-f]{32}"
#: How often the hub looks for a run's report, and asks Flower whether it still runs.
_LOOK_SECONDS: Final = 0.1
_ASK_SECONDS: Final = 15.0
#: A party that has left the relay tells how it ended within so long, or was killed.
_WORD_SECONDS: Final = 3.0
#: Once a party has failed the others notice at once, unless they compute: then nobody waits for them any longer.
_GRACE_SECONDS: Final = 10.0
#: Flower's part of a run ends by itself within so long after the parties' own, or is ended.
_SETTLE_SECONDS: Final = 30.0
_CODE: Final = r"[a-z0-9_]{0,64}"
#: Runs that are waiting or at work; more are refused.
_MOST: Final = 64
#: Runs remembered after their end.
_REMEMBERED: Final = 256

State = Literal["queued", "running", "done", "failed", "stopped"]


class Control(Protocol):
    """The SuperLink, as far as runs go; what it was asked and did not do raises ``ServiceError``. ``starts``: how often
    it was started; with it die the runs' apps. ``died``: it has, and is about to be started again."""

    @property
    def starts(self) -> int: ...
    def died(self) -> bool: ...
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
    tickets: party → its ticket of this attempt.
    """

    session: str
    guest: PartyId
    flower_nodes: Mapping[PartyId, str]
    terms: str
    lead: PartyId = ""
    state: State = "queued"
    outcomes: dict[PartyId, Mapping[str, Any]] = field(default_factory=dict)
    tickets: Mapping[PartyId, str] = field(default_factory=dict, repr=False)
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def parties(self) -> Sequence[PartyId]:
        return list(self.flower_nodes)

    @property
    def needed(self) -> Sequence[PartyId]:
        """Whose failure is the run's."""
        return [self.lead] if self.lead else self.parties

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
    _settling: set[asyncio.Task[None]] = field(default_factory=set)

    def begin(
        self, session: str, guest: PartyId, flower_nodes: Mapping[PartyId, str], terms: str, lead: PartyId = ""
    ) -> HubRun:
        """Queue a run; call inside the event loop. One of the same guest that is under way or done is not begun a
        second time: who asks for it again, because whoever asked first has died, is given it as it is.

        Raises:
            ServiceError: ``bad_session``, ``too_many_runs``.
        """
        before = self.runs.get(session)
        if not re.fullmatch(SESSION, session) or (before and before.guest != guest):
            raise ServiceError("bad_session", "The hub has had a run of this number.", "枢纽已有相同编号的运行。")
        if before and before.state not in ("failed", "stopped"):
            log.info("run %s of %s: asked for again, %s", session, guest, before.state)
            return before
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

    def ended(self, session: str, party: PartyId, ticket: str, code: str) -> None:
        """A party tells how its part ended. Raises ``ServiceError`` (``no_such_run``) unless its ticket is of the
        attempt under way: what an earlier one says comes too late."""
        run = self.runs.get(session)
        own = run.tickets.get(party, "") if run and run.state == "running" else ""
        if not run or not own or not hmac.compare_digest(own.encode(), ticket.encode()):
            raise ServiceError("no_such_run", "No run of this number is under way here.", "该编号的运行未在进行。")
        run.outcomes.setdefault(party, {"code": code if re.fullmatch(_CODE, code) else "internal"})

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
        run.tickets = {party: secrets.token_urlsafe(32) for party in run.parties}
        place = self.folder / f"{run.session}-{secrets.token_hex(4)}"  # the last attempt's may still be there
        place.mkdir(parents=True, mode=0o700)
        report = place / "report.json"
        settings: dict[str, str | int] = {
            "parties": ",".join(run.parties),
            "nodes": json.dumps(dict(run.flower_nodes)),
            "tickets": json.dumps(dict(run.tickets)),
            "session": run.session,
            "terms": run.terms,
            "lead": run.lead,
            "result": str(report.resolve()),
        }
        self.relay.open_session(run.session, run.tickets)
        flower_run, over = "", False
        try:
            while not over:
                starts = self.control.starts
                try:
                    flower_run = await self.control.start_run(settings, place / "run.toml")
                except ServiceError:
                    if self.relay.came(run.session) != set(run.parties):  # else all have heard of it nevertheless
                        if not await self._started_anew(starts):
                            raise
                        continue
                over = await self._outcomes(run, report, flower_run, starts)
            failed = any(run.outcomes[party]["code"] for party in run.needed)
            run.state = "failed" if failed else "done"
            log.info("run %s: %s %s", run.session, run.state, {p: o["code"] for p, o in run.outcomes.items()})
        finally:
            self.relay.close_session(run.session)
            if over:
                settling = asyncio.create_task(self._settle(flower_run, report))
                self._settling.add(settling)
                settling.add_done_callback(self._settling.discard)
            else:
                shutil.rmtree(place, ignore_errors=True)
                if flower_run:
                    await self.control.stop_run(flower_run)

    async def _outcomes(self, run: HubRun, report: Path, flower_run: str, starts: int) -> bool:
        """Wait until it is known of every party how it ended: it said so; or it left the relay and says nothing; or
        one that is needed failed, or the lead has ended, and it goes on; or Flower's app reports, whose word counts for
        those that are not at the relay.

        Returns:
            False: Flower was started again before all parties had come: its app has to be begun anew.
        """
        clock, session = asyncio.get_running_loop().time, run.session
        gone: dict[PartyId, float] = {}
        failed = float("inf")
        # Beside the rest, since an answer takes seconds, or a minute where the machine is busy.
        over = asyncio.create_task(self._over(session, flower_run))
        try:
            while missing := set(run.parties) - set(run.outcomes):
                await asyncio.sleep(_LOOK_SECONDS)
                now, came, left = clock(), self.relay.came(session), self.relay.gone(session)
                if self.control.starts != starts and came != set(run.parties):
                    log.warning("run %s: Flower was started again; asking the parties again", session)
                    return False
                if report.exists():
                    told = json.loads(report.read_text("utf-8"))
                    absent = missing - (came - left)
                    run.outcomes.update({party: told.get(party, {"code": "no_reply"}) for party in absent})
                for party in left & missing:
                    if now - gone.setdefault(party, now) > _WORD_SECONDS:
                        run.outcomes.setdefault(party, {"code": "node_lost"})
                known = [run.outcomes[party]["code"] for party in run.needed if party in run.outcomes]
                if any(known) or (run.lead and known):
                    failed = min(failed, now)
                if now - failed > _GRACE_SECONDS or over.done():
                    run.outcomes.update({party: {"code": "no_reply"} for party in missing - set(run.outcomes)})
        finally:
            over.cancel()
        return True

    async def _over(self, session: str, flower_run: str) -> None:
        """Until Flower says that its run is over, and nobody is at the relay, before it is asked and after."""

        def nobody() -> bool:
            return self.relay.came(session) == self.relay.gone(session)

        while True:
            await asyncio.sleep(_ASK_SECONDS)
            with suppress(ServiceError):  # one that cannot say so is no reason to end a run
                if nobody() and await self.control.is_over(flower_run) and nobody():
                    return

    async def _started_anew(self, starts: int) -> bool:
        """Whether Flower has been started again since; if it has died, once it has."""
        while self.control.starts == starts and await asyncio.to_thread(self.control.died):
            await asyncio.sleep(_LOOK_SECONDS)
        return self.control.starts != starts

    async def _settle(self, flower_run: str, report: Path) -> None:
        """Flower's app ends once its nodes have replied; one that does not is ended."""
        until = asyncio.get_running_loop().time() + _SETTLE_SECONDS
        while not report.exists():
            if asyncio.get_running_loop().time() > until:
                await self.control.stop_run(flower_run)
                break
            await asyncio.sleep(_LOOK_SECONDS)
        shutil.rmtree(report.parent, ignore_errors=True)
