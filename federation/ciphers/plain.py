"""The cipher that does not encrypt: a reference that Paillier must equal exactly. Runs refuse it by default."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from federation.ciphers.integers import Integer
from federation.ciphers.interface import PublicCipher, SecretCipher
from federation.errors import InvalidCiphertext

_BITS: Final = 2048
_MODULUS: Final = 1 << _BITS


class PlainPublic(PublicCipher):
    """Integers modulo 2**2048 in clear, behind the same interface."""

    name: ClassVar[str] = "plain"
    encrypts: ClassVar[bool] = False
    ciphertext_bytes = _BITS // 8
    plaintext_bits = _BITS - 1
    zero = 0

    @property
    def key(self) -> bytes:
        return b""

    def read(self, data: bytes | memoryview) -> Integer:
        return int.from_bytes(data, "big")

    def load(self, data: bytes) -> list[Integer]:
        size = self.ciphertext_bytes
        if len(data) % size:
            raise InvalidCiphertext
        return [self.read(data[i : i + size]) for i in range(0, len(data), size)]

    def dump(self, ciphertexts: Iterable[Integer]) -> bytes:
        return b"".join(c.to_bytes(self.ciphertext_bytes, "big") for c in ciphertexts)

    def add(self, a: Integer, b: Integer) -> Integer:
        return (a + b) % _MODULUS

    def constant(self, number: int) -> Integer:
        return number

    def shift(self, a: Integer, bits: int) -> Integer:
        return (a << bits) % _MODULUS

    def rerandomise(self, ciphertexts: Sequence[Integer]) -> list[Integer]:
        return list(ciphertexts)


class PlainSecret(SecretCipher):
    """Stands where a key holder would stand."""

    def __init__(self) -> None:
        self.public: PublicCipher = PlainPublic()

    def encrypt(self, numbers: Sequence[int]) -> bytes:
        self.check_room(numbers)
        return self.public.dump(m % _MODULUS for m in numbers)

    def decrypt(self, data: bytes) -> list[int]:
        return [c - _MODULUS if c > _MODULUS // 2 else c for c in self.public.load(data)]
