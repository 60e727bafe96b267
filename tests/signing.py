"""A small suite for tests of audit logs: SHA-256 and Ed25519 of ``cryptography``, no code of ours."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from federation.ciphers.suites.choice import suite
from federation.errors import CipherError, PartyId
from lab.governance.audit_entry import AuditKey


@dataclass(frozen=True)
class SigningSuite:
    """The part of ``Suite`` that audit logs use."""

    name: str = "international"
    hash: str = "sha256"

    def digest(self, data: bytes) -> bytes:
        return hashlib.new(self.hash, data).digest()

    def new_signing_key(self) -> bytes:
        return Ed25519PrivateKey.generate().private_bytes_raw()

    def verifying_key(self, private: bytes) -> bytes:
        return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()

    def sign(self, private: bytes, message: bytes) -> bytes:
        return Ed25519PrivateKey.from_private_bytes(private).sign(message)

    def verify(self, public: bytes, message: bytes, signature: bytes) -> None:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise CipherError("bad_signature", "The signature is not good.", "签名无效。") from None

    def new_sealing_key(self) -> bytes:
        raise NotImplementedError

    def sealing_key(self, private: bytes) -> bytes:
        raise NotImplementedError

    def seal(self, public: bytes, plaintext: bytes, context: bytes) -> bytes:
        raise NotImplementedError

    def unseal(self, private: bytes, sealed: bytes, context: bytes) -> bytes:
        raise NotImplementedError

    def new_secret(self) -> bytes:
        raise NotImplementedError

    def mac(self, key: bytes, message: bytes) -> bytes:
        return hmac.new(key, message, self.hash).digest()

    def encrypt(self, secret: bytes, plaintext: bytes, context: bytes) -> bytes:
        raise NotImplementedError

    def decrypt(self, secret: bytes, encrypted: bytes, context: bytes) -> bytes:
        raise NotImplementedError


SUITE = SigningSuite()
OTHER = SigningSuite("sm", "sha3_256")
SUITES = {suite.name: suite for suite in (SUITE, OTHER)}


@dataclass(frozen=True)
class TestSigner:
    """A key drawn from its name: the same in every test and process."""

    __test__ = False

    name: str
    suite: SigningSuite = SUITE

    @property
    def key_id(self) -> str:
        return f"{self.name.replace(':', '-')}.1"

    @property
    def public(self) -> bytes:
        return SUITE.verifying_key(self._private)

    def sign(self, message: bytes) -> bytes:
        return SUITE.sign(self._private, message)

    @property
    def _private(self) -> bytes:
        return hashlib.sha256(self.name.encode()).digest()


def public_key(party: PartyId, key: str) -> AuditKey | None:
    """What everybody knows: each party's first key."""
    signer = TestSigner(party)
    return AuditKey(SUITE.name, signer.public) if signer.key_id == key else None


def cheap_keys(patch: pytest.MonkeyPatch) -> None:
    """Passphrases are stretched less: what is tested here is not how slowly they can be guessed."""
    patch.setattr(type(suite("international")), "stretching_cost", 2**14)
