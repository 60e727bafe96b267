"""Keys that two parties share once each knows the other's public key, and streams of bytes from them.

X25519 (RFC 7748) and HKDF-SHA-256 (RFC 5869); ChaCha20, with Poly1305 where sealed (RFC 8439). Public keys pass through
a third party, which must not exchange them for its own: whoever must not trust it for that signs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="X25519",
        key_bits=(256,),
        purpose="key of every two hosts, or of every two sites",
        purpose_zh="两数据方或两站点间的密钥协商",
        standard="RFC 7748",
        library="cryptography",
    ),
    Declared(
        algorithm="HKDF-SHA256",
        key_bits=(256,),
        purpose="shared key from the agreement, keys from seeds",
        purpose_zh="由协商结果或种子派生密钥",
        standard="RFC 5869",
        library="cryptography",
    ),
    Declared(
        algorithm="ChaCha20",
        key_bits=(256,),
        purpose="masks that cancel in sums, pads between hosts",
        purpose_zh="求和时相消的掩码、数据方间的一次性掩码",
        standard="RFC 8439",
        library="cryptography",
    ),
    Declared(
        algorithm="ChaCha20-Poly1305",
        key_bits=(256,),
        purpose="masks of sums, and their keys, kept by the coordinator until a site leaves",
        purpose_zh="求和掩码，以及由协调方保管、站点掉线时才可打开的掩码密钥",
        standard="RFC 8439",
        library="cryptography",
    ),
)

KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
FIRST_NONCE: Final = bytes(16)


def generate_key() -> bytes:
    """A fresh private key."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_key(private: bytes) -> bytes:
    """Its public key, 32 bytes."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def agree(private: bytes, others: Sequence[bytes], purpose: bytes) -> tuple[bytes, ...]:
    """The key shared with each of ``others``, given by their public keys; keys of different purposes tell nothing of
    each other.

    Raises:
        ValueError: one of them is no public key.
    """
    own = X25519PrivateKey.from_private_bytes(private)
    mine = own.public_key().public_bytes_raw()
    return tuple(
        expand(own.exchange(X25519PublicKey.from_public_bytes(other)), purpose + b"".join(sorted((mine, other))))
        for other in others
    )


def expand(secret: bytes, purpose: bytes) -> bytes:
    """A key of 32 bytes for one purpose from a secret of full entropy."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose).derive(secret)


def stream(key: bytes, n_bytes: int, nonce: bytes = FIRST_NONCE) -> bytes:
    """What both holders of ``key`` can draw; the same again for the same nonce (16 bytes, the first four a counter of
    blocks that begins at 0), so a nonce serves once."""
    return Cipher(ChaCha20(key, nonce), mode=None).encryptor().update(bytes(n_bytes))


def seal_once(key: bytes, content: bytes) -> bytes:
    """Authenticated encryption, 16 bytes longer, under a key that serves for this content only."""
    return ChaCha20Poly1305(key).encrypt(bytes(12), content, None)


def open_once(key: bytes, sealed: bytes) -> bytes:
    """Back. Raises ``ValueError`` for what was not sealed under this key."""
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(12), sealed, None)
    except InvalidTag:
        raise ValueError("not sealed under this key") from None
