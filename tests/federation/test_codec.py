"""Frames: every message there and back, and nothing a peer sends does more than raise the named error."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, get_args, get_origin, get_type_hints

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

import federation.alignment.messages
import federation.audit.messages
import federation.hybrid.messages
import federation.vertical.boosting.messages
import federation.vertical.publishing.messages
import federation.vertical.scoring.messages  # noqa: F401 - registers its messages
from federation.alignment.host import AlignmentState
from federation.alignment.messages import RowsAccepted, Tokens
from federation.ciphers.plain import PlainSecret
from federation.codec import decode, encode
from federation.errors import RemoteProtocolError
from federation.messages import PROTOCOL_VERSION, REGISTRY, Failure, Message
from federation.vertical.boosting.messages import Grow
from federation.vertical.boosting.state import BoostingState

KINDS = {kind: cls for kind, cls in sorted(REGISTRY.items()) if cls.__module__.startswith("federation.")}
CODES = {"too_large", "unreadable", "wrong_version", "unknown_kind", "bad_value"}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value an annotation allows."""
    if get_origin(hint) is tuple:
        args = get_args(hint)
        if args[1:] == (Ellipsis,):
            return st.lists(values_of(args[0]), max_size=4).map(tuple)
        return st.tuples(*map(values_of, args))
    return {
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False, allow_infinity=False),
        str: st.text(max_size=20),
        bytes: st.binary(max_size=40),
        bool: st.booleans(),
    }[hint]


def messages_of(cls: type[Message]) -> st.SearchStrategy[Message]:
    hints = get_type_hints(cls)
    return st.builds(cls, **{f.name: values_of(hints[f.name]) for f in fields(cls)})


anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(),
        st.text(max_size=5),
        st.binary(max_size=5),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=10,
)


def frame(*parts: Any) -> bytes:
    return msgpack.packb(parts, use_bin_type=True)


def refusal(data: bytes, **options: Any) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(data, "host:tax", **options)
    assert caught.value.party == "host:tax"
    return caught.value.code


def outcome(data: bytes) -> str:
    """Code of the refusal, or that there was none; any other exception is the test's failure."""
    try:
        decode(data, "host:tax")
    except RemoteProtocolError as error:
        return error.code
    return "decoded"


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_survives_the_wire(kind: str) -> None:
    @given(messages_of(KINDS[kind]))
    def check(message: Message) -> None:
        again = decode(encode(message), "bank")
        assert type(again) is type(message)
        assert again == message
        assert encode(again) == encode(message)

    check()


@given(st.binary(max_size=60))
def test_random_bytes_raise_nothing_but_the_named_error(data: bytes) -> None:
    assert refusal(data) in CODES


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_truncated_and_flipped_frames_raise_nothing_else(kind: str, data: st.DataObject) -> None:
    whole = encode(data.draw(messages_of(KINDS[kind])))
    assert refusal(whole[: data.draw(st.integers(0, len(whole) - 1))]) == "unreadable"
    position = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[position] ^= data.draw(st.integers(1, 255))
    assert outcome(bytes(flipped)) in CODES | {"decoded"}


@given(anything)
def test_any_other_structure_is_refused(value: Any) -> None:
    assert refusal(msgpack.packb(value, use_bin_type=True)) in CODES


@given(st.sampled_from(sorted(KINDS)), st.lists(anything, max_size=5))
def test_fields_of_other_types_are_refused_or_truly_of_the_type(kind: str, values: list[Any]) -> None:
    data = frame(PROTOCOL_VERSION, kind, values)
    found = outcome(data)
    assert found in {"bad_value", "unreadable", "decoded"}
    if found == "decoded":
        message = decode(data, "host:tax")
        assert decode(encode(message), "host:tax") == message
        assert [type(getattr(message, f.name)) for f in fields(message)] == [
            tuple if isinstance(v, list) else type(v) for v in values
        ]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(PROTOCOL_VERSION + 1, "failure", ["policy"]), "wrong_version"),
        (frame("1", "failure", ["policy"]), "wrong_version"),
        (frame(None, "failure", ["policy"]), "wrong_version"),
        (frame(1, "no.such.kind", []), "unknown_kind"),
        (frame(1, "", []), "unknown_kind"),
        (frame(1, ["failure"], []), "unknown_kind"),
        (frame(1, b"failure", ["policy"]), "unknown_kind"),
        (frame(1, "failure", []), "bad_value"),
        (frame(1, "failure", ["policy", "more"]), "bad_value"),
        (frame(1, "failure", {"code": "policy"}), "bad_value"),
        (frame(1, "failure", [b"policy"]), "bad_value"),
        (frame(1, "failure", [None]), "bad_value"),
        (frame(1, "alignment.rows_accepted", [True]), "bad_value"),
        (frame(1, "alignment.rows_accepted", [1.0]), "bad_value"),
        (frame(1, "alignment.rows_accepted", [float("nan")]), "bad_value"),
        (frame(1, "alignment.rows_accepted", [2**63]), "bad_value"),
        (frame(1, "alignment.tokens", ["text"]), "bad_value"),
        (frame(1, "boosting.grow", [0, [[0, 1]], b"", []]), "bad_value"),
        (frame(1, "boosting.grow", [0, [], b"", [[0, 1, 2]]]), "bad_value"),
        (frame(1, "boosting.grow", [0, [], b"", [0]]), "bad_value"),
        (frame(1, "failure", ["policy"], 4), "unreadable"),
        (frame(1, "failure"), "unreadable"),
        (frame(1, "failure", ["policy"]) + b"\0", "unreadable"),
        (b"", "unreadable"),
        (b"\xc1", "unreadable"),
        (msgpack.packb(7), "unreadable"),
        (msgpack.packb({1: 2}), "unreadable"),
        (b"\x91" * 100_000, "unreadable"),
        (b"\xdd\xff\xff\xff\xff", "unreadable"),
        (b"\xc6\xff\xff\xff\xff", "unreadable"),
        (b"\xa3\xff\xff\xff", "unreadable"),
        (b"\x93\x01\xa7failure\x91\xd9\x02\xc3\x28", "unreadable"),
        (b"cos\nsystem\n(S'id'\ntR.", "unreadable"),
    ],
)
def test_hostile_frames_have_their_code(data: bytes, code: str) -> None:
    assert refusal(data) == code


def test_a_nested_bomb_inside_a_field_is_refused() -> None:
    deep: Any = 0
    for _ in range(400):
        deep = [deep]
    assert refusal(frame(1, "boosting.choose", [0, deep])) in {"bad_value", "unreadable"}


def test_a_frame_over_the_limit_is_refused_unread() -> None:
    data = encode(Failure(code="policy"))
    assert refusal(data, max_bytes=len(data) - 1) == "too_large"
    assert refusal(b"\xc1" * 50, max_bytes=10) == "too_large"
    assert decode(data, "host:tax", max_bytes=len(data)) == Failure(code="policy")


def test_only_allowed_kinds_enter() -> None:
    data = encode(Tokens(tokens=b""))
    assert refusal(data, allowed=[RowsAccepted]) == "unknown_kind"
    assert decode(data, "host:tax", allowed=[RowsAccepted, Tokens]) == Tokens(tokens=b"")


@pytest.mark.parametrize("version", [True, 1.0])
def test_the_version_is_an_integer(version: object) -> None:
    assert refusal(frame(version, "failure", ["policy"])) == "wrong_version"


def test_no_content_of_a_bad_frame_is_in_the_error() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(frame(1, "alignment.tokens", ["330102199001011234"]), "host:tax")
    assert "330102199001011234" not in str(caught.value)


def test_numbers_that_are_not_finite_are_refused_in_float_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Measure(Message, kind="tests.measure"):
        value: float | None

    try:
        assert decode(encode(Measure(value=1.5)), "bank") == Measure(value=1.5)
        for bad in (float("nan"), float("inf"), -float("inf"), 1, True, "1.5"):
            assert refusal(frame(1, "tests.measure", [bad])) == "bad_value"
    finally:
        del REGISTRY["tests.measure"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_says_what_it_reveals_in_both_languages(kind: str) -> None:
    lines = [line.strip() for line in (KINDS[kind].__doc__ or "").splitlines()]
    assert "→" in lines[0]  # direction
    assert any(line.startswith("Reveals to ") and ": " in line for line in lines)
    assert any(line.startswith("向") and "透露：" in line for line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_is_frozen_slotted_and_keyword_only(kind: str) -> None:
    cls = KINDS[kind]
    assert cls.kind == kind
    assert cls.__dataclass_params__.frozen
    assert "__slots__" in cls.__dict__
    assert all(f.kw_only for f in fields(cls))


@pytest.mark.parametrize(
    "secret", [AlignmentState(), BoostingState(key=b"k"), PlainSecret()], ids=lambda s: type(s).__name__
)
def test_secret_state_cannot_be_encoded_and_prints_redacted(secret: Any) -> None:
    with pytest.raises((TypeError, AttributeError)):
        encode(secret)
    with pytest.raises((TypeError, AttributeError, msgpack.exceptions.PackException)):
        encode(Tokens(tokens=secret))
    assert repr(secret) == str(secret) == f"<{type(secret).__name__} redacted>"


def test_a_class_that_borrows_a_kind_cannot_be_encoded() -> None:
    class Impostor(Grow):  # not registered under a name of its own: it takes Grow's
        pass

    try:
        REGISTRY[Grow.kind] = Grow
        with pytest.raises(TypeError, match="not a wire message"):
            encode(Impostor(tree=0, cuts=(), left=b"", pairs=()))
    finally:
        REGISTRY[Grow.kind] = Grow
