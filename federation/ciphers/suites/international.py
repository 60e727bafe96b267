"""The international suite: SHA-256, Ed25519, HPKE (X25519, HKDF-SHA256, AES-256-GCM), AES-256-GCM, scrypt."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import ClassVar, Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from federation.errors import BadCost, BadKey, BadSignature, NotDecryptable, NotSealedToUs
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="SHA-256",
        purpose="digests, key ids",
        purpose_zh="摘要、密钥编号",
        standard="FIPS 180-4",
        library="cryptography",
    ),
    Declared(
        algorithm="Ed25519",
        key_bits=(256,),
        purpose="signatures of a party",
        purpose_zh="参与方签名",
        standard="RFC 8032; FIPS 186-5",
        library="cryptography",
    ),
    Declared(
        algorithm="HPKE base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM",
        key_bits=(256,),
        purpose="sealing to a party",
        purpose_zh="向参与方密封数据",
        standard="RFC 9180",
        library="cryptography",
    ),
    Declared(
        algorithm="AES-256-GCM",
        key_bits=(256,),
        purpose="storage, private keys at rest, frames between parties",
        purpose_zh="存储加密、私钥静态保护、参与方之间的帧密封",
        standard="FIPS 197; NIST SP 800-38D",
        library="cryptography",
    ),
    Declared(
        algorithm="HKDF-SHA256, HMAC-SHA256",
        key_bits=(256,),
        purpose="keys of sealed frames, confirmation of those keys",
        purpose_zh="帧密封密钥的派生与确认",
        standard="RFC 5869; RFC 2104; FIPS 198-1",
        library="cryptography",
    ),
    Declared(
        algorithm="scrypt",
        key_bits=(256,),
        purpose="key from a passphrase",
        purpose_zh="由口令派生密钥",
        standard="RFC 7914",
        library="cryptography",
    ),
)

_HPKE: Final = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
_NONCE_BYTES: Final = 12
_BLOCK_SIZE: Final = 8  # scrypt's r: memory is 128 · r · cost bytes
_COSTS: Final = range(2**10, 2**20 + 1)
#: Ordinates of the points of order 1, 2, 4 and 8, canonical or not, without the sign bit (RFC 8032 §5.1; Chalkias,
#: Garillot & Nikolaenko 2020, "Taming the many EdDSAs", table 1). A key among them fits a signature to every message.
_SMALL_ORDER: Final = frozenset(
    bytes.fromhex(ordinate)
    for ordinate in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


class International:
    """See ``Suite``. Private and public keys are 32 bytes, raw; a signature 64."""

    name: ClassVar[str] = "international"
    secret_bytes: ClassVar[int] = 32
    stretching: ClassVar[str] = "scrypt"
    stretching_cost: ClassVar[int] = 2**17  # 128 MiB

    def digest(self, data: bytes) -> bytes:
        state = Hash(SHA256())
        state.update(data)
        return state.finalize()

    def new_signing_key(self) -> bytes:
        return Ed25519PrivateKey.generate().private_bytes_raw()

    def verifying_key(self, private: bytes) -> bytes:
        return _signing(private).public_key().public_bytes_raw()

    def sign(self, private: bytes, message: bytes) -> bytes:
        return _signing(private).sign(message)

    def verify(self, public: bytes, message: bytes, signature: bytes) -> None:
        if len(public) != 32 or public[:31] + bytes([public[31] & 0x7F]) in _SMALL_ORDER:
            raise BadKey
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        except InvalidSignature as error:
            raise BadSignature from error

    def new_sealing_key(self) -> bytes:
        return X25519PrivateKey.generate().private_bytes_raw()

    def sealing_key(self, private: bytes) -> bytes:
        return _sealing(private).public_key().public_bytes_raw()

    def seal(self, public: bytes, plaintext: bytes, context: bytes) -> bytes:
        try:
            return _HPKE.encrypt(plaintext, X25519PublicKey.from_public_bytes(public), context)
        except ValueError as error:  # another length, or a point of small order (RFC 9180 §7.1.4)
            raise BadKey from error

    def unseal(self, private: bytes, sealed: bytes, context: bytes) -> bytes:
        key = _sealing(private)
        try:
            return _HPKE.decrypt(sealed, key, context)
        except (InvalidTag, ValueError) as error:
            raise NotSealedToUs from error

    def new_secret(self) -> bytes:
        return AESGCM.generate_key(256)

    def encrypt(self, secret: bytes, plaintext: bytes, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self.raw_encrypt(secret, nonce, plaintext, context)

    def decrypt(self, secret: bytes, encrypted: bytes, context: bytes) -> bytes:
        return self.raw_decrypt(secret, encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], context)

    def raw_encrypt(self, secret: bytes, nonce: bytes, plaintext: bytes, context: bytes) -> bytes:
        return _aead(secret).encrypt(nonce, plaintext, context)

    def raw_decrypt(self, secret: bytes, nonce: bytes, encrypted: bytes, context: bytes) -> bytes:
        key = _aead(secret)
        try:
            return key.decrypt(nonce, encrypted, context)
        except (InvalidTag, ValueError) as error:
            raise NotDecryptable from error

    def derive(self, secret: bytes, label: bytes, length: int) -> bytes:
        return HKDF(SHA256(), length, None, label).derive(secret)

    def mac(self, key: bytes, message: bytes) -> bytes:
        state = _mac(key).copy()
        state.update(message)
        return state.finalize()

    def stretch(self, passphrase: bytes, salt: bytes, cost: int) -> bytes:
        if cost not in _COSTS or cost & (cost - 1):
            raise BadCost
        return Scrypt(salt, length=32, n=cost, r=_BLOCK_SIZE, p=1).derive(passphrase)


# An audit log signs with one key and names applicants under another, thousands of times: making a key ready costs as
# much as using it.


@lru_cache(maxsize=2)
def _mac(key: bytes) -> HMAC:
    return HMAC(key, SHA256())


@lru_cache(maxsize=1)
def _signing(private: bytes) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(private)
    except ValueError as error:
        raise BadKey from error


def _sealing(private: bytes) -> X25519PrivateKey:
    try:
        return X25519PrivateKey.from_private_bytes(private)
    except ValueError as error:
        raise BadKey from error


def _aead(secret: bytes) -> AESGCM:
    if len(secret) != International.secret_bytes:
        raise BadKey
    return AESGCM(secret)
