"""A wire over standing lines, for scoring through a relay: each host's line is opened again when it is lost.

No line, no waiting: whoever asks a host that is away is told at once, and asks others or does without. A line is
replaced while it still works, after a time or many questions, so that no key lives long.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_EXCEPTION, wait
from dataclasses import dataclass
from threading import Condition, Event, Lock, Thread
from types import TracebackType
from typing import Final, NamedTuple, Self

from federation.errors import LocalProtocolError, PartyId, TransportError
from federation.transports.line import Line, Question, line_down
from federation.transports.link import Link

log = logging.getLogger("lianmo.link")

#: Opens a link to a host, on which keys are agreed with it, and enters it. Raises ``LianmoError``.
OpenLink = Callable[[PartyId], Link]

#: A key seals 2^20 frames (``sealing``); a question or reply of ten chunks is ten.
_MOST_QUESTIONS: Final = 100_000
_LOOK_SECONDS: Final = 0.5
_QUICK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Pauses:
    """Between attempts to open a line: each twice as long as the last one, with chance in it (Brooker, "Exponential
    backoff and jitter", AWS Architecture Blog, 2015: many nodes do not come back in the same moment).

    Attributes:
        first, longest: seconds.
        renewal: seconds after which a line is replaced.
        silence: a line on which questions wait for so many seconds and nothing comes is dead.
    """

    first: float = 0.1
    longest: float = 5.0
    renewal: float = 1800.0
    silence: float = 5.0

    def after(self, n_failed: int) -> float:
        """Seconds to wait after so many attempts that failed, one at least."""
        return min(self.longest, self.first * 2.0 ** min(n_failed - 1, 32)) * random.uniform(0.5, 1.0)  # noqa: S311


class StandingWire:
    """The guest's ``Wire`` (see ``federation.script``), shared by threads and event loops; to be entered before use.

    Args:
        open_link: to one host.
        parties: to whom lines are opened at once; to others when they are first asked.
        deadline_seconds: longest wait for all replies of one exchange.
    """

    def __init__(
        self,
        open_link: OpenLink,
        parties: Collection[PartyId],
        *,
        deadline_seconds: float = 10.0,
        pauses: Pauses | None = None,
    ) -> None:
        self._pauses = pauses or Pauses()
        self._open_link = open_link
        self._deadline_seconds = deadline_seconds
        self._parties = parties
        self._adding = Lock()
        self._posts: dict[PartyId, _Post] = {}
        self._is_open = False

    def __enter__(self) -> Self:
        self._is_open = True
        for party in self._parties:
            self._post(party)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave all lines; exchanges still under way fail."""
        with self._adding:
            self._is_open = False
            posts, self._posts = self._posts, {}
        for post in posts.values():
            post.closing.set()
        for post in posts.values():
            post.stop()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        """Send one frame to each party and return one reply of each.

        Raises:
            TransportError: "party_absent": no line to it for now; "party_left", "line_lost": the line ended before it
                answered; "party_timeout": too slow.
            RemoteProtocolError: what came in its name is none of its replies, or not what it sealed.
        """
        until = time.monotonic() + self._deadline_seconds
        lines = {party: self._line_to(party, until) for party in frames}
        asked = {party: _Asked(line, line.ask(frames[party])) for party, line in lines.items()}
        replies = {asking.question.reply: party for party, asking in asked.items()}
        done, late = wait(replies, max(0.0, until - time.monotonic()), FIRST_EXCEPTION)
        try:
            for reply in done:
                reply.result()
            for reply in late:
                raise self._too_slow(asked[replies[reply]].line, replies[reply], self._deadline_seconds)
        except BaseException:
            for asking in asked.values():
                asking.line.give_up(asking.question)
            raise
        return {party: asking.question.reply.result() for party, asking in asked.items()}

    async def ask(self, party: PartyId, frame: bytes, seconds: float) -> bytes:
        """One frame to one party and its reply, in an event loop. Raises as ``exchange``.

        Args:
            seconds: longest wait.
        """
        until = time.monotonic() + seconds
        line = self._post(party).now()
        if line is None:
            line = await asyncio.to_thread(self._line_to, party, until)
        # What is small goes straight out; what could wait for the relay waits elsewhere.
        quick = len(frame) <= _QUICK_BYTES and line.is_clear
        question = line.ask(frame) if quick else await asyncio.to_thread(line.ask, frame)
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                return await asyncio.wrap_future(question.reply)
        except TimeoutError:
            raise self._too_slow(line, party, seconds) from None
        finally:
            line.give_up(question)

    async def reaches(self, party: PartyId, seconds: float) -> bool:
        """Whether there is a line to the party, waiting for the very first one so long at most."""
        try:
            await asyncio.to_thread(self._line_to, party, time.monotonic() + seconds)
        except TransportError:
            return False
        return True

    def _line_to(self, party: PartyId, until: float) -> Line:
        """The line in use, waiting for the very first one until that moment at most. Raises as ``exchange``."""
        return self._post(party).line(until)

    def _too_slow(self, line: Line, party: PartyId, seconds: float) -> TransportError:
        error = TransportError(
            party, "party_timeout", f"did not answer within {seconds:g} seconds.", f"未在 {seconds:g} 秒内应答。"
        )
        if line.silent_seconds >= self._pauses.silence:
            line.end(error)
        return error

    def _post(self, party: PartyId) -> _Post:
        with self._adding:
            if not self._is_open:
                raise LocalProtocolError("wire_closed", "The wire is not open.", "通道尚未打开。")
            if party not in self._posts:
                self._posts[party] = _Post(self._open_link, party, self._deadline_seconds, self._pauses)
            return self._posts[party]


class _Asked(NamedTuple):
    line: Line
    question: Question


class _Post:
    """Keeps a line to one host."""

    def __init__(self, open_link: OpenLink, party: PartyId, drain_seconds: float, pauses: Pauses) -> None:
        self._open_link, self._party = open_link, party
        self._drain_seconds, self._pauses = drain_seconds, pauses
        self.closing = Event()
        self._changed = Condition()
        self._line: Line | None = None
        self._away = False
        self._keeper = Thread(target=self._keep, name="line-keeper", daemon=True)
        self._keeper.start()

    def stop(self) -> None:
        self.closing.set()
        # One that is just opening a line notices afterwards, and leaves it.
        self._keeper.join(2 * _LOOK_SECONDS)

    def now(self) -> Line | None:
        """The line, if there is one that is of use."""
        line = self._line
        return line if line and not line.over.is_set() else None

    def line(self, until: float) -> Line:
        """The same, waiting for the very first one until that moment (``time.monotonic``) at most.

        Raises:
            TransportError: "party_absent".
        """
        with self._changed:
            self._changed.wait_for(lambda: self._line or self._away, max(0.0, until - time.monotonic()))
        if line := self.now():
            return line
        raise line_down(self._party, "party_absent")

    def _keep(self) -> None:
        n_failed = 0
        while not self.closing.is_set():
            try:
                line = Line(self._open_link(self._party), self._party)
            except Exception as error:  # whatever it is, it must not be the last attempt
                n_failed += 1
                self._note(error, n_failed)
                self.closing.wait(self._pauses.after(n_failed))
                continue
            self._replace(line)
            opened = time.monotonic()
            while not line.over.wait(_LOOK_SECONDS) and not self.closing.is_set():
                if time.monotonic() - opened > self._pauses.renewal or line.n_asked > _MOST_QUESTIONS:
                    break
            # One that ends as soon as it is open counts as a failure: the other end does not want us.
            n_failed = n_failed + 1 if line.over.is_set() and time.monotonic() - opened < self._pauses.longest else 0
            if line.fault:
                self._note(line.fault, n_failed)
                line.close()
            if n_failed > 1:
                self.closing.wait(self._pauses.after(n_failed - 1))
        self._replace(None)

    def _note(self, error: Exception, n_failed: int) -> None:
        if n_failed <= 1:  # once, not at every attempt
            log.warning("no line to %s: %s", self._party, getattr(error, "code", type(error).__name__))
        with self._changed:
            self._away = True
            self._changed.notify_all()

    def _replace(self, line: Line | None) -> None:
        with self._changed:
            before, self._line = self._line, line
            self._away = self._away and not line
            self._changed.notify_all()
        if line:
            log.info("line to %s stands", self._party)
        if before:
            until = time.monotonic() + self._drain_seconds
            while not before.idle() and time.monotonic() < until and not self.closing.wait(0.01):
                pass
            before.close()
