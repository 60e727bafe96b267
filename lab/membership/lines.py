"""Scoring through a hub: a bank's wire over standing lines, and a data node that dials out and answers on them.

Nobody dials a data node: it keeps a call waiting at the hub, and joins the relay when its bank asks for a line. Frames
are sealed from end to end with the keys that both made when they joined (``peers``).
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Final

from federation.endpoint import Endpoint
from federation.errors import PartyId, RemoteProtocolError, TransportError
from federation.transports.line import answer_line
from federation.transports.link import Link
from federation.transports.standing import Pauses, StandingWire
from lab.errors import ConfigError
from lab.membership.hub_client import Hub
from lab.membership.papers import Membership, membership_of, tls_of
from lab.membership.session import seals_for
from models.errors import LianmoError

log = logging.getLogger("lianmo.node")

#: For the other end to come, and for the relay to take what we send.
_JOIN_SECONDS: Final = 10.0
#: Lines that a host answers at the same time; each has a few threads.
_MOST_LINES: Final = 16


def wire_through_hub(node: Path, hosts: Collection[PartyId], *, deadline_seconds: float = 10.0) -> StandingWire:
    """The wire of a bank's service, to be entered. Raises ``ConfigError`` (``not_joined``), ``KeysError``.

    Args:
        node: the bank's folder, from which it joined the hub.
        deadline_seconds: longest wait for all replies of one exchange.
    """
    membership_of(node)

    def open_link(host: PartyId) -> Link:
        return _joined(node, host, Hub(node).line_to(host))

    return StandingWire(open_link, hosts, deadline_seconds=deadline_seconds)


def serve_lines(node: Path, endpoint: Endpoint, announce: Callable[[Membership], None] = lambda _: None) -> None:
    """Answer the bank's lines until the process is told to stop (SIGINT, SIGTERM). Raises as ``LineServer.serve``.

    Args:
        node: the host's folder, from which it joined the hub.
        announce: called once the hub can be asked.
    """
    server = LineServer(node, endpoint)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop())
    announce(membership_of(node))
    server.serve()


@dataclass(slots=True)
class LineServer:
    """A host's answers on all lines of its guest; of a folder that joined a hub.

    Attributes:
        endpoint: who may ask, and what answers, and nothing else; it must bear calls from several threads.
    """

    node: Path
    endpoint: Endpoint
    pauses: Pauses = field(default_factory=Pauses)
    _told: Event = field(default_factory=Event)
    _links: set[Link] = field(default_factory=set)
    _changing: Lock = field(default_factory=Lock)

    def serve(self) -> None:
        """Wait for lines and answer on them, until ``stop`` is called from another thread or a signal's handler.

        Raises:
            ConfigError: ``not_joined``; ``hub_role`` of a folder that joined as a guest.
        """
        membership = membership_of(self.node)
        if membership.role != "host":
            raise ConfigError(
                "hub_role",
                f"{self.node} joined as {membership.party} ({membership.role}); only a host answers.",
                f"{self.node} 以 {membership.party}（{membership.role}）加入，仅数据方可提供应答。",
            )
        Thread(target=self._ask, name="lines", daemon=True).start()  # its call may wait longer than we may
        self._told.wait()

    def _ask(self) -> None:
        n_failed = 0
        while not self._told.is_set():
            try:
                told = Hub(self.node).next_line([self.endpoint.guest])
            except LianmoError as error:
                n_failed += 1
                if n_failed == 1:
                    log.warning("the hub cannot be asked for lines: %s", error.code)
                self._told.wait(self.pauses.after(n_failed))
                continue
            n_failed = 0
            if told and told.get("guest") == self.endpoint.guest:
                Thread(target=self._answer, args=(told,), name="line", daemon=True).start()

    def stop(self) -> None:
        """Leave all lines and end ``serve`` soon."""
        self._told.set()
        for link in list(self._links):
            link.close()

    def _answer(self, told: Mapping[str, Any]) -> None:
        guest = self.endpoint.guest
        try:
            link = _joined(self.node, guest, told)
            with self._changing:
                full = self._told.is_set() or len(self._links) >= _MOST_LINES
                self._links |= set() if full else {link}
            try:
                if not full:
                    log.info("line to %s stands", guest)
                    answer_line(link, self.endpoint.answer, guest)
            finally:
                link.close()
                with self._changing:
                    self._links.discard(link)
        except LianmoError as error:
            level = logging.ERROR if isinstance(error, RemoteProtocolError) else logging.INFO
            log.log(level, "line to %s is over: %s", guest, error.code)


def _joined(node: Path, peer: PartyId, told: Mapping[str, Any]) -> Link:
    """A link that is entered, on which keys are agreed with ``peer``. Raises ``LianmoError``."""
    membership = membership_of(node)
    seals = seals_for(node, (peer,))
    link = Link(
        membership.address,
        str(told.get("session")),
        membership.party,
        str(told.get("ticket")),
        tls=tls_of(node),
        deadline_seconds=_JOIN_SECONDS,
        seals=seals,
    )
    link.__enter__()
    try:
        link.await_party(peer, _JOIN_SECONDS)
    except BaseException as error:
        with suppress(LianmoError):
            link.close()
        if isinstance(error, TimeoutError):
            raise TransportError(peer, "party_absent", "it did not come to the line.", "未加入线路。") from None
        raise
    return link
