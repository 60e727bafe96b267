"""A host's door: bytes in, bytes out; every error becomes a code, its text stays in the host's own log."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Collection
from dataclasses import dataclass

from federation.codec import MAX_MESSAGE_BYTES, decode, encode
from federation.errors import WIRE_CODES, PartyId, RemoteProtocolError
from federation.messages import Failure, Goodbye, Message
from federation.script import Responder
from models.errors import DataError, LianmoError

log = logging.getLogger("lianmo.host")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Decodes, lets ``responder`` answer, encodes.

    Attributes:
        allowed: message classes this door opens for, besides ``Goodbye``.
    """

    responder: Responder
    guest: PartyId
    allowed: Collection[type[Message]]
    max_bytes: int = MAX_MESSAGE_BYTES

    def answer(self, frame: bytes) -> tuple[bytes, bool]:
        """The reply's bytes, and whether the session is over. Never raises for what a peer sent."""
        try:
            request = decode(frame, self.guest, allowed=(*self.allowed, Goodbye), max_bytes=self.max_bytes)
            if isinstance(request, Goodbye):
                return encode(Goodbye(code="")), True
            return encode(self.responder.answer(request)), False
        except LianmoError as error:
            log.error("%s: %s", error.code, error)
            return encode(Failure(code=wire_code(error))), False
        except Exception as error:  # a bug of ours must not reach the peer as text
            where = "".join(traceback.format_tb(error.__traceback__))  # the text of the error may hold values
            log.error("internal error %s\n%s", type(error).__name__, where)
            return encode(Failure(code="internal")), False


def wire_code(error: LianmoError) -> str:
    """The code that may travel for a local error."""
    if isinstance(error, RemoteProtocolError) and error.code not in WIRE_CODES:
        return "unreadable"
    if error.code in WIRE_CODES:
        return error.code
    return "bad_data" if isinstance(error, DataError) else "internal"
