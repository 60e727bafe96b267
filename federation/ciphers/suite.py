"""Which cipher a run uses, and the refusal of one that does not encrypt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from federation.ciphers import paillier
from federation.ciphers.interface import PublicCipher, SecretCipher
from federation.ciphers.paillier import MINIMUM_KEY_BITS, PaillierPublic
from federation.ciphers.plain import PlainPublic, PlainSecret
from federation.errors import CipherError, NotEncrypting

#: A longer key would only make the other side work.
MAXIMUM_KEY_BITS: Final = 8192


@dataclass(frozen=True, slots=True)
class CipherRules:
    """What a party accepts. The defaults are safe; only experiments and tests say otherwise.

    Attributes:
        minimum_key_bits: shorter keys are refused.
        insecure_allow_plaintext: accept a run whose gradients travel in clear.
    """

    minimum_key_bits: int = MINIMUM_KEY_BITS
    insecure_allow_plaintext: bool = False


def secret_cipher(name: str, key_bits: int, rules: CipherRules, expected: int = 10_000) -> SecretCipher:
    """A fresh key. Raises ``NotEncrypting``, ``KeyTooShort``, or ``CipherError`` for an unknown name."""
    _check(name, rules)
    if name == "plain":
        return PlainSecret()
    return paillier.generate(key_bits, minimum_bits=rules.minimum_key_bits, expected=expected)


def public_cipher(name: str, key: bytes, rules: CipherRules) -> PublicCipher:
    """The public half as another party sent it. Raises as ``secret_cipher`` does."""
    _check(name, rules)
    if name == "plain":
        return PlainPublic()
    if 8 * len(key) > MAXIMUM_KEY_BITS:
        raise CipherError(
            "bad_value",
            f"A key over {MAXIMUM_KEY_BITS:,} bits is refused.",
            f"拒绝超过 {MAXIMUM_KEY_BITS:,} 位的密钥。",
        )
    return PaillierPublic(int.from_bytes(key, "big"), rules.minimum_key_bits)


def _check(name: str, rules: CipherRules) -> None:
    if name not in ("paillier", "plain"):
        raise CipherError(
            "unknown_cipher", "This release knows the ciphers paillier and plain.", "本版本支持 paillier 与 plain。"
        )
    if name == "plain" and not rules.insecure_allow_plaintext:
        raise NotEncrypting(name)
