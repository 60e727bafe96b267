"""Which suites there are, by name."""

from __future__ import annotations

from typing import Final

from federation.ciphers.suites.interface import Suite
from federation.ciphers.suites.international import International
from federation.ciphers.suites.sm import Sm
from federation.errors import CipherError

_SUITES: Final[dict[str, Suite]] = {made.name: made for made in (International(), Sm())}
SUITE_NAMES: Final = tuple(_SUITES)


def suite(name: str) -> Suite:
    """The suite of that name. Raises ``CipherError`` (``unknown_suite``)."""
    found = _SUITES.get(name)
    if found is None:
        raise CipherError(
            "unknown_suite",
            f"This release knows the crypto suites {' and '.join(SUITE_NAMES)}.",
            f"本版本支持的密码套件为 {' 与 '.join(SUITE_NAMES)}。",
        )
    return found
