"""Big integers: gmpy2 where it is installed, Python's own otherwise (exact, but several times slower)."""

from __future__ import annotations

import math
import warnings
from typing import Any

try:
    import gmpy2

    HAS_GMP = True
except ImportError:  # pragma: no cover - exercised by a test that hides the module
    HAS_GMP = False
    warnings.warn(
        "gmpy2 is not installed: encryption works, about 5 to 10 times slower (pip install gmpy2). "
        "未安装 gmpy2：加密可用，但约慢 5 至 10 倍。",
        stacklevel=2,
    )

#: An integer of either library.
Integer = Any


def integer(value: int) -> Integer:
    """``value`` in the fast representation."""
    return gmpy2.mpz(value) if HAS_GMP else value


def power(base: Integer, exponent: Integer, modulus: Integer) -> Integer:
    """``base ** exponent % modulus``, exponent at least 0. Not constant-time: see SECURITY.md."""
    return gmpy2.powmod(base, exponent, modulus) if HAS_GMP else pow(base, exponent, modulus)


def inverse(value: Integer, modulus: Integer) -> Integer:
    """Modular inverse. Raises ``ValueError``/``ZeroDivisionError`` if there is none."""
    return gmpy2.invert(value, modulus) if HAS_GMP else pow(value, -1, modulus)


def gcd(a: Integer, b: Integer) -> Integer:
    """Greatest common divisor."""
    return gmpy2.gcd(a, b) if HAS_GMP else math.gcd(a, b)


def from_bytes(data: bytes | memoryview) -> Integer:
    """Unsigned big-endian bytes to an integer."""
    return gmpy2.mpz.from_bytes(bytes(data), "big") if HAS_GMP else int.from_bytes(data, "big")


def to_bytes(value: Integer, length: int) -> bytes:
    """An integer below ``256 ** length`` to unsigned big-endian bytes."""
    return bytes(value.to_bytes(length, "big"))
