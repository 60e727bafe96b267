"""What a party's audit log says of models coming into use and going out of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from federation.errors import PartyId
from lab.governance.admission import PURPOSES
from lab.governance.node_log import OwnLog, own_log


@dataclass(frozen=True, slots=True)
class PublishingRecord:
    """Attributes:
    own: None: the party keeps no log, and nothing is recorded.
    guest: the bank: who decides what is in use.
    """

    own: OwnLog | None
    guest: PartyId

    @classmethod
    def of(cls, node: Path | None, party: PartyId, guest: PartyId) -> Self:
        """Ready to record. Raises as ``own_log``."""
        return cls(own_log(node, party), guest)

    def published(self, model: str, **references: Any) -> None:
        """A model, or this party's half of it, answers from now on. Raises ``ServiceError``."""
        self._say("model_published", model, references)

    def retired(self, model: str, **references: Any) -> None:
        """It does no longer. Raises ``ServiceError``."""
        self._say("model_retired", model, references)

    def _say(self, kind: str, model: str, references: dict[str, Any]) -> None:
        if self.own:
            self.own.say(kind, self.guest, model=model, purpose=PURPOSES["scoring"], **references)
