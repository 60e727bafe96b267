"""Private keys under a passphrase: what stands on disk instead of a key."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from federation.ciphers.suites.choice import suite as suite_named
from federation.ciphers.suites.interface import Suite
from federation.errors import CipherError
from lab.errors import KeysError

FORMAT: Final = 1
MINIMUM_LENGTH: Final = 12
#: The variable of the environment that holds a node's passphrase.
PASSPHRASE: Final = "LIANMO_PASSPHRASE"  # noqa: S105 - its name, not its value
_SALT_BYTES: Final = 16


def check_passphrase(passphrase: str) -> None:
    """Raises ``KeysError`` (``short_passphrase``) for one that could be guessed on a stolen disk."""
    if len(_normal(passphrase)) < MINIMUM_LENGTH:
        raise KeysError(
            "short_passphrase",
            f"The passphrase is shorter than {MINIMUM_LENGTH} characters. Take several words.",
            f"口令短于 {MINIMUM_LENGTH} 个字符，请使用由多个词组成的口令。",
        )


def protect(
    suite: Suite, private: bytes, passphrase: str, key_id: str, cost: int | None = None, salt: bytes | None = None
) -> dict[str, Any]:
    """JSON that only the passphrase opens, and only as the key of that id.

    Args:
        cost: of stretching; the suite's own unless given.
        salt: that of the node's other keys (``salt_of``), so that one stretch opens them all; none: a new one.
    """
    salt, cost = salt or os.urandom(_SALT_BYTES), cost or suite.stretching_cost
    secret = _stretched(suite.name, passphrase, salt, cost)
    return {
        "format": FORMAT,
        "suite": suite.name,
        "key_id": key_id,
        "stretching": suite.stretching,
        "cost": cost,
        "salt": salt.hex(),
        "encrypted": suite.encrypt(secret, private, _context(suite, key_id)).hex(),
    }


def reveal(suite: Suite, protected: Mapping[str, Any], passphrase: str, key_id: str) -> bytes:
    """The private key. Raises ``KeysError`` (``wrong_passphrase``), also for a file that was changed."""
    try:
        salt, encrypted = bytes.fromhex(protected["salt"]), bytes.fromhex(protected["encrypted"])
        secret = _stretched(suite.name, passphrase, salt, protected["cost"])
        return suite.decrypt(secret, encrypted, _context(suite, key_id))
    except (CipherError, KeyError, TypeError, ValueError) as error:
        raise KeysError(
            "wrong_passphrase",
            f"The passphrase does not open the key {key_id}, or its file was changed.",
            f"口令无法打开密钥 {key_id}，或其文件已被改动。",
        ) from error


def salt_of(protected: Mapping[str, Any]) -> bytes | None:
    """The salt in what ``protect`` made; None in what it did not make."""
    try:
        return bytes.fromhex(protected["salt"]) or None
    except (KeyError, TypeError, ValueError):
        return None


@lru_cache(maxsize=8)
def _stretched(suite_name: str, passphrase: str, salt: bytes, cost: int) -> bytes:
    """Stretching is slow on purpose (0.4 s): whoever guesses pays it for each guess, its owner once per process."""
    return suite_named(suite_name).stretch(_normal(passphrase).encode(), salt, cost)


def _normal(passphrase: str) -> str:
    """As RFC 8265 §4.2 has it: keyboards write the same character in more than one way."""
    return unicodedata.normalize("NFC", passphrase)


def _context(suite: Suite, key_id: str) -> bytes:
    return f"lianmo protected key {FORMAT} {suite.name} {key_id}".encode()
