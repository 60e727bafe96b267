"""The SM suite: SM3, SM2 signatures, a digital envelope of SM2 and SM4-GCM, SM4-GCM, PBKDF2-HMAC-SM3."""

from __future__ import annotations

import os
from typing import ClassVar, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import GCM
from cryptography.hazmat.primitives.hashes import SM3, Hash
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from federation.ciphers.suites import sm2
from federation.errors import BadCost, BadKey, BadSignature, NotDecryptable, NotSealedToUs
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="SM3",
        purpose="digests, key ids, digests that are signed",
        purpose_zh="摘要、密钥编号、签名用杂凑",
        standard="GB/T 32905-2016; GM/T 0004-2012",
        library="cryptography",
    ),
    Declared(
        algorithm="SM4-GCM",
        key_bits=(128,),
        purpose="storage, private keys at rest, content of what is sealed to a party, frames between parties",
        purpose_zh="存储加密、私钥静态保护、数字信封内容加密、参与方之间的帧密封",
        standard="GB/T 32907-2016; GM/T 0002-2012; GB/T 36624-2018",
        library="cryptography",
    ),
    Declared(
        algorithm="HMAC-SM3",
        key_bits=(256,),
        purpose="confirmation of the keys of sealed frames",
        purpose_zh="帧密封密钥的确认",
        standard="GB/T 15852.2-2024; RFC 2104",
        library="cryptography",
    ),
    Declared(
        algorithm="HKDF-SM3",
        key_bits=(128, 256),
        purpose="keys of sealed frames",
        purpose_zh="帧密封密钥的派生",
        standard="RFC 5869; RFC 8998",
        library="cryptography",
    ),
    Declared(
        algorithm="PBKDF2-HMAC-SM3",
        key_bits=(128,),
        purpose="key from a passphrase",
        purpose_zh="由口令派生密钥",
        standard="GM/T 0091-2020; RFC 8018",
        library="cryptography",
    ),
)

_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_COSTS: Final = range(1024, 10_000_001)


class Sm:
    """See ``Suite``. Keys and signatures as in ``sm2``.

    A sealed message is an envelope as in GB/T 35275-2017: a fresh SM4 key encrypted with SM2, and the content
    encrypted with that key; GCM authenticates the content, the context and the encrypted key.
    """

    name: ClassVar[str] = "sm"
    secret_bytes: ClassVar[int] = 16
    stretching: ClassVar[str] = "pbkdf2-hmac-sm3"
    stretching_cost: ClassVar[int] = 600_000

    def digest(self, data: bytes) -> bytes:
        state = Hash(SM3())
        state.update(data)
        return state.finalize()

    def new_signing_key(self) -> bytes:
        return sm2.new_private_key()

    def verifying_key(self, private: bytes) -> bytes:
        return sm2.public_key(private)

    def sign(self, private: bytes, message: bytes) -> bytes:
        return sm2.sign(private, message)

    def verify(self, public: bytes, message: bytes, signature: bytes) -> None:
        if not sm2.is_signature(public, message, signature):
            raise BadSignature

    def new_sealing_key(self) -> bytes:
        return sm2.new_private_key()

    def sealing_key(self, private: bytes) -> bytes:
        return sm2.public_key(private)

    def seal(self, public: bytes, plaintext: bytes, context: bytes) -> bytes:
        secret = self.new_secret()
        wrapped = sm2.encrypt(public, secret)
        head = len(wrapped).to_bytes(2, "big") + wrapped
        return head + self.encrypt(secret, plaintext, head + context)

    def unseal(self, private: bytes, sealed: bytes, context: bytes) -> bytes:
        end = 2 + int.from_bytes(sealed[:2], "big")
        head, content = sealed[:end], sealed[end:]
        secret = sm2.decrypt(private, head[2:])
        if secret is None or len(secret) != Sm.secret_bytes:
            raise NotSealedToUs
        try:
            return self.decrypt(secret, content, head + context)
        except NotDecryptable as error:
            raise NotSealedToUs from error

    def new_secret(self) -> bytes:
        return os.urandom(self.secret_bytes)

    def encrypt(self, secret: bytes, plaintext: bytes, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self.raw_encrypt(secret, nonce, plaintext, context)

    def decrypt(self, secret: bytes, encrypted: bytes, context: bytes) -> bytes:
        return self.raw_decrypt(secret, encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], context)

    def raw_encrypt(self, secret: bytes, nonce: bytes, plaintext: bytes, context: bytes) -> bytes:
        state = Cipher(_sm4(secret), GCM(nonce)).encryptor()
        state.authenticate_additional_data(context)
        return state.update(plaintext) + state.finalize() + state.tag

    def raw_decrypt(self, secret: bytes, nonce: bytes, encrypted: bytes, context: bytes) -> bytes:
        key = _sm4(secret)
        if len(nonce) != _NONCE_BYTES or len(encrypted) < _TAG_BYTES:
            raise NotDecryptable
        content, tag = encrypted[:-_TAG_BYTES], encrypted[-_TAG_BYTES:]
        state = Cipher(key, GCM(nonce, tag)).decryptor()
        state.authenticate_additional_data(context)
        try:
            return state.update(content) + state.finalize()
        except InvalidTag as error:
            raise NotDecryptable from error

    def derive(self, secret: bytes, label: bytes, length: int) -> bytes:
        return HKDF(SM3(), length, None, label).derive(secret)

    def mac(self, key: bytes, message: bytes) -> bytes:
        state = HMAC(key, SM3())
        state.update(message)
        return state.finalize()

    def stretch(self, passphrase: bytes, salt: bytes, cost: int) -> bytes:
        if cost not in _COSTS:
            raise BadCost
        return PBKDF2HMAC(SM3(), self.secret_bytes, salt, cost).derive(passphrase)


def _sm4(secret: bytes) -> SM4:
    if len(secret) != Sm.secret_bytes:
        raise BadKey
    return SM4(secret)
