"""The international suite against published vectors, and keys that fit every message."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from federation.ciphers.suites.international import _SMALL_ORDER, International
from federation.errors import BadCost, BadKey, NotDecryptable, NotSealedToUs
from tests.federation.ciphers.suites import VECTORS

SUITE = International()
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def vectors(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))["vectors"]


@pytest.mark.parametrize("v", vectors("ed25519_rfc8032.json"), ids=lambda v: v["test"])
def test_ed25519_is_that_of_rfc_8032(v: dict[str, str]) -> None:
    private, public, message, signature = (
        bytes.fromhex(v[name]) for name in ("private", "public", "message", "signature")
    )
    assert SUITE.verifying_key(private) == public
    assert SUITE.sign(private, message) == signature
    SUITE.verify(public, message, signature)


@pytest.mark.parametrize("v", vectors("hpke_rfc9180.json"), ids=lambda v: f"aead {v['aead_id']}")
def test_hpke_is_that_of_rfc_9180(v: dict[str, Any]) -> None:
    """The vectors' own messages carry associated data, which a one-shot message of ours has none of: their key and
    nonce are published, so the message is encrypted without it under them."""
    private, enc, info, key, nonce = (bytes.fromhex(v[n]) for n in ("skRm", "enc", "info", "key", "base_nonce"))
    first = {name: bytes.fromhex(value) for name, value in v["first"].items()}
    assert SUITE.sealing_key(private) == bytes.fromhex(v["pkRm"])
    assert AESGCM(key).decrypt(nonce, first["ct"], first["aad"]) == first["pt"]
    sealed = enc + AESGCM(key).encrypt(nonce, first["pt"], b"")
    if v["aead_id"] == 2:
        assert SUITE.unseal(private, sealed, info) == first["pt"]
        return
    appendix = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_128_GCM)
    assert appendix.decrypt(sealed, X25519PrivateKey.from_private_bytes(private), info) == first["pt"]


@pytest.mark.parametrize("v", vectors("aes_gcm_nist.json"), ids=lambda v: v["tag"][:8])
def test_aes_gcm_is_that_of_nist(v: dict[str, str | None]) -> None:
    key, nonce, aad, ciphertext, tag = (
        bytes.fromhex(v[name] or "") for name in ("key", "nonce", "aad", "ciphertext", "tag")
    )
    if v["plaintext"] is None:
        with pytest.raises(NotDecryptable):
            SUITE.decrypt(key, nonce + ciphertext + tag, aad)
        return
    assert SUITE.raw_encrypt(key, nonce, bytes.fromhex(v["plaintext"]), aad) == ciphertext + tag
    assert SUITE.decrypt(key, nonce + ciphertext + tag, aad).hex() == v["plaintext"]


def test_keys_are_those_of_rfc_5869() -> None:
    [v] = vectors("hkdf_rfc5869.json")
    label, key = bytes.fromhex(v["info"]), bytes.fromhex(v["okm"])
    assert SUITE.derive(bytes.fromhex(v["ikm"]), label, len(key)) == key


@pytest.mark.parametrize("v", vectors("hmac_rfc4231.json"), ids=lambda v: v["test"])
def test_macs_are_those_of_rfc_4231(v: dict[str, str]) -> None:
    assert SUITE.mac(bytes.fromhex(v["key"]), bytes.fromhex(v["data"])).hex() == v["mac"]


def test_scrypt_is_that_of_rfc_7914() -> None:
    [v] = vectors("scrypt_rfc7914.json")
    key = SUITE.stretch(bytes.fromhex(v["passphrase"]), bytes.fromhex(v["salt"]), v["cost"])
    assert v["key"].startswith(key.hex())


def test_the_cost_is_a_power_of_two() -> None:
    with pytest.raises(BadCost):
        SUITE.stretch(b"", b"", 3000)


def test_the_digest_is_that_of_the_standard_library() -> None:
    assert SUITE.digest(b"abc") == hashlib.sha256(b"abc").digest()


def order_divides_eight(ordinate: int) -> bool:
    """Whether the point of edwards25519 with this y has order 1, 2, 4 or 8: three doublings of y alone, in the form
    y(2P) = (y² + x²) / (1 − d x² y²) with x² = (y² − 1) / (d y² + 1) (RFC 8032 §5.1)."""
    y = ordinate % P
    for _ in range(3):
        x_square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        y = (y * y + x_square) * pow(1 - D * x_square * y * y, -1, P) % P
    return y == 1


@pytest.mark.parametrize("ordinate", sorted(_SMALL_ORDER), ids=bytes.hex)
def test_a_key_of_small_order_is_refused(ordinate: bytes) -> None:
    assert order_divides_eight(int.from_bytes(ordinate, "little"))
    for sign in (0, 0x80):
        with pytest.raises(BadKey):
            SUITE.verify(ordinate[:31] + bytes([ordinate[31] | sign]), b"any message", bytes(64))


def test_all_points_of_small_order_are_listed() -> None:
    eight = [y for y in _SMALL_ORDER if int.from_bytes(y, "little") < P]
    assert len(eight) == 5  # y = 1, −1, 0 (two points) and two more with two points each: eight points
    assert {int.from_bytes(y, "little") - P for y in _SMALL_ORDER if y not in eight} == {0, 1}


def test_the_library_alone_would_take_one_signature_for_every_message() -> None:
    identity, signature = b"\x01" + bytes(31), b"\x01" + bytes(63)
    for message in (b"yes", b"no"):
        Ed25519PublicKey.from_public_bytes(identity).verify(signature, message)
        with pytest.raises(BadKey):
            SUITE.verify(identity, message, signature)


def test_nothing_is_sealed_to_a_point_of_small_order_nor_opened_from_one() -> None:
    with pytest.raises(BadKey):
        SUITE.seal(bytes(32), b"plaintext", b"")
    with pytest.raises(NotSealedToUs):
        SUITE.unseal(SUITE.new_sealing_key(), bytes(64), b"")
