"""The SM suite against the standards' examples, GmSSL and the ``openssl`` command."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import ECB

from federation.ciphers.suites import sm2
from federation.ciphers.suites.sm import Sm
from federation.errors import BadKey, BadSignature, NotSealedToUs, SuiteUnavailable
from tests.federation.ciphers.suites import VECTORS

SUITE = Sm()
ANNEX = json.loads((VECTORS / "sm2.json").read_text(encoding="utf-8"))
GMSSL = json.loads((VECTORS / "sm2_gmssl.json").read_text(encoding="utf-8"))
PRIVATE, PUBLIC = bytes.fromhex(ANNEX["private"]), bytes.fromhex(ANNEX["public"])


def der(tag: int, content: bytes) -> bytes:
    length = bytes([len(content)]) if len(content) < 128 else bytes([0x81, len(content)])
    return bytes([tag]) + length + content


def der_integer(number: str) -> bytes:
    value = int(number, 16)
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def test_sm3_is_that_of_the_standard() -> None:
    for v in json.loads((VECTORS / "sm3.json").read_text(encoding="utf-8"))["vectors"]:
        assert SUITE.digest(bytes.fromhex(v["message"])).hex() == v["digest"]


def test_sm4_is_that_of_the_standard_and_of_rfc_8998() -> None:
    vectors = json.loads((VECTORS / "sm4.json").read_text(encoding="utf-8"))
    block = {name: bytes.fromhex(value) for name, value in vectors["block"].items()}
    assert Cipher(SM4(block["key"]), ECB()).encryptor().update(block["plaintext"]) == block["ciphertext"]
    gcm = {name: bytes.fromhex(value) for name, value in vectors["gcm"].items()}
    encrypted = gcm["nonce"] + gcm["ciphertext"] + gcm["tag"]
    assert SUITE.decrypt(gcm["key"], encrypted, gcm["aad"]) == gcm["plaintext"]
    counted = SUITE.raw_encrypt(gcm["key"], gcm["nonce"], gcm["plaintext"], gcm["aad"])
    assert counted == gcm["ciphertext"] + gcm["tag"]


def test_the_public_key_and_the_signature_are_those_of_the_standard() -> None:
    signed = ANNEX["signature"]
    signature = encode_dss_signature(int(signed["r"], 16), int(signed["s"], 16))
    assert SUITE.verifying_key(PRIVATE) == PUBLIC
    SUITE.verify(PUBLIC, bytes.fromhex(signed["message"]), signature)
    with pytest.raises(BadSignature):
        SUITE.verify(PUBLIC, b"another message", signature)


def test_the_standards_ciphertext_opens() -> None:
    v = ANNEX["encryption"]
    content = der_integer(v["x1"]) + der_integer(v["y1"])
    content += der(4, bytes.fromhex(v["c3"])) + der(4, bytes.fromhex(v["c2"]))
    assert sm2.decrypt(PRIVATE, der(0x30, content)) == bytes.fromhex(v["plaintext"])


@pytest.mark.parametrize("key", GMSSL["keys"], ids=lambda k: k["public"][2:10])
def test_what_gmssl_signed_and_encrypted_is_read(key: dict[str, object]) -> None:
    private, public = bytes.fromhex(str(key["private"])), bytes.fromhex(str(key["public"]))
    assert SUITE.verifying_key(private) == public
    for v in key["signed"]:  # type: ignore[attr-defined]
        SUITE.verify(public, bytes.fromhex(v["message"]), bytes.fromhex(v["signature"]))
    for v in key["encrypted"]:  # type: ignore[attr-defined]
        assert sm2.decrypt(private, bytes.fromhex(v["ciphertext"])) == bytes.fromhex(v["plaintext"])


def test_a_passphrase_is_stretched_as_gmssls_hmac_does() -> None:
    v = GMSSL["stretched"]
    key = SUITE.stretch(bytes.fromhex(v["passphrase"]), bytes.fromhex(v["salt"]), v["cost"])
    assert key.hex() == v["key"]


def openssl(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, timeout=30, check=False)


def test_the_openssl_command_and_the_suite_read_each_other(tmp_path: Path) -> None:
    pem, pub, message, signature = (tmp_path / name for name in ("key.pem", "pub.pem", "message", "signature"))
    made = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-out", pem)
    assert made.returncode == 0, made.stderr
    openssl("pkey", "-in", pem, "-pubout", "-out", pub)
    public = openssl("pkey", "-in", pem, "-pubout", "-outform", "DER").stdout[-sm2.PUBLIC_BYTES :]
    private = openssl("pkey", "-in", pem, "-outform", "DER", "-traditional").stdout[7 : 7 + sm2.PRIVATE_BYTES]
    assert SUITE.verifying_key(private) == public
    message.write_bytes(b"message digest")
    identity = ("-rawin", "-digest", "sm3", "-pkeyopt", "distid:1234567812345678")

    signed = openssl("pkeyutl", "-sign", "-inkey", pem, "-in", message, *identity)
    SUITE.verify(public, b"message digest", signed.stdout)

    signature.write_bytes(SUITE.sign(private, b"message digest"))
    verify = ("pkeyutl", "-verify", "-pubin", "-inkey", pub, "-in", message, "-sigfile", signature, *identity)
    assert openssl(*verify).returncode == 0
    message.write_bytes(b"message digesu")
    assert openssl(*verify).returncode != 0

    message.write_bytes(sm2.encrypt(public, b"encryption standard"))
    assert openssl("pkeyutl", "-decrypt", "-inkey", pem, "-in", message).stdout == b"encryption standard"


def test_keys_and_macs_are_those_of_the_openssl_command(tmp_path: Path) -> None:
    secret, message = bytes(range(32)), tmp_path / "message"
    message.write_bytes(b"message digest")
    mac = openssl("mac", "-digest", "SM3", "-macopt", f"hexkey:{secret.hex()}", "-in", message, "-binary", "HMAC")
    assert SUITE.mac(secret, b"message digest") == mac.stdout, mac.stderr
    options = ("digest:SM3", f"hexkey:{secret.hex()}", "info:frames of tax")
    settings = [word for option in options for word in ("-kdfopt", option)]
    key = openssl("kdf", "-keylen", 44, *settings, "-binary", "HKDF")
    assert SUITE.derive(secret, b"frames of tax", 44) == key.stdout, key.stderr


@pytest.mark.parametrize("scalar", [0, sm2.ORDER - 1, sm2.ORDER, 2**256 - 1])
def test_a_private_key_outside_the_standards_range_is_refused(scalar: int) -> None:
    with pytest.raises(BadKey):
        SUITE.sign(scalar.to_bytes(32, "big"), b"message")


def test_fresh_private_keys_lie_in_the_range_and_differ() -> None:
    keys = {int.from_bytes(SUITE.new_signing_key(), "big") for _ in range(50)}
    assert len(keys) == 50
    assert all(0 < key < sm2.ORDER - 1 for key in keys)
    SUITE.verifying_key((sm2.ORDER - 2).to_bytes(32, "big"))


def test_a_point_off_the_curve_is_refused() -> None:
    off = PUBLIC[:-1] + bytes([PUBLIC[-1] ^ 1])
    for use in (lambda: SUITE.verify(off, b"", b"\x30"), lambda: SUITE.seal(off, b"", b"")):
        with pytest.raises(BadKey):
            use()


def test_a_public_key_has_one_encoding() -> None:
    """OpenSSL alone would take bytes behind the key, and the hybrid form: the same key under another id."""
    v = ANNEX["signature"]
    signature = encode_dss_signature(int(v["r"], 16), int(v["s"], 16))
    for other in (PUBLIC + b"\x00", bytes([6 | PUBLIC[-1] & 1]) + PUBLIC[1:]):
        with pytest.raises(BadKey):
            SUITE.verify(other, bytes.fromhex(v["message"]), signature)


def test_an_encrypted_key_cannot_be_moved_to_another_envelope() -> None:
    """A well-formed SM2 ciphertext of a key the sender knows, before content of somebody else's."""
    secret = SUITE.new_secret()
    heads = []
    for _ in range(2):
        wrapped = sm2.encrypt(PUBLIC, secret)
        heads.append(len(wrapped).to_bytes(2, "big") + wrapped)
    content = SUITE.encrypt(secret, b"plaintext", heads[0] + b"context")
    assert SUITE.unseal(PRIVATE, heads[0] + content, b"context") == b"plaintext"
    with pytest.raises(NotSealedToUs):
        SUITE.unseal(PRIVATE, heads[1] + content, b"context")


def test_an_envelope_whose_key_has_another_length_is_refused() -> None:
    wrapped = sm2.encrypt(PUBLIC, b"fifteen bytes..")
    with pytest.raises(NotSealedToUs):
        SUITE.unseal(PRIVATE, len(wrapped).to_bytes(2, "big") + wrapped + bytes(40), b"")


def test_nothing_is_left_in_the_error_queue_of_the_thread() -> None:
    """Python's own ``ssl`` reads it and would blame our errors on a connection."""
    lib = sm2._openssl()
    lib.ERR_peek_error.restype, lib.ERR_peek_error.argtypes = sm2.c_long, []
    with pytest.raises(BadSignature):
        SUITE.verify(PUBLIC, b"message", b"\x30\x02\x01\x01")
    assert lib.ERR_peek_error() == 0
    with pytest.raises(NotSealedToUs):
        SUITE.unseal(PRIVATE, bytes(100), b"")
    assert lib.ERR_peek_error() == 0


def test_without_the_library_the_suite_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    sm2._openssl.cache_clear()
    monkeypatch.setattr(sm2, "_LIBRARIES", ("libnowhere.so.3",))
    try:
        with pytest.raises(SuiteUnavailable, match="libssl3"):
            SUITE.new_signing_key() and SUITE.verifying_key(PRIVATE)
    finally:
        sm2._openssl.cache_clear()


def test_the_library_says_its_version() -> None:
    assert sm2.library_version().startswith("OpenSSL ")
