"""SM2 signatures and encryption (GB/T 32918-2016, parameters of part 5) by the machine's own OpenSSL 3.

``cryptography`` has no SM2; why not a package that has is in docs/adr/0021-crypto-suites.md. The calls are those of
EVP_PKEY-SM2(7), nothing is computed here. A private key is the scalar, 32 bytes; a public key 0x04, x, y; signatures
and ciphertexts are DER as GM/T 0009-2012 §7 has them.
"""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_size_t, c_void_p
from functools import cache
from typing import Any, Final

from federation.errors import BadKey, CipherError, SuiteUnavailable
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="SM2 (signature)",
        key_bits=(256,),
        purpose="signatures of a party",
        purpose_zh="参与方签名",
        standard="GB/T 32918.2-2016; GM/T 0003.2-2012",
        library="ctypes",
    ),
    Declared(
        algorithm="SM2 (encryption)",
        key_bits=(256,),
        purpose="wrapping the SM4 key of what is sealed to a party",
        purpose_zh="数字信封中封装 SM4 密钥",
        standard="GB/T 32918.4-2016; GM/T 0003.4-2012",
        library="ctypes",
    ),
    Declared(
        algorithm="random generator of the operating system",
        purpose="SM2 private keys",
        purpose_zh="生成 SM2 私钥的随机数",
        standard="Linux getrandom(2)",
        library="secrets",
    ),
)

#: Order of the base point, GB/T 32918.5-2017.
ORDER: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
PRIVATE_BYTES: Final = 32
PUBLIC_BYTES: Final = 65
_IDENTITY: Final = b"1234567812345678"  # the signer's id that GM/T 0009-2012 §10 sets where none is agreed
_LIBRARIES: Final = ("libcrypto.so.4", "libcrypto.so.3", "libcrypto.4.dylib", "libcrypto.3.dylib")
_SIGNATURE_ROOM: Final = 128

# DER around raw keys: ECPrivateKey (RFC 5915), SubjectPublicKeyInfo (RFC 5480); the curve is 1.2.156.10197.1.301.
_PRIVATE: Final = (bytes.fromhex("30310201010420"), bytes.fromhex("a00a06082a811ccf5501822d"))
_PUBLIC: Final = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")

_FUNCTIONS: Final[dict[str, tuple[Any, list[Any]]]] = {
    "d2i_AutoPrivateKey": (c_void_p, [c_void_p, POINTER(c_char_p), c_long]),
    "d2i_PUBKEY": (c_void_p, [c_void_p, POINTER(c_char_p), c_long]),
    "i2d_PUBKEY": (c_int, [c_void_p, POINTER(c_void_p)]),
    "EVP_PKEY_free": (None, [c_void_p]),
    "EVP_PKEY_CTX_new_from_pkey": (c_void_p, [c_void_p, c_void_p, c_char_p]),
    "EVP_PKEY_CTX_free": (None, [c_void_p]),
    "EVP_PKEY_CTX_set1_id": (c_int, [c_void_p, c_char_p, c_int]),
    "EVP_PKEY_encrypt_init": (c_int, [c_void_p]),
    "EVP_PKEY_encrypt": (c_int, [c_void_p, c_void_p, POINTER(c_size_t), c_char_p, c_size_t]),
    "EVP_PKEY_decrypt_init": (c_int, [c_void_p]),
    "EVP_PKEY_decrypt": (c_int, [c_void_p, c_void_p, POINTER(c_size_t), c_char_p, c_size_t]),
    "EVP_MD_CTX_new": (c_void_p, []),
    "EVP_MD_CTX_free": (None, [c_void_p]),
    "EVP_MD_CTX_set_pkey_ctx": (None, [c_void_p, c_void_p]),
    "EVP_sm3": (c_void_p, []),
    "EVP_DigestSignInit": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "EVP_DigestSign": (c_int, [c_void_p, c_void_p, POINTER(c_size_t), c_char_p, c_size_t]),
    "EVP_DigestVerifyInit": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "EVP_DigestVerify": (c_int, [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t]),
    "ERR_clear_error": (None, []),
    "OpenSSL_version": (c_char_p, [c_int]),
}


def new_private_key() -> bytes:
    """A scalar in [1, n − 2] (GB/T 32918.1 §6.1)."""
    return (secrets.randbelow(ORDER - 2) + 1).to_bytes(PRIVATE_BYTES, "big")


def public_key(private: bytes) -> bytes:
    """The public key. Raises ``BadKey``."""
    lib = _openssl()
    with _private(lib, private) as key:
        room = ctypes.create_string_buffer(len(_PUBLIC) + PUBLIC_BYTES)
        end = c_void_p(ctypes.addressof(room))
        if lib.i2d_PUBKEY(key, None) != len(room) or lib.i2d_PUBKEY(key, byref(end)) != len(room):
            raise BadKey
        return room.raw[len(_PUBLIC) :]


def sign(private: bytes, message: bytes) -> bytes:
    """A signature of SM3(Z ‖ message) (GB/T 32918.2 §6.1). Raises ``BadKey``."""
    lib = _openssl()
    with _private(lib, private) as key, _digesting(lib, key) as context:
        room, size = ctypes.create_string_buffer(_SIGNATURE_ROOM), c_size_t(_SIGNATURE_ROOM)
        if (
            lib.EVP_DigestSignInit(context, None, lib.EVP_sm3(), None, key) != 1
            or lib.EVP_DigestSign(context, room, byref(size), message, len(message)) != 1
        ):
            raise _failed("sign")
        return room.raw[: size.value]


def is_signature(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether it is one (GB/T 32918.2 §7.1), in its one DER encoding. Raises ``BadKey``."""
    lib = _openssl()
    with _public(lib, public) as key, _digesting(lib, key) as context:
        if lib.EVP_DigestVerifyInit(context, None, lib.EVP_sm3(), None, key) != 1:
            raise _failed("verify")
        return bool(lib.EVP_DigestVerify(context, signature, len(signature), message, len(message)) == 1)


def encrypt(public: bytes, plaintext: bytes) -> bytes:
    """SM2 encryption (GB/T 32918.4 §6.1). Raises ``BadKey``."""
    lib = _openssl()
    with _public(lib, public) as key, _context(lib, key) as context:
        encrypted = lib.EVP_PKEY_encrypt_init(context) == 1 and _fill(lib.EVP_PKEY_encrypt, context, plaintext)
        if not encrypted:
            raise _failed("encrypt")
        return bytes(encrypted)


def decrypt(private: bytes, ciphertext: bytes) -> bytes | None:
    """The plaintext, or ``None`` if there is none under this key (GB/T 32918.4 §7.1). Raises ``BadKey``."""
    lib = _openssl()
    with _private(lib, private) as key, _context(lib, key) as context:
        if lib.EVP_PKEY_decrypt_init(context) != 1:
            raise _failed("decrypt")
        return _fill(lib.EVP_PKEY_decrypt, context, ciphertext)


def library_version() -> str:
    """Such as "OpenSSL 3.0.19 27 Jan 2026". Raises ``SuiteUnavailable``."""
    return str(_openssl().OpenSSL_version(0).decode())


@cache
def _openssl() -> Any:
    for name in _LIBRARIES:
        try:
            lib = ctypes.CDLL(name)
            for function, (result, arguments) in _FUNCTIONS.items():
                getattr(lib, function).restype, getattr(lib, function).argtypes = result, arguments
        except (OSError, AttributeError):
            continue
        key = lib.d2i_PUBKEY(None, byref(c_char_p(_PROBE)), len(_PROBE))  # some builds leave the curve out
        lib.EVP_PKEY_free(key)
        lib.ERR_clear_error()
        if key:
            return lib
    raise SuiteUnavailable("sm")


@contextmanager
def _private(lib: Any, private: bytes) -> Iterator[c_void_p]:
    # With n - 1 there is no signature, and OpenSSL would look for one for ever.
    if len(private) != PRIVATE_BYTES or not 0 < int.from_bytes(private, "big") < ORDER - 1:
        raise BadKey
    der = _PRIVATE[0] + private + _PRIVATE[1]
    with _loaded(lib, lib.d2i_AutoPrivateKey, der) as key:  # computes the public key, which is not given
        yield key


@contextmanager
def _public(lib: Any, public: bytes) -> Iterator[c_void_p]:
    # OpenSSL would also take the hybrid form, and bytes behind the key: another id for the same key.
    if len(public) != PUBLIC_BYTES or public[0] != 4:
        raise BadKey
    with _loaded(lib, lib.d2i_PUBKEY, _PUBLIC + public) as key:  # refuses a point off the curve
        yield key


@contextmanager
def _loaded(lib: Any, load: Any, der: bytes) -> Iterator[c_void_p]:
    key = load(None, byref(c_char_p(der)), len(der))
    try:
        if not key:
            raise BadKey
        yield key
    finally:
        lib.EVP_PKEY_free(key)
        lib.ERR_clear_error()  # the queue is the thread's; Python's ssl would find our entries in it


@contextmanager
def _context(lib: Any, key: c_void_p) -> Iterator[c_void_p]:
    context = lib.EVP_PKEY_CTX_new_from_pkey(None, key, None)
    try:
        yield context
    finally:
        lib.EVP_PKEY_CTX_free(context)


@contextmanager
def _digesting(lib: Any, key: c_void_p) -> Iterator[c_void_p]:
    with _context(lib, key) as parameters:
        context = lib.EVP_MD_CTX_new()
        try:
            if lib.EVP_PKEY_CTX_set1_id(parameters, _IDENTITY, len(_IDENTITY)) != 1:
                raise _failed("identity")
            lib.EVP_MD_CTX_set_pkey_ctx(context, parameters)
            yield context
        finally:
            lib.EVP_MD_CTX_free(context)


def _fill(function: Any, context: c_void_p, data: bytes) -> bytes | None:
    size = c_size_t(0)
    if function(context, None, byref(size), data, len(data)) != 1:
        return None
    room = ctypes.create_string_buffer(size.value)
    return room.raw[: size.value] if function(context, room, byref(size), data, len(data)) == 1 else None


def _failed(step: str) -> CipherError:
    return CipherError(
        "sm2_failed",
        f"OpenSSL did not carry out an SM2 step ({step}). Check its installation with 'openssl version'.",
        f"OpenSSL 未能完成 SM2 操作（{step}）。请用 openssl version 检查其安装。",
    )


#: The public key of GB/T 32918.5-2017 annex A.
_PROBE: Final = _PUBLIC + bytes.fromhex(
    "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
