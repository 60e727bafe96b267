"""Errors keep both texts, their code and whatever else they carry when they are copied between processes."""

from __future__ import annotations

import copy
import inspect

import pytest

from federation import errors as federation_errors
from federation.errors import WIRE_CODES, InvalidCiphertext, KeyTooShort, NotEncrypting, Refused, RemoteProtocolError
from models import errors as model_errors
from models.errors import DataError, LianmoError

EVERY = [
    DataError("one_class", "english", "中文"),
    KeyTooShort(1024, 2048),
    InvalidCiphertext(),
    NotEncrypting("plain"),
    RemoteProtocolError("host:tax", "bad_value", "english", "中文"),
    Refused("host:tax", "policy"),
]


@pytest.mark.parametrize("error", EVERY, ids=lambda e: type(e).__name__)
def test_an_error_survives_being_copied(error: LianmoError) -> None:
    twin = copy.copy(error)  # by way of __reduce__, as worker processes hand errors back
    assert type(twin) is type(error)
    assert (twin.code, twin.english, twin.chinese, twin.__dict__) == (
        error.code,
        error.english,
        error.chinese,
        error.__dict__,
    )
    assert str(twin) == f"{error.english}\n{error.chinese}"


def test_the_tree_in_the_docstring_names_every_base_and_its_exit_code() -> None:
    drawn = (model_errors.__doc__ or "").splitlines()
    bases = [
        cls
        for module in (model_errors, federation_errors)
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if cls is not LianmoError and "exit_code" in cls.__dict__
    ]
    assert len(bases) == 5
    for cls in bases:
        [line] = [line for line in drawn if f" {cls.__name__} " in line]
        assert f" {cls.exit_code} " in line


def test_an_unknown_code_from_a_peer_reads_as_internal() -> None:
    error = Refused("host:tax", "<script>")
    assert WIRE_CODES["internal"][0] in error.english
    assert error.party == "host:tax"


@pytest.mark.parametrize("code", WIRE_CODES)
def test_every_wire_code_reads_in_two_languages(code: str) -> None:
    english, chinese = WIRE_CODES[code]
    assert english.isascii()
    assert any("\u4e00" <= c <= "\u9fff" for c in chinese)
    error = Refused("host:tax", code)
    assert english in error.english
    assert chinese in error.chinese
