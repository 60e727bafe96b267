"""What a crypto suite offers: digests, signatures, sealing to a party, encryption under a key of one's own.

A suite is chosen once per node and never mixed: ``international`` (SHA-256, Ed25519, HPKE, AES-GCM) or ``sm`` (SM3,
SM2, SM4). Keys are bytes in the suite's own encoding; whose they are and how they are kept is not its business.
"""

from __future__ import annotations

from typing import ClassVar, Final, Protocol

DIGEST_BYTES: Final = 32
KEY_ID_LENGTH: Final = 16


class Suite(Protocol):
    """Whatever takes a key raises ``BadKey`` if the bytes are none of this suite.

    Attributes:
        name: as written in configuration and beside everything made with it.
        stretching: the function behind ``stretch``, as written beside what it protects.
        stretching_cost: the cost of today; a stored one may differ.
        secret_bytes: length of a key for ``encrypt`` and ``raw_encrypt``.
    """

    name: ClassVar[str]
    secret_bytes: ClassVar[int]
    stretching: ClassVar[str]
    stretching_cost: ClassVar[int]

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
        """A signature of ``message``. Begin each kind of message with words of its own: a signature says no more."""
        ...

    def verify(self, public: bytes, message: bytes, signature: bytes) -> None:
        """Raises ``BadSignature`` unless ``signature`` is one of ``message`` under that key."""
        ...

    def new_sealing_key(self) -> bytes:
        """A fresh private key."""
        ...

    def sealing_key(self, private: bytes) -> bytes:
        """Its public key, to which others seal."""
        ...

    def seal(self, public: bytes, plaintext: bytes, context: bytes) -> bytes:
        """What only the holder of the private key can open, and only with the same ``context``. Anyone can seal: who
        did is not proven."""
        ...

    def unseal(self, private: bytes, sealed: bytes, context: bytes) -> bytes:
        """Back. Raises ``NotSealedToUs`` for anything else."""
        ...

    def new_secret(self) -> bytes:
        """A fresh key for ``encrypt``."""
        ...

    def encrypt(self, secret: bytes, plaintext: bytes, context: bytes) -> bytes:
        """Authenticated encryption with a fresh nonce of 96 random bits, which it carries: not more than 2**32 times
        under one key (NIST SP 800-38D §8.3)."""
        ...

    def decrypt(self, secret: bytes, encrypted: bytes, context: bytes) -> bytes:
        """Back. Raises ``NotDecryptable`` for another key, another context or changed bytes."""
        ...

    def raw_encrypt(self, secret: bytes, nonce: bytes, plaintext: bytes, context: bytes) -> bytes:
        """Authenticated encryption, 16 bytes longer than the plaintext, under a nonce of 12 bytes that the caller
        counts: one used twice under a key gives both plaintexts away, and the key of the tags (NIST SP 800-38D
        app. A)."""
        ...

    def raw_decrypt(self, secret: bytes, nonce: bytes, encrypted: bytes, context: bytes) -> bytes:
        """Back. Raises ``NotDecryptable`` for another key, nonce or context, or changed bytes."""
        ...

    def derive(self, secret: bytes, label: bytes, length: int) -> bytes:
        """A key of ``length`` bytes for the use ``label`` from a secret of full entropy: HKDF without salt (RFC 5869)
        with the suite's hash. Keys of different labels tell nothing of each other."""
        ...

    def mac(self, key: bytes, message: bytes) -> bytes:
        """32 bytes: HMAC (RFC 2104) with the suite's hash."""
        ...

    def stretch(self, passphrase: bytes, salt: bytes, cost: int) -> bytes:
        """A key for ``encrypt`` from a passphrase, slowly. Raises ``BadCost`` for a cost no release has written."""
        ...


def key_id(suite: Suite, public: bytes) -> str:
    """The name of a key: the first 16 hexadecimal digits of the digest of its public key. It finds a key; who compares
    keys of others compares the whole digest (``fingerprint``)."""
    return suite.digest(public).hex()[:KEY_ID_LENGTH]


def fingerprint(suite: Suite, public: bytes) -> str:
    """The whole digest in groups of four digits, to read out over another channel."""
    digits = suite.digest(public).hex()
    return " ".join(digits[i : i + 4] for i in range(0, len(digits), 4))
