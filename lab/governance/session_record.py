"""What a party's audit log says of one session: from its opening, over what was refused, to its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from federation.errors import PartyId
from federation.messages import Message
from lab.errors import KeysError
from lab.governance.admission import Basis
from lab.governance.audit_entry import Event
from lab.governance.audit_keeper import LogKeeper
from lab.governance.audit_verify import Registered
from lab.governance.held import SIGNING
from lab.governance.node_log import KEYS, OwnLog, event, own_log, registered
from lab.governance.ring import KeyRing
from models.errors import LianmoError

if TYPE_CHECKING:
    from lab.governance.privacy import Spent

#: The half this party sealed: what ``model_sealed`` says of it besides model and session; None: nothing is sealed.
Sealed = Callable[[], Mapping[str, Any] | None]


@dataclass(slots=True)
class SessionRecord:
    """Attributes:
    own: None: the party keeps no log, and nothing is recorded.
    parties: of the session, as far as this party knows them.
    countersigned: whether all of them keep a log and sign its heads at the end.
    """

    own: OwnLog | None
    registered: Registered
    session: str
    parties: Sequence[PartyId]
    guest: PartyId
    countersigned: bool
    ended: bool = False

    @classmethod
    def of(
        cls,
        node: Path | None,
        party: PartyId,
        session: str,
        parties: Sequence[PartyId],
        guest: PartyId,
        *,
        countersigned: bool,
    ) -> Self:
        """Ready to record, before anything is sent.

        Raises:
            KeysError: ``unknown_key`` if the key of a party that is to countersign is not known.
            LianmoError: as ``own_log``.
        """
        own = own_log(node, party)
        if own is None or node is None:
            return cls(None, lambda *_: None, session, parties, guest, countersigned=False)
        if countersigned:
            believed = {k.owner for k in KeyRing(node / KEYS).known() if (k.purpose, k.state) == (SIGNING, "active")}
            for other in sorted({*parties} - {party} - believed):
                raise KeysError(
                    "unknown_key",
                    f"{party} knows no active signing key of {other}, so it could not check what {other} countersigns. "
                    "Ask for its public keys ('lianmo node keys import').",
                    f"{party} 未登记 {other} 的有效签名密钥，无法核验其会签。"
                    "请向其索取公钥（lianmo node keys import）。",
                )
        return cls(own, registered(node), session, parties, guest, countersigned=countersigned)

    @property
    def said(self) -> str:
        """What there is of the session in this party's log, for the run's result: ``none``, ``own`` or
        ``countersigned``."""
        if self.own is None:
            return "none"
        kept = self.countersigned and any(
            entry.references["session"] == self.session for entry in self.own.log.entries("heads_countersigned")
        )
        return "countersigned" if kept else "own"

    def opened(self, basis: Basis | None = None, **references: Any) -> None:
        """The session has begun for this party."""
        told = self._on(basis, "catalogue", "items", "policy")
        self._say(("session_opened", {"parties": list(self.parties), **told, **references}))

    def admitted(self, subjects: Sequence[str], basis: Basis | None, **references: Any) -> None:
        """The rows that came through, and by what right."""
        told = self._on(basis, "catalogue", "sources", "policy")
        if self.own and basis:
            told["consent_set"] = self.own.pseudonyms.consents(basis.consents(subjects))
        self._say(("rows_admitted", {"n_rows": len(subjects), **told, **references}))

    def _on(self, basis: Basis | None, *names: str) -> dict[str, Any]:
        """References to what a use rests on; none without a node, or a log."""
        return self.own.on(basis, *names) if self.own and basis else {}

    def noise_spent(self, spent: Spent) -> None:
        """Counts of so many features are about to be shown, with noise."""
        numbers = {name: ceil(1e6 * value) for name, value in (("epsilon", spent.epsilon), ("spent", spent.in_period))}
        told = {f"{name}_millionths": value for name, value in numbers.items()}
        self._say(("noise_spent", {"n_features": spent.n_features, **told}))

    def refused(self, error: LianmoError, **references: Any) -> None:
        """A request of the guest was refused; the code is all that is said of why."""
        self._say(("refused", {"code": error.code, "party": self.guest, **references}))

    def end(self, sealed: Mapping[str, Any] | None = None, code: str = "") -> None:
        """The last of it, once: the half that was sealed, and how it ended. Raises ``ServiceError``."""
        if not self.ended:
            self._say(*self._last(sealed, code))
            self.ended = True

    def keeper(self, sealed: Sealed) -> LogKeeper:
        """The log for countersigning; ``sealed`` is asked for when the head is, which then covers the session's end."""
        assert self.own

        def closing() -> Sequence[Event]:
            if self.ended:
                return ()
            self.ended = True
            return [self._event(*said) for said in self._last(sealed(), "")]

        return LogKeeper(self.own.log, self.registered, closing)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.end(code=error.code if isinstance(error, LianmoError) else "internal")

    def _last(self, sealed: Mapping[str, Any] | None, code: str) -> list[tuple[str, dict[str, Any]]]:
        said: list[tuple[str, dict[str, Any]]] = []
        if sealed:
            said.append(("model_sealed", {"model": self.session, **sealed}))
        return [*said, ("session_ended", {"model": self.session, **({"code": code} if code else {})})]

    def _say(self, *said: tuple[str, dict[str, Any]]) -> None:
        if self.own:
            self.own.log.append(*(self._event(kind, references) for kind, references in said))

    def _event(self, kind: str, references: Mapping[str, Any]) -> Event:
        actor = self.guest if kind in ("session_opened", "refused") else ""
        return event(kind, {"session": self.session, **references}, actor)


class OnRecord:
    """A party's part in one session. As a context it records an error that ends the session."""

    __slots__ = ()
    record: SessionRecord

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.record.__exit__(kind, error, traceback)


def answered(
    request: Message, answer: Callable[[Message], Message], still: Callable[[], None], record: SessionRecord
) -> Message:
    """The answer, if the project may go on; a refusal goes on record before it is told.

    Args:
        still: asked before every answer; raises if the project may not go on.
    """
    try:
        still()
        return answer(request)
    except LianmoError as error:
        record.refused(error)
        raise
