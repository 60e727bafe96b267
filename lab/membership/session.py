"""A session that came through a hub: what this party makes of it with its own files.

The hub names the session and passes the guest's terms on. Which data, which rules and which folder are this party's own
to say: nothing the hub sends is a path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from federation.errors import LocalProtocolError, PartyId
from federation.transports.agreement import Seals
from lab.jobs import GuestJob, HostJob, LinkSection, load_job, save_job
from lab.membership.hub_client import Hub
from lab.membership.papers import FOLDER, Membership, membership_of, seal_key
from lab.membership.peers import Peers
from lab.membership.terms import Session, Terms, load_own_side
from models.bundle import load, save
from models.errors import LianmoError, ModelError

#: Tells our code inside Flower's processes whose node it is; the same that the command line reads.
NODE_VARIABLE: Final = "LIANMO_NODE"
#: Where a host keeps its half of each model, by session.
RUNS: Final = "runs"
_ASKED: Final = "asked"


def ask_for(node: Path, session: str, directory: Path) -> None:
    """A guest notes where the job of a session lies that it is about to ask the hub for."""
    place = node / FOLDER / _ASKED
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    save(place / f"{session}.json", {"directory": str(directory.resolve())})


def no_longer(node: Path, session: str) -> None:
    """The session is over."""
    (node / FOLDER / _ASKED / f"{session}.json").unlink(missing_ok=True)


def job_of(node: Path, party: PartyId, settings: Mapping[str, object]) -> GuestJob | HostJob:
    """This party's job of a session. ``settings``: ``session``, ``ticket``, ``terms``, as they came.

    Raises:
        LocalProtocolError: ``bad_value``; ``not_asked`` of a guest that asked for no such session.
        ConfigError: of the party's own files.
    """
    membership = membership_of(node)
    try:
        session = TypeAdapter(Session).validate_python(settings.get("session"))
        ticket = TypeAdapter(str).validate_python(settings.get("ticket"), strict=True)
    except ValidationError as error:
        raise bad_session("session") from error
    if membership.party != party:
        raise bad_session("party")
    link = LinkSection(address=membership.address, session=session, ticket=ticket, node=node.resolve())
    if membership.role == "guest":
        return _guest_job(node, session).model_copy(update={"link": link})
    return _host_job(node, membership, link, str(settings.get("terms")))


@contextmanager
def telling(node: Path, settings: Mapping[str, object]) -> Iterator[None]:
    """However the block ends, the hub hears it from us, by a code; Flower's reply comes seconds later, if ever."""
    code = "internal"
    try:
        yield
        code = ""
    except LianmoError as error:
        code = error.code
        raise
    finally:
        with suppress(LianmoError):
            Hub(node).ended(str(settings.get("session")), str(settings.get("ticket")), code)


def seals_for(node: Path, parties: Iterable[PartyId]) -> Seals:
    """What this party seals with, and to whom. Raises as ``membership_of``, ``Hub.members`` and ``Peers.meet``."""
    met = Peers(node).meet(Hub(node).members(), parties)
    known = {peer.party: (peer.suite, bytes.fromhex(peer.key)) for peer in met}
    return Seals.with_key(membership_of(node).seal_suite, seal_key(node), known)


def noted_directory(node: Path, session: str) -> Path:
    """Where the job lies of a session that this party asked for. Raises ``LocalProtocolError`` (``not_asked``)."""
    try:
        noted: Mapping[str, Any] = load(node / FOLDER / _ASKED / f"{session}.json")
        return Path(str(noted["directory"]))
    except ModelError as error:
        raise LocalProtocolError(
            "not_asked",
            "The hub opened a session this party did not ask for. Tell the hub's operator.",
            "枢纽开启了本方未申请的会话，请告知枢纽运营方。",
        ) from error


def _guest_job(node: Path, session: str) -> GuestJob:
    job = load_job(noted_directory(node, session) / "job.json")
    if not isinstance(job, GuestJob) or job.model_id != session:
        raise bad_session("session")
    return job


def _host_job(node: Path, membership: Membership, link: LinkSection, told: str) -> HostJob:
    try:
        terms = Terms.model_validate_json(told)
    except ValidationError as error:
        raise bad_session("terms") from error
    own = load_own_side(node, membership.party)
    runs = node.resolve() / RUNS
    job = HostJob(
        model_id=link.session,
        party=own,
        guest=terms.guest,
        directory=runs / link.session,
        link=link,
        earlier=runs / terms.continues if terms.continues else None,
        party_seconds=terms.party_seconds,
        answer_seconds=terms.answer_seconds,
        n_jobs=own.n_jobs,
        workers=own.workers,
        parties=terms.parties,
        countersigned=terms.countersigned,
        algorithm=terms.algorithm,
    )
    save_job(job.model_copy(update={"link": None}))  # a ticket is spent at once
    return job


def bad_session(what: str) -> LocalProtocolError:
    """What a hub opened does not fit this node."""
    return LocalProtocolError(
        "bad_value",
        f"The hub opened a session whose {what} this node cannot take. Are both of one release?",
        f"枢纽开启的会话中 {what} 无法接受。双方版本是否一致？",
    )
