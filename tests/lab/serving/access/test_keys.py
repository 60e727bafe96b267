"""API keys: what is stored, what is found, and what a change does at the next call."""

from __future__ import annotations

import hmac
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import ConfigError, KeysError
from lab.serving.access import keys as module
from lab.serving.access.keys import KeyBook, find, read_keys

NOW = datetime.now(UTC)


def test_a_key_is_found_by_its_text_and_the_file_does_not_hold_it(folder: Path) -> None:
    key, text = KeyBook(folder).add("loan-desk", ["score", "read"], 1.0, "Loan desk", ["loan_score"])
    file = folder / module.FILE
    secret = text.split("_", 2)[2]
    assert len(secret) == 43  # 256 bits in base64url
    assert secret not in file.read_text()
    assert secret not in repr(key)
    assert key.digest not in repr(key)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert find(read_keys(file), text, NOW) == (key, "active")
    assert key.caller.name == "key:loan-desk"
    assert key.caller.rights == {"score", "read"}
    assert key.caller.purposes == {"loan_score"}


def test_every_other_text_is_unknown(folder: Path) -> None:
    book = KeyBook(folder)
    _, text = book.add("loan-desk", ["score"], 1.0)
    _, other = book.add("other", ["score"], 1.0)
    keys = read_keys(folder / module.FILE)
    mixed = "_".join([*text.split("_", 2)[:2], other.split("_", 2)[2]])
    for wrong in ("", text[:-1], text + "a", text.upper(), " " + text, mixed, "lianmo_" + "0" * 12 + "_" + "A" * 43):
        assert find(keys, wrong, NOW) == (None, "unknown")


@given(st.text(max_size=80))
def test_no_text_makes_the_search_fail(text: str) -> None:
    assert find({}, text, NOW) == (None, "unknown")


def test_secrets_are_compared_in_constant_time_even_where_the_key_is_unknown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, text = KeyBook(folder).add("loan-desk", ["score"], 1.0)
    compared: list[tuple[str, str]] = []
    compare = hmac.compare_digest

    def spy(a: str, b: str) -> bool:
        compared.append((a, b))
        return compare(a, b)

    keys = read_keys(folder / module.FILE)
    monkeypatch.setattr(module.hmac, "compare_digest", spy)
    find(keys, text, NOW)
    find(keys, "lianmo_" + "0" * 12 + "_" + "A" * 43, NOW)
    find(keys, "no key at all", NOW)
    assert len(compared) == 3
    assert {len(part) for pair in compared for part in pair} == {64}


def test_a_key_without_a_known_id_is_unknown_even_if_its_digest_were_the_blank_one(folder: Path) -> None:
    assert module._NO_DIGEST not in {k.digest for k in KeyBook(folder).all()}
    assert find({}, "lianmo_" + "0" * 12 + "_" + "A" * 43, NOW)[0] is None


def test_a_key_ends_on_its_day_and_can_be_revoked_before(folder: Path) -> None:
    book = KeyBook(folder)
    key, text = book.add("loan-desk", ["score"], 1.0)
    file = folder / module.FILE
    assert find(read_keys(file), text, NOW + timedelta(hours=25))[1] == "expired"
    (revoked,) = book.revoke(key.key_id)
    assert find(read_keys(file), text, NOW) == (revoked, "revoked")
    assert book.revoke("loan-desk") == [revoked]  # and stays so, since then


def test_rotation_keeps_rights_and_lets_the_old_key_live_for_a_while(folder: Path) -> None:
    book = KeyBook(folder)
    old, old_text = book.add("loan-desk", ["score", "models"], 100.0, "Loan desk", ["loan_score"])
    new, new_text = book.rotate("loan-desk", 100.0, 2.0)
    assert (new.scopes, new.purposes, new.owner) == (old.scopes, old.purposes, old.owner)
    keys = read_keys(folder / module.FILE)
    now = datetime.now(UTC)
    for at, states in ((now, ("active", "active")), (now + timedelta(hours=3), ("expired", "active"))):
        assert (find(keys, old_text, at)[1], find(keys, new_text, at)[1]) == states
    book.revoke("loan-desk")
    with pytest.raises(ConfigError) as caught:
        book.rotate("loan-desk", 1.0, 0.0)
    assert caught.value.code == "no_such_key"


@pytest.mark.parametrize(
    ("name", "scopes", "code"),
    [
        ("Loan Desk", ["score"], "bad_caller_name"),
        ("a\nb", ["score"], "bad_caller_name"),
        ("a" * 65, ["score"], "bad_caller_name"),
        ("desk", [], "unknown_scope"),
        ("desk", ["score", "everything"], "unknown_scope"),
    ],
)
def test_keys_that_are_not_made(folder: Path, name: str, scopes: list[str], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        KeyBook(folder).add(name, scopes, 1.0)
    assert caught.value.code == code
    assert not (folder / module.FILE).exists()


def test_a_folder_that_others_can_read_is_refused(folder: Path) -> None:
    KeyBook(folder).add("loan-desk", ["score"], 1.0)
    (folder / module.FILE).chmod(0o644)
    with pytest.raises(KeysError) as caught:
        read_keys(folder / module.FILE)
    assert caught.value.code == "keys_too_open"
    folder.chmod(0o755)
    with pytest.raises(KeysError):
        KeyBook(folder).add("other", ["score"], 1.0)


@pytest.mark.parametrize("damage", ["", "[]", '{"keys": 3}', '{"keys": [{"name": "x"}]}'])
def test_a_damaged_file_is_said_to_be_one(folder: Path, damage: str) -> None:
    file = folder / module.FILE
    file.write_text(damage)
    file.chmod(0o600)
    with pytest.raises(KeysError) as caught:
        read_keys(file)
    assert caught.value.code == "keys_unreadable"


def test_revoking_nobody_changes_nothing(folder: Path) -> None:
    book = KeyBook(folder)
    book.add("loan-desk", ["score"], 1.0)
    before = json.loads((folder / module.FILE).read_text())
    with pytest.raises(ConfigError) as caught:
        book.revoke("nobody")
    assert caught.value.code == "no_such_key"
    assert json.loads((folder / module.FILE).read_text()) == before
