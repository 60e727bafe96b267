"""Two ends of a standing line over a relay: one guest asks one host (``Line``), the host answers (``answer_line``).

Unlike a dialogue a line has many questions under way at once, from any thread. A question has the next number of the
line, the reply echoes it; numbers are inside what is sealed. Nothing is asked a second time by itself: whoever asked is
told that the line is gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore, Event, Lock, Thread
from typing import Final, NamedTuple

from federation.errors import PartyId, RemoteProtocolError, TransportError
from federation.transports.assembly import Parcel
from federation.transports.link import OUTBOX_BYTES, Link
from models.errors import LianmoError

#: Questions that a host works on at the same time; then it reads no further, and the guest's line fills.
AT_ONCE: Final = 8
#: Questions given up whose answers may still come.
_MOST_GIVEN_UP: Final = 1024
#: A link waits for something; nothing depends on how long.
_LOOK_SECONDS: Final = 3600.0


class Question(NamedTuple):
    """One that was asked: its number, and where its reply will be."""

    number: int
    reply: Future[bytes]


class Line:
    """The asking end, from any number of threads.

    Args:
        link: an entered link, on which keys are agreed with ``party``; the line closes it.
        party: the host at the other end.
    """

    def __init__(self, link: Link, party: PartyId) -> None:
        self._link, self._party = link, party
        self._sending = Lock()
        # Shared with the reader thread, under _changing.
        self._changing = Lock()
        self._waiting: dict[int, Future[bytes]] = {}
        self._given_up: set[int] = set()
        self._n_asked = 0
        self._unheard_since: float | None = None
        self._fault: LianmoError | None = None
        #: Set once the line is of no more use.
        self.over = Event()
        self._reader = Thread(target=self._read, name="line-reader", daemon=True)
        self._reader.start()

    @property
    def fault(self) -> LianmoError | None:
        """Why it is over."""
        return self._fault

    @property
    def is_clear(self) -> bool:
        """Whether a small frame goes out without waiting for the relay."""
        return self._link.queued_bytes < OUTBOX_BYTES // 2

    @property
    def n_asked(self) -> int:
        """Questions so far: a key seals only so many frames."""
        return self._n_asked

    @property
    def silent_seconds(self) -> float:
        """For how long questions have been waiting and nothing at all has come; 0 if nobody waits."""
        since = self._unheard_since
        return 0.0 if since is None else time.monotonic() - since

    def ask(self, frame: bytes) -> Question:
        """Send one frame; what goes wrong stands in the future: ``TransportError``, ``RemoteProtocolError``."""
        with self._sending:  # numbers go out in order
            with self._changing:
                self._n_asked += 1
                question = Question(self._n_asked, Future())
                question.reply.set_running_or_notify_cancel()  # nobody cancels it: the reply may come at any moment
                if self._fault:
                    question.reply.set_exception(self._fault)
                    return question
                self._waiting[question.number] = question.reply
                self._unheard_since = self._unheard_since or time.monotonic()
            try:
                self._link.send(self._party, frame, question.number)
            except LianmoError as error:
                if error.code == "too_large":  # nothing was sent, and the line is as good as before
                    self._unask(question, error)
                else:
                    self.end(error)
        return question

    def _unask(self, question: Question, error: LianmoError) -> None:
        with self._changing:
            self._n_asked -= 1
            self._waiting.pop(question.number)
        question.reply.set_exception(error)

    def give_up(self, question: Question) -> None:
        """Its reply is not waited for any more and is dropped when it comes."""
        with self._changing:
            if self._waiting.pop(question.number, None):
                self._given_up.add(question.number)  # it still counts as unheard
            overdue = len(self._given_up) > _MOST_GIVEN_UP
        if overdue:
            self.end(RemoteProtocolError(self._party, "out_of_turn", "it leaves too much unanswered.", "未应答过多。"))

    def idle(self) -> bool:
        """Whether nobody waits."""
        with self._changing:
            return not self._waiting

    def end(self, fault: LianmoError) -> None:
        """Over, because of ``fault``: all who wait are told."""
        if isinstance(fault, TransportError) and fault.party != self._party:  # the relay's end is this party's to us
            fault, cause = line_down(self._party, "line_lost"), fault
            fault.__cause__ = cause
        with self._changing:
            self._fault = self._fault or fault
            waiting, self._waiting = self._waiting, {}
        for reply in waiting.values():
            reply.set_exception(self._fault)
        self.over.set()

    def close(self) -> None:
        """Leave; no thread of ours is left."""
        self.end(line_down(self._party, "line_closed"))
        self._link.close()
        self._reader.join()

    def _read(self) -> None:
        while not self.over.is_set():
            try:
                self._take(self._link.receive(_LOOK_SECONDS, watch=(self._party,)))
            except TimeoutError:
                continue
            except LianmoError as error:
                self.end(error)

    def _take(self, parcel: Parcel) -> None:
        with self._changing:
            reply = self._waiting.pop(parcel.number, None)
            self._unheard_since = time.monotonic() if self._waiting else None
            if reply is None and parcel.number in self._given_up:
                self._given_up.remove(parcel.number)
                return
        if reply is None or parcel.sender != self._party:
            raise RemoteProtocolError(
                parcel.sender, "out_of_turn", "it sent a message nobody asked for.", "发来了未经请求的消息。"
            )
        reply.set_result(parcel.payload)


def answer_line(
    link: Link, answer: Callable[[bytes], tuple[bytes, bool]], guest: PartyId, *, at_once: int = AT_ONCE
) -> None:
    """Answer the guest until the line is over; messages of anybody else are dropped unread.

    Args:
        link: an entered link of a host.
        answer: a request to a reply; called from several threads.

    Raises:
        TransportError: the guest left, or the relay is gone: the ways in which a line ends.
        RemoteProtocolError: the guest's questions are out of order or too large, or not what it sealed.
    """
    free, sending = BoundedSemaphore(at_once), Lock()

    def one(question: Parcel) -> None:
        try:
            reply, _ = answer(question.payload)
            with sending:
                link.send(guest, reply, question.number)
        except LianmoError:
            link.close()  # whoever reads is told why
        finally:
            free.release()

    with ThreadPoolExecutor(at_once, thread_name_prefix="line") as pool:
        n_asked = 0
        while True:
            try:
                question = link.receive(_LOOK_SECONDS, watch=(guest,))
            except TimeoutError:
                continue
            if question.sender != guest:
                continue
            n_asked += 1
            if question.number != n_asked:
                raise RemoteProtocolError(
                    guest, "out_of_turn", "its requests do not follow one another.", "其请求次序不连续。"
                )
            free.acquire()
            pool.submit(one, question)


def line_down(party: PartyId, code: str) -> TransportError:
    """There is no line to it now; ``code`` says of what it ended."""
    return TransportError(
        party,
        code,
        "there is no line to it now; it is being opened again.",
        "与其之间暂无可用线路，正在重新建立。",
    )
