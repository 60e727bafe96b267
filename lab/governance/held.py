"""A key in use by its owner, and what it makes: everything carries the key's id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from federation.ciphers.suites.interface import Suite
from lab.errors import KeysError

SIGNING: Final = "signing"
SEALING: Final = "sealing"
STORAGE: Final = "storage"
PURPOSES: Final = (SIGNING, SEALING, STORAGE)
PURPOSES_ZH: Final = {SIGNING: "签名", SEALING: "密封", STORAGE: "存储"}

Made = dict[str, str]


@dataclass(frozen=True, slots=True, repr=False)
class HeldKey:
    """One key of this node, opened. ``private`` never leaves the process and is not printed.

    Attributes:
        may_make: whether it may still sign and encrypt; a retired or revoked key only reads.
    """

    suite: Suite
    key_id: str
    purpose: str
    private: bytes
    may_make: bool

    def sign(self, message: bytes) -> bytes:
        """Raises ``KeysError`` (``wrong_purpose``, ``key_not_active``)."""
        self._need(SIGNING, makes=True)
        return self.suite.sign(self.private, message)

    def signed(self, message: bytes) -> Made:
        """``sign`` as JSON that names suite and key."""
        return made(self.suite, self.key_id, "signature", self.sign(message))

    def unseal(self, sealed: Made, context: bytes) -> bytes:
        """Open what ``ring.sealed_to`` made. Raises ``KeysError`` and ``NotSealedToUs``."""
        self._need(SEALING, makes=False)
        return self.suite.unseal(self.private, self._read(sealed, "sealed"), context)

    def encrypted(self, plaintext: bytes, context: bytes) -> Made:
        """For storage. Raises ``KeysError`` (``wrong_purpose``, ``key_not_active``)."""
        self._need(STORAGE, makes=True)
        return made(self.suite, self.key_id, "encrypted", self.suite.encrypt(self.private, plaintext, context))

    def decrypt(self, encrypted: Made, context: bytes) -> bytes:
        """Back from storage. Raises ``KeysError`` and ``NotDecryptable``."""
        self._need(STORAGE, makes=False)
        return self.suite.decrypt(self.private, self._read(encrypted, "encrypted"), context)

    def _read(self, data: Made, field: str) -> bytes:
        made_with, content = read_made(data, field)
        if made_with != (self.suite.name, self.key_id):
            raise KeysError(
                "other_key",
                f"This was made with another key than {self.key_id}. Open the key that it names.",
                f"该数据并非由密钥 {self.key_id} 生成，请打开其所注明的密钥。",
            )
        return content

    def _need(self, purpose: str, *, makes: bool) -> None:
        if self.purpose != purpose:
            raise KeysError(
                "wrong_purpose",
                f"The key {self.key_id} is for {self.purpose}, not for {purpose}.",
                f"密钥 {self.key_id} 的用途为{PURPOSES_ZH[self.purpose]}，不能用于{PURPOSES_ZH[purpose]}。",
            )
        if makes and not self.may_make:
            raise KeysError(
                "key_not_active",
                f"The key {self.key_id} is retired or revoked: it reads what it made and makes nothing new. Use the "
                "active key.",
                f"密钥 {self.key_id} 已停用或吊销：仅可读取既有数据，不得再用于生成。请使用当前有效密钥。",
            )

    def __repr__(self) -> str:
        return f"<HeldKey {self.key_id} redacted>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a private key is not to be copied out of its process")


def made(suite: Suite, key_id: str, field: str, content: bytes) -> Made:
    """What a key made, as JSON: suite, key id, and the bytes in hexadecimal under ``field``."""
    return {"suite": suite.name, "key_id": key_id, field: content.hex()}


def read_made(data: Any, field: str) -> tuple[tuple[str, str], bytes]:
    """(suite, key id) and the bytes. Raises ``KeysError`` (``unreadable``)."""
    try:
        return (str(data["suite"]), str(data["key_id"])), bytes.fromhex(data[field])
    except (KeyError, TypeError, ValueError) as error:
        raise KeysError(
            "unreadable",
            f"A record lacks its suite, its key id or its {field}. It was not made by this release or was changed.",
            "记录缺少密码套件、密钥编号或内容：并非本版本生成，或已被改动。",
        ) from error
