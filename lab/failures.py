"""What went wrong in a run, of the party where it went wrong: parties on this machine leave it in their folders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from federation.errors import LocalProtocolError, PartyId
from federation.messages import Message
from lab.errors import GovernanceError, ReportedError, ServiceError
from models.bundle import save
from models.errors import LianmoError

#: In the place of an exit code: a party that had to be ended.
STUCK = "stuck"
#: What a party says when another's fault ended the session.
_FOLLOW_UPS = ("party_left", "party_absent", "party_timeout", "bad_data", "policy", "no_consent", "relay_lost")


class Named(Protocol):
    """Has a party's name."""

    @property
    def party(self) -> PartyId: ...


class PartyJob(Protocol):
    """What is done for one party of a run, whichever kind it is."""

    @property
    def party(self) -> Named: ...

    @property
    def directory(self) -> Path: ...

    @property
    def answer_seconds(self) -> float: ...


class Unable:
    """Stands in for a party whose own data cannot be used: it refuses everything, so that the lead knows at once."""

    def __init__(self, error: LianmoError) -> None:
        self._error = error

    def answer(self, request: Message) -> Message:  # noqa: ARG002
        if isinstance(self._error, GovernanceError):
            raise LocalProtocolError("policy", self._error.english, self._error.chinese)
        raise self._error


def note_error(job: PartyJob, error: LianmoError) -> None:
    """Leave what happened in the party's own folder."""
    save(
        job.directory / "error.json",
        {"code": error.code, "english": error.english, "chinese": error.chinese, "exit_code": error.exit_code},
    )


def raise_failures(jobs: Sequence[PartyJob], codes: Mapping[str, int | str]) -> None:
    """Raise the error of the party where it arose: a party's own explains more than the lead's view of it.

    Args:
        codes: party → exit code, or ``STUCK``, or what it told; 0 or "" where all was well.
    """
    errors = {}
    for job in jobs:
        path = job.directory / "error.json"
        if path.exists():
            errors[job.party.party] = json.loads(path.read_text(encoding="utf-8"))
        elif codes[job.party.party]:
            errors[job.party.party] = None
    if not errors:
        return
    known = {name: e for name, e in errors.items() if e}
    first = next((name for name, e in known.items() if e["code"] not in _FOLLOW_UPS), next(iter(known), None))
    if first:
        raise ReportedError(**known[first])
    died = [name for name in errors if codes[name] != STUCK]
    if died:
        raise ServiceError(
            "node_died",
            f"{', '.join(died)} ended without saying why. Run `lianmo doctor`.",
            f"{'、'.join(died)} 异常终止且未说明原因。请运行 lianmo doctor。",
        )
    raise ServiceError(
        "party_stuck",
        f"{', '.join(errors)} did not end when the others had, and was ended. Its folder's log.txt says how far it "
        "came. Run `lianmo doctor`.",
        f"{'、'.join(errors)} 在其他各方结束后仍未退出，已被终止。进度见其目录中的 log.txt。请运行 lianmo doctor。",
    )
