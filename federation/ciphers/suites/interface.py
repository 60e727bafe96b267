"""What a crypto suite offers: digests, signatures, sealing to a party, encryption under a key of one's own.

A suite is chosen once per node and never mixed: ``international`` (SHA-256, Ed25519, X25519, AES-GCM) or ``sm`` (SM3,
SM2, SM4). Keys are bytes in the suite's own encoding; whose they are and how they are kept is not its business.
"""

from __future__ import annotations

from typing import Final, Protocol

DIGEST_BYTES: Final = 32


class Suite(Protocol):
    """Attributes:
    name: as written in configuration and beside everything made with it.
    """

    name: str

    def digest(self, data: bytes) -> bytes:
        """32 bytes."""
        ...

    def new_signing_key(self) -> bytes:
        """A fresh private key."""
        ...

    def verifying_key(self, private: bytes) -> bytes:
        """Its public key."""
        ...

    def sign(self, private: bytes, message: bytes) -> bytes:
        """A signature of ``message``."""
        ...

    def verify(self, public: bytes, message: bytes, signature: bytes) -> None:
        """Raises ``CipherError`` (``bad_signature``) unless ``signature`` is one of ``message`` under that key."""
        ...

    def new_sealing_key(self) -> bytes:
        """A fresh private key."""
        ...

    def sealing_key(self, private: bytes) -> bytes:
        """Its public key, to which others seal."""
        ...

    def seal(self, public: bytes, plaintext: bytes, context: bytes) -> bytes:
        """What only the holder of the private key can open, and only with the same ``context``."""
        ...

    def unseal(self, private: bytes, sealed: bytes, context: bytes) -> bytes:
        """Back. Raises ``CipherError`` (``not_sealed_to_us``) for anything else."""
        ...

    def new_secret(self) -> bytes:
        """A fresh key for ``encrypt``."""
        ...

    def encrypt(self, secret: bytes, plaintext: bytes, context: bytes) -> bytes:
        """Authenticated encryption with a fresh nonce, which it carries."""
        ...

    def decrypt(self, secret: bytes, encrypted: bytes, context: bytes) -> bytes:
        """Back. Raises ``CipherError`` (``not_decryptable``) for another key, another context or changed bytes."""
        ...
