"""The life of keys: what each state allows, what interruption and haste leave behind."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from federation.ciphers.suites.choice import SUITE_NAMES, suite
from federation.ciphers.suites.interface import key_id
from federation.errors import NotDecryptable
from lab.errors import KeysError
from lab.governance import folder
from lab.governance.affected import affected
from lab.governance.held import PURPOSES, SEALING, SIGNING, STORAGE, made
from lab.governance.keys import KeyRecord, KeyStore
from lab.governance.protection import MINIMUM_LENGTH, _stretched
from lab.governance.pseudonyms import Pseudonyms

PASSPHRASE = "铁 观音 龙井 普洱 毛尖 碧螺春"
CHEAP = 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def store(path: Path) -> KeyStore:
    ticks = itertools.count()
    return KeyStore(path, cost=CHEAP, clock=lambda: f"2026-11-26T00:00:{next(ticks):02}Z")


def one(store: KeyStore, purpose: str, of: str = "international") -> KeyRecord:
    [record] = store.generate("host:tax", of, PASSPHRASE, [purpose])
    return record


def refused(code: str) -> pytest.RaisesExc[KeysError]:
    return pytest.raises(KeysError, check=lambda error: error.code == code)


@pytest.mark.parametrize("of", SUITE_NAMES)
def test_keys_sign_seal_and_store_after_they_were_written(store: KeyStore, path: Path, of: str) -> None:
    records = store.generate("host:tax", of, PASSPHRASE)
    assert [r.purpose for r in records] == list(PURPOSES)
    again = KeyStore(path)
    signing, sealing, storage = (again.open(again.active(p).key_id, PASSPHRASE) for p in PURPOSES)
    chosen = suite(of)
    chosen.verify(bytes.fromhex(again.active(SIGNING).public), b"message", signing.sign(b"message"))
    sealed = chosen.seal(bytes.fromhex(again.active(SEALING).public), b"plaintext", b"context")
    assert sealing.unseal(made(chosen, sealing.key_id, "sealed", sealed), b"context") == b"plaintext"
    encrypted = storage.encrypted(b"plaintext", b"context")
    assert storage.decrypt(encrypted, b"context") == b"plaintext"
    with pytest.raises(NotDecryptable):
        storage.decrypt(encrypted, b"another context")


@pytest.mark.parametrize("of", SUITE_NAMES)
def test_an_id_is_of_the_public_key_and_stands_on_all_that_is_made(store: KeyStore, of: str) -> None:
    for record in store.generate("host:tax", of, PASSPHRASE):
        assert record.key_id == key_id(suite(of), bytes.fromhex(record.public))
    signed = store.open(store.active(SIGNING).key_id, PASSPHRASE).signed(b"message")
    assert (signed["suite"], signed["key_id"]) == (of, store.active(SIGNING).key_id)
    encrypted = store.open(store.active(STORAGE).key_id, PASSPHRASE).encrypted(b"x", b"")
    assert (encrypted["suite"], encrypted["key_id"]) == (of, store.active(STORAGE).key_id)


def test_no_private_key_lies_in_the_folder_and_none_is_printed(store: KeyStore, path: Path) -> None:
    for record in store.generate("host:tax", "international", PASSPHRASE):
        held = store.open(record.key_id, PASSPHRASE)
        text = "".join(file.read_text() for file in path.iterdir())
        assert held.private.hex() not in text
        assert held.private.hex() not in repr(held)
        with pytest.raises(TypeError):
            held.__reduce__()


def test_only_the_passphrase_opens_a_key_however_it_was_typed(store: KeyStore) -> None:
    [record] = store.generate("host:tax", "international", "caf\u00e9 caf\u00e9 caf\u00e9", [SIGNING])
    store.open(record.key_id, "cafe\u0301 cafe\u0301 cafe\u0301")
    for wrong in ("", "cafe cafe cafe", "caf\u00e9 caf\u00e9 caf\u00e9 "):
        with refused("wrong_passphrase"):
            store.open(record.key_id, wrong)


@pytest.mark.parametrize("field", ["salt", "encrypted", "cost"])
def test_a_changed_secret_does_not_open(store: KeyStore, path: Path, field: str) -> None:
    file = path / f"{one(store, SIGNING).key_id}.secret"
    data = folder.read(file)
    other = {"salt": "00" * 16, "encrypted": "00" * 60, "cost": 2048}
    for changed in (other[field], None, "zz", 7.5, [1]):
        folder.write(file, {**data, field: changed})
        with refused("wrong_passphrase"):
            store.open(file.stem, PASSPHRASE)


def test_one_secret_cannot_stand_for_another(store: KeyStore, path: Path) -> None:
    old = one(store, SIGNING)
    new = store.rotate(old.key_id, PASSPHRASE)
    (path / f"{new.key_id}.secret").write_bytes((path / f"{old.key_id}.secret").read_bytes())
    with refused("wrong_passphrase"):
        store.open(new.key_id, PASSPHRASE)


def test_a_short_passphrase_is_refused_and_one_node_has_one(store: KeyStore) -> None:
    with refused("short_passphrase"):
        store.generate("host:tax", "international", "一" * (MINIMUM_LENGTH - 1), [SIGNING])
    one(store, SIGNING)
    with refused("wrong_passphrase"):
        store.generate("host:tax", "international", "another passphrase", [SEALING])
    assert len(store.records()) == 1


def test_a_folder_has_one_owner_one_suite_and_one_active_key_per_purpose(store: KeyStore) -> None:
    one(store, SIGNING)
    with refused("key_exists"):
        one(store, SIGNING)
    with refused("other_owner"):
        store.generate("bank", "international", PASSPHRASE, [SEALING])
    with refused("other_suite"):
        one(store, SEALING, "sm")
    with refused("no_active_key"):
        store.active(SEALING)
    assert store.owner == "host:tax"


def test_a_rotated_key_reads_and_makes_nothing_new(store: KeyStore) -> None:
    old = one(store, STORAGE)
    encrypted = store.open(old.key_id, PASSPHRASE).encrypted(b"plaintext", b"")
    new = store.rotate(old.key_id, PASSPHRASE)
    assert store.active(STORAGE) == new
    record = store.record(old.key_id)
    assert (record.state, record.successor, record.retired) == ("retired", new.key_id, "2026-11-26T00:00:02Z")
    held = store.open(old.key_id, PASSPHRASE)
    assert held.decrypt(encrypted, b"") == b"plaintext"
    with refused("key_not_active"):
        held.encrypted(b"more", b"")
    with refused("key_not_active"):
        store.rotate(old.key_id, PASSPHRASE)
    with refused("other_key"):
        store.open(new.key_id, PASSPHRASE).decrypt(encrypted, b"")


def test_rotation_moves_a_node_to_another_suite_and_wants_its_passphrase(store: KeyStore) -> None:
    old = one(store, SIGNING)
    with refused("wrong_passphrase"):
        store.rotate(old.key_id, "another passphrase")
    new = store.rotate(old.key_id, PASSPHRASE, "sm")
    assert (new.suite, new.purpose) == ("sm", SIGNING)
    store.open(new.key_id, PASSPHRASE).sign(b"message")


def test_a_revoked_key_signs_no_more_and_can_be_replaced(store: KeyStore) -> None:
    old = one(store, SIGNING)
    with refused("no_reason"):
        store.revoke(old.key_id, "  ")
    revoked = store.revoke(old.key_id, "laptop lost")
    assert (revoked.state, revoked.reason, revoked.revoked) == ("revoked", "laptop lost", "2026-11-26T00:00:01Z")
    with refused("key_revoked"):
        store.revoke(old.key_id, "again")
    with refused("key_not_active"):
        store.open(old.key_id, PASSPHRASE).sign(b"message")
    new = store.rotate(old.key_id, PASSPHRASE)
    assert store.record(old.key_id).state == "revoked"
    assert store.active(SIGNING) == new
    with refused("key_not_active"):
        store.rotate(old.key_id, PASSPHRASE)


def test_a_destroyed_key_is_gone_and_its_record_stays(store: KeyStore, path: Path) -> None:
    old = one(store, STORAGE)
    with refused("key_in_use"):
        store.destroy(old.key_id)
    store.rotate(old.key_id, PASSPHRASE)
    destroyed = store.destroy(old.key_id)
    assert destroyed.state == "destroyed"
    assert not (path / f"{old.key_id}.secret").exists()
    assert store.record(old.key_id).public == old.public
    with refused("key_destroyed"):
        store.open(old.key_id, PASSPHRASE)
    assert store.destroy(old.key_id).destroyed == destroyed.destroyed


def test_keys_are_for_their_purpose_only(store: KeyStore) -> None:
    signing, sealing, storage = (
        store.open(r.key_id, PASSPHRASE) for r in store.generate("host:tax", "international", PASSPHRASE)
    )
    for use in (
        lambda: sealing.sign(b""),
        lambda: storage.signed(b""),
        lambda: signing.encrypted(b"", b""),
        lambda: signing.unseal({}, b""),
        lambda: sealing.decrypt({}, b""),
    ):
        with refused("wrong_purpose"):
            use()
    with refused("unreadable"):
        storage.decrypt({"suite": "international"}, b"")


def test_an_unknown_key_is_refused(store: KeyStore) -> None:
    for use in (
        lambda: store.revoke("0" * 16, "why"),
        lambda: store.destroy("0" * 16),
        lambda: store.rotate("0" * 16, PASSPHRASE),
        lambda: store.open("../keys", PASSPHRASE),
    ):
        with refused("unknown_key"):
            use()


class Interrupted(Exception):
    """The power fails."""


def test_power_failing_between_secret_and_record_leaves_no_key(
    store: KeyStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = one(store, SIGNING)
    real = folder.write

    def fails(file: Path, data: dict[str, object]) -> None:
        if file.name == "keys.json":
            raise Interrupted
        real(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(folder, "write", fails)
        with pytest.raises(Interrupted):
            store.rotate(old.key_id, PASSPHRASE)
    assert store.active(SIGNING) == old
    (path / "keys.json.partial").write_text("{")
    assert len(list(path.glob("*.secret"))) == 2
    new = store.rotate(old.key_id, PASSPHRASE)
    assert {file.stem for file in path.glob("*.secret")} == {old.key_id, new.key_id}
    assert not list(path.glob("*.partial"))


def test_power_failing_while_destroying_leaves_no_secret_that_is_said_to_be_gone(
    store: KeyStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = one(store, STORAGE)
    store.rotate(old.key_id, PASSPHRASE)

    def fails(file: Path) -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(folder, "shred", fails)
        with pytest.raises(Interrupted):
            store.destroy(old.key_id)
    assert store.record(old.key_id).state == "retired"
    store.open(old.key_id, PASSPHRASE)
    store.destroy(old.key_id)
    assert not (path / f"{old.key_id}.secret").exists()


def test_of_many_at_once_one_generates_and_no_rotation_is_lost(path: Path) -> None:
    def generate(_: int) -> str:
        try:
            return KeyStore(path, cost=CHEAP).generate("bank", "international", PASSPHRASE, [SIGNING])[0].key_id
        except KeysError as error:
            return error.code

    with ThreadPoolExecutor(8) as many:
        results = list(many.map(generate, range(8)))
    assert results.count("key_exists") == 7
    store = KeyStore(path, cost=CHEAP)
    store.generate("bank", "international", PASSPHRASE, [SEALING, STORAGE])
    with ThreadPoolExecutor(3) as many:
        list(many.map(lambda p: store.rotate(store.active(p).key_id, PASSPHRASE), PURPOSES))
    assert sorted(r.state for r in store.records()) == ["active"] * 3 + ["retired"] * 3


@pytest.mark.parametrize(
    "damage",
    ['{"format": 2, "owner": "", "keys": []}', '{"format": 1}', '{"format": 1, "owner": "", "keys": [{}]}', "["],
)
def test_a_damaged_index_is_refused(store: KeyStore, path: Path, damage: str) -> None:
    one(store, SIGNING)
    (path / "keys.json").write_text(damage)
    with refused("keys_unreadable"):
        store.records()


def test_the_default_cost_is_the_suites(path: Path) -> None:
    [record] = KeyStore(path).generate("bank", "sm", PASSPHRASE, [STORAGE])
    data = json.loads((path / f"{record.key_id}.secret").read_text())
    assert (data["stretching"], data["cost"]) == ("pbkdf2-hmac-sm3", 600_000)
    assert suite("international").stretching_cost == 2**17


def test_what_a_key_made_is_found_by_its_id() -> None:
    wanted = "0123456789abcdef"
    records = [
        {"kind": "score", "signature": {"suite": "sm", "key_id": wanted, "signature": "00"}},
        {"kind": "score", "signature": {"suite": "sm", "key_id": "f" * 16, "signature": "00"}},
        {"heads": [{"by": "bank"}, {"signer_key_id": wanted}]},
        {"text": wanted, "keys": [wanted]},
        ["key_id", wanted],
    ]
    assert list(affected(iter(records), wanted)) == [0, 2]


def test_one_stretch_of_the_passphrase_opens_all_that_a_process_needs_of_a_node(
    store: KeyStore, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.generate("host:tax", "international", PASSPHRASE)
    storage = store.active(STORAGE)
    store.rotate(storage.key_id, PASSPHRASE)
    of = suite("international")
    monkeypatch.setattr(type(of), "stretching_cost", CHEAP)
    Pseudonyms.open(tmp_path / "audit", of, PASSPHRASE, store.salt)
    stretched, stretch = [], type(of).stretch

    def counted(self: object, passphrase: bytes, salt: bytes, cost: int) -> bytes:
        stretched.append(salt)
        return stretch(of, passphrase, salt, cost)

    monkeypatch.setattr(type(of), "stretch", counted)
    _stretched.cache_clear()
    again = KeyStore(path)
    for record in again.records():
        again.open(record.key_id, PASSPHRASE)
    Pseudonyms.open(tmp_path / "audit", of, PASSPHRASE)
    assert len(again.records()) == 4
    assert stretched == [store.salt]


def test_nodes_do_not_share_a_salt(store: KeyStore, tmp_path: Path) -> None:
    other = KeyStore(tmp_path / "other", cost=CHEAP)
    one(store, SIGNING)
    one(other, SIGNING)
    assert None is not store.salt != other.salt is not None
