"""Publishing, host side: brings halves of finished models into use and takes them out, while scores are answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from federation.errors import LocalProtocolError
from federation.messages import Message
from federation.vertical.publishing.messages import Prepare, Prepared, Retire, Retired
from models.errors import ModelError
from models.joint import JointHalf
from models.scorecard.card import ScorecardHalf

ALLOWED: tuple[type[Message], ...] = (Prepare, Retire)


class Halves(Protocol):
    """Where a host's halves come from, and which of them answer."""

    def stored(self, model_id: str, digest: str) -> JointHalf | None:
        """The host's half of a model it helped to train for this bank; None: it has none of this digest.

        Raises:
            ModelError: it is damaged, or ``selftest_failed``.
        """
        ...

    def check_shadow(self) -> None:
        """Raises ``LocalProtocolError`` (``policy``) where models on trial whose scores nobody is told may not ask."""
        ...

    def hold(self, half: JointHalf) -> None:
        """Answer for it from now on, and after a restart. Raises ``ModelError`` (``missing_columns``) if the host's
        data do not allow it, ``LocalProtocolError`` (``policy``) if its operator does not."""
        ...

    def drop(self, model_id: str, digest: str) -> None:
        """Answer for it no longer; nothing happens if it did not."""
        ...


@dataclass(frozen=True, slots=True)
class PublishingHost:
    """Answers the publishing protocol over ``halves``; keeps nothing itself."""

    halves: Halves

    def answer(self, request: Message) -> Message:
        match request:
            case Prepare():
                half = self.halves.stored(request.model_id, request.digest)
                kind = "scorecard" if isinstance(half, ScorecardHalf) else "trees"
                if half is None or kind != request.model or half.digest() != request.digest:
                    raise _unknown()
                if request.shadow:  # else it would be refused at each score, and the bank learn of it then
                    self.halves.check_shadow()
                try:
                    self.halves.hold(half)
                except ModelError as error:
                    raise LocalProtocolError("bad_data", error.english, error.chinese) from error
                return Prepared()
            case Retire():
                self.halves.drop(request.model_id, request.digest)
                return Retired()
        raise LocalProtocolError("out_of_turn", "Only publishing is answered here.", "此处仅处理模型发布。")


def _unknown() -> ModelError:
    return ModelError(
        "unknown_model",
        "The half of the model that is to be published is not among the runs of this node. Restore the run's folder.",
        "本节点的运行目录中没有拟发布模型的相应部分，请恢复该次运行的目录。",
    )
