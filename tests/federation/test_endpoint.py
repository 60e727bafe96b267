"""A host's door: codes go out, texts stay."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest

from federation.alignment.messages import RowsAccepted, TokensWanted
from federation.codec import decode, encode
from federation.endpoint import Endpoint, wire_code
from federation.errors import (
    WIRE_CODES,
    InvalidCiphertext,
    KeyTooShort,
    LocalProtocolError,
    NotEncrypting,
    PlaintextOverflow,
    RemoteProtocolError,
)
from federation.messages import Failure, Goodbye, Message
from models.errors import DataError, LianmoError, ModelError


@dataclass
class Raises:
    error: Exception | None = None

    def answer(self, request: Message) -> Message:
        if self.error:
            raise self.error
        return RowsAccepted(n_rows=3)


def answer(responder: Raises, request: bytes) -> tuple[Message, bool]:
    reply, over = Endpoint(responder, "bank", [TokensWanted]).answer(request)
    return decode(reply, "host:tax"), over


def test_answers_what_is_allowed() -> None:
    assert answer(Raises(), encode(TokensWanted())) == (RowsAccepted(n_rows=3), False)


def test_goodbye_ends_the_session_without_asking_the_responder() -> None:
    assert answer(Raises(RuntimeError()), encode(Goodbye(code=""))) == (Goodbye(code=""), True)


@pytest.mark.parametrize("request_", [encode(RowsAccepted(n_rows=1)), b"rubbish", b"", encode(Failure(code="policy"))])
def test_anything_else_is_a_code(request_: bytes) -> None:
    assert answer(Raises(), request_) == (Failure(code="unreadable"), False)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LocalProtocolError("out_of_turn", "e", "z"), "out_of_turn"),
        (KeyTooShort(512, 2048), "key_too_short"),
        (NotEncrypting("plain"), "not_encrypting"),
        (InvalidCiphertext(), "bad_ciphertext"),
        (PlaintextOverflow("e", "z"), "internal"),
        (DataError("strange", "e", "z"), "bad_data"),
        (ModelError("unknown_model", "e", "z"), "unknown_model"),
        (ModelError("missing_columns", "e", "z"), "internal"),
        (RemoteProtocolError("bank", "wrong_version", "e", "z"), "unreadable"),
        (RemoteProtocolError("bank", "bad_value", "e", "z"), "bad_value"),
    ],
)
def test_errors_travel_as_codes_of_the_closed_list(error: LianmoError, code: str) -> None:
    assert code in WIRE_CODES
    assert wire_code(error) == code
    assert answer(Raises(error), encode(TokensWanted())) == (Failure(code=code), False)


def test_the_text_of_a_bug_neither_travels_nor_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    secret = "330102199001011234"
    with caplog.at_level(logging.DEBUG):
        reply, _ = Endpoint(Raises(ValueError(secret)), "bank", [TokensWanted]).answer(encode(TokensWanted()))
    assert decode(reply, "host:tax") == Failure(code="internal")
    assert "ValueError" in caplog.text
    assert secret not in caplog.text
    assert secret.encode() not in reply
