"""Public keys of other parties: believed after a comparison, refused when anything about them is off."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.ciphers.suites.choice import SUITE_NAMES, suite
from federation.ciphers.suites.interface import key_id
from federation.errors import BadKey, BadSignature, CipherError
from lab.errors import KeysError
from lab.governance import ring
from lab.governance.held import SEALING, SIGNING, made
from lab.governance.keys import KeyStore
from lab.governance.ring import KeyRing, _signed_bytes, export, read_export

PASSPHRASE = "correct horse battery staple"
TICKS = itertools.count()


def clock() -> str:
    return f"2026-11-26T00:{next(TICKS):06}Z"


class Party:
    """A node of its own."""

    def __init__(self, path: Path, name: str, of: str = "international") -> None:
        self.store = KeyStore(path, cost=1024, clock=clock)
        self.ring = KeyRing(path, clock)
        self.store.generate(name, of, PASSPHRASE)

    def signing(self) -> Any:
        return self.store.open(self.store.active(SIGNING).key_id, PASSPHRASE)

    def export(self) -> dict[str, Any]:
        return json.loads(json.dumps(export(self.store, self.signing(), clock)))

    def fingerprint(self) -> str:
        return self.store.active(SIGNING).fingerprint


@pytest.fixture
def bank(tmp_path: Path) -> Party:
    return Party(tmp_path / "bank", "bank")


@pytest.fixture(params=SUITE_NAMES)
def tax(tmp_path: Path, request: pytest.FixtureRequest) -> Party:
    return Party(tmp_path / "tax", "host:tax", request.param)


def refused(code: str) -> pytest.RaisesExc[KeysError]:
    return pytest.raises(KeysError, check=lambda error: error.code == code)


def introduce(bank: Party, other: Party) -> None:
    bank.ring.accept(read_export(other.export()), other.fingerprint())


def test_after_a_comparison_signatures_are_known_and_messages_sealed(bank: Party, tax: Party) -> None:
    introduce(bank, tax)
    assert bank.ring.verify(tax.signing().signed(b"message"), b"message") == "host:tax"
    with pytest.raises(BadSignature):
        bank.ring.verify(tax.signing().signed(b"message"), b"another message")
    sealed = bank.ring.sealed_to("host:tax", b"plaintext", b"context")
    held = tax.store.open(tax.store.active(SEALING).key_id, PASSPHRASE)
    assert held.unseal(sealed, b"context") == b"plaintext"


def test_storage_keys_and_reasons_stay_at_home(tax: Party) -> None:
    tax.store.revoke(tax.store.active(SEALING).key_id, "laptop lost in taxi")
    text = json.dumps(tax.export())
    assert "taxi" not in text
    assert {key["purpose"] for key in tax.export()["keys"]} == {SIGNING, SEALING}


def test_a_new_party_is_not_believed_without_the_fingerprint(bank: Party, tax: Party) -> None:
    found = read_export(tax.export())
    assert not bank.ring.is_known(found)
    with refused("fingerprint_needed"):
        bank.ring.accept(found)
    other = tax.fingerprint()[:-1] + ("0" if tax.fingerprint()[-1] != "0" else "1")
    for wrong in (other, "", tax.fingerprint()[:19]):
        with refused("fingerprint_differs"):
            bank.ring.accept(found, wrong)
    assert bank.ring.known() == []
    bank.ring.accept(found, tax.fingerprint().upper().replace(" ", ":"))
    assert {key.owner for key in bank.ring.known()} == {"host:tax"}


def test_later_exports_of_a_known_key_need_no_comparison_and_of_a_new_one_do(bank: Party, tax: Party) -> None:
    introduce(bank, tax)
    old = tax.store.active(SEALING)
    new = tax.store.rotate(old.key_id, PASSPHRASE)
    bank.ring.accept(read_export(tax.export()))
    assert (bank.ring.find(old.key_id).state, bank.ring.find(new.key_id).state) == ("retired", "active")
    assert bank.ring.sealed_to("host:tax", b"", b"")["key_id"] == new.key_id
    signed = tax.signing().signed(b"before")
    tax.store.rotate(tax.store.active(SIGNING).key_id, PASSPHRASE)
    with refused("fingerprint_needed"):
        bank.ring.accept(read_export(tax.export()))
    introduce(bank, tax)
    assert bank.ring.verify(signed, b"before") == "host:tax"  # retired keys are still read


def test_another_partys_key_cannot_speak_for_a_known_one(bank: Party, tax: Party, tmp_path: Path) -> None:
    introduce(bank, tax)
    mallory = Party(tmp_path / "mallory", "host:tax")
    with refused("fingerprint_needed"):
        bank.ring.accept(read_export(mallory.export()))
    registry = Party(tmp_path / "registry", "host:registry")
    introduce(bank, registry)
    body = {**tax.export(), "keys": registry.export()["keys"]}
    del body["signature"]
    forged = {**body, "signature": registry.signing().signed(_signed_bytes(body))}
    with refused("fingerprint_needed"):  # known as host:registry's, not as host:tax's
        bank.ring.accept(read_export(forged))
    with refused("key_taken"):
        bank.ring.accept(read_export(forged), registry.fingerprint())


def test_what_was_revoked_stays_revoked(bank: Party, tax: Party) -> None:
    introduce(bank, tax)
    before, signed = tax.export(), tax.signing().signed(b"message")
    revoked = tax.store.active(SIGNING).key_id
    tax.store.revoke(revoked, "lost")
    tax.store.rotate(revoked, PASSPHRASE)
    introduce(bank, tax)
    with refused("key_revoked"):
        bank.ring.verify(signed, b"message")
    with refused("fingerprint_needed"):  # a revoked key introduces nobody
        bank.ring.accept(read_export(before))
    with refused("export_old"):
        bank.ring.accept(read_export(before), read_export(before).fingerprint)
    with refused("key_revoked"):
        bank.ring.verify(signed, b"message")


def test_a_node_can_stop_trusting_a_key_whatever_its_owner_says(bank: Party, tax: Party) -> None:
    introduce(bank, tax)
    signed = tax.signing().signed(b"message")
    assert bank.ring.revoke(tax.store.active(SIGNING).key_id).state == "revoked"
    bank.ring.revoke(tax.store.active(SEALING).key_id)
    for use in (
        lambda: bank.ring.verify(signed, b"message"),
        lambda: bank.ring.sealed_to("host:tax", b"", b""),
        lambda: bank.ring.accept(read_export(tax.export())),
    ):
        with pytest.raises(KeysError):
            use()
    introduce(bank, tax)
    with refused("key_revoked"):
        bank.ring.verify(signed, b"message")


def test_a_sealing_key_signs_nothing_and_strangers_are_unknown(bank: Party, tax: Party) -> None:
    introduce(bank, tax)
    sealing = tax.store.active(SEALING)
    with refused("wrong_purpose"):
        bank.ring.verify(made(suite(sealing.suite), sealing.key_id, "signature", b""), b"")
    with refused("unknown_key"):
        tax.ring.verify(tax.signing().signed(b""), b"")
    with refused("unknown_key"):
        bank.ring.sealed_to("host:registry", b"", b"")
    with refused("unknown_key"):
        bank.ring.revoke("0" * 16)


def test_the_suite_beside_a_signature_is_the_keys(bank: Party, tax: Party) -> None:
    introduce(bank, tax)
    signed = tax.signing().signed(b"message")
    with pytest.raises(BadSignature):
        bank.ring.verify(
            {**signed, "suite": "sm" if signed["suite"] == "international" else "international"}, b"message"
        )


CHANGES: list[tuple[str, Any]] = [("owner", "bank"), ("made_at", "2030-01-01T00:00:00Z"), ("more", 1)]


@pytest.mark.parametrize(("field", "value"), CHANGES)
def test_a_changed_export_is_refused(tax: Party, field: str, value: Any) -> None:
    with pytest.raises(BadSignature):
        read_export({**tax.export(), field: value})


@pytest.mark.parametrize("field", ["created", "retired", "successor", "revoked"])
def test_a_changed_key_in_an_export_is_refused(tax: Party, field: str) -> None:
    data = tax.export()
    data["keys"][-1][field] = "2030-01-01T00:00:00Z"
    with pytest.raises(BadSignature):
        read_export(data)


def resigned(party: Party, data: dict[str, Any]) -> dict[str, Any]:
    body = {name: value for name, value in data.items() if name != "signature"}
    return {**body, "signature": party.signing().signed(_signed_bytes(body))}


def test_a_key_that_does_not_fit_its_id_or_suite_is_refused_though_signed(tax: Party) -> None:
    data = tax.export()
    for index, key in enumerate(data["keys"]):
        of = suite(key["suite"])
        short = bytes.fromhex(key["public"])[:-1]
        for changes in (
            {"key_id": "0" * 16},
            {"public": short.hex(), "key_id": key_id(of, short)},
            {"purpose": "storage"},
            {"suite": "sm" if key["suite"] == "international" else "international"},
        ):
            keys = list(data["keys"])
            keys[index] = {**key, **changes}
            with pytest.raises((BadKey, BadSignature, KeysError)):
                read_export(resigned(tax, {**data, "keys": keys}))


def test_a_signing_key_of_small_order_is_refused(bank: Party) -> None:
    """Its owner could deny every signature: one fits every message."""
    data = bank.export()
    weak = b"\x01" + bytes(31)
    data["keys"].append({**data["keys"][0], "public": weak.hex(), "key_id": key_id(suite("international"), weak)})
    with pytest.raises(BadKey):
        read_export(resigned(bank, data))


def test_an_export_is_signed_by_its_own_active_signing_key(bank: Party, tax: Party) -> None:
    data = tax.export()
    with pytest.raises((KeysError, BadSignature)):
        read_export(resigned(bank, data))
    doubled = {**data, "keys": [*data["keys"], data["keys"][0]]}
    with pytest.raises(BadSignature):
        read_export(resigned(tax, doubled))
    retired = {**data, "keys": [{**key, "retired": "2026-01-01T00:00:00Z"} for key in data["keys"]]}
    with pytest.raises(BadSignature):
        read_export(resigned(tax, retired))


def test_a_key_is_known_by_all_its_digits_not_by_its_id_alone(bank: Party, tax: Party, tmp_path: Path) -> None:
    """An id is 64 bits: another key with the same one can be made at great expense."""
    introduce(bank, tax)
    assert bank.ring.is_known(read_export(tax.export()))
    file = tmp_path / "bank" / "ring.json"
    held = json.loads(file.read_text())
    for key in held["parties"]["host:tax"]["keys"]:
        key["public"] = key["public"][::-1]
    file.write_text(json.dumps(held))
    assert not bank.ring.is_known(read_export(tax.export()))


def test_an_export_without_end_is_refused(bank: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bank.export()
    monkeypatch.setattr(ring, "_MAXIMUM_KEYS", len(data["keys"]) - 1)
    with refused("export_unreadable"):
        read_export(data)


@pytest.mark.parametrize("name", ["host:tax\x1b[2K", "[red]host:tax[/red]", "host:tax ", "", "host:tax\n"])
def test_a_name_that_would_change_what_a_terminal_shows_is_refused(bank: Party, name: str) -> None:
    with refused("export_unreadable"):
        read_export(resigned(bank, {**bank.export(), "owner": name}))
    data = bank.export()
    data["keys"][0]["created"] = name or "\x07"
    with refused("export_unreadable"):
        read_export(resigned(bank, data))
    with refused("bad_party"):
        bank.store.generate(name, "international", PASSPHRASE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return Party(tmp_path_factory.mktemp("bank") / "keys", "bank").export()


@settings(max_examples=50)
@given(data=st.data())
def test_an_export_with_anything_in_the_place_of_a_field_is_refused(
    exported: dict[str, Any], data: st.DataObject
) -> None:
    body: dict[str, Any] = json.loads(json.dumps(exported))
    part = data.draw(st.sampled_from((body, body["keys"][0], body["keys"][1], body["signature"])))
    field = data.draw(st.sampled_from(sorted(part)))
    value = data.draw(json_values.filter(lambda v: v != part[field]))
    part[field] = value
    with pytest.raises((KeysError, CipherError)):
        read_export(body)


@pytest.mark.parametrize(
    "damage",
    ["{}", '{"format": 1, "parties": {"a": {}}, "revoked": {}}', '{"format": 1, "parties": [], "revoked": {}}'],
)
def test_a_damaged_ring_is_refused(bank: Party, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "bank" / "ring.json"
    file.write_text(damage)
    file.chmod(0o600)
    with refused("keys_unreadable"):
        bank.ring.known()
