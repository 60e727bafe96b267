"""What a module says of the cryptography in it: the lines of the crypto inventory (商用密码应用清单).

A module that imports a cryptographic library has a ``CRYPTO``, a tuple of ``Declared``. ``lab.governance.inventory``
gathers them; a test compares them with the imports, so the list cannot go stale.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One use of one algorithm.

    Attributes:
        algorithm: its usual name, with the mode.
        key_bits: lengths of its keys that are accepted, of a modulus where there is one; empty without a key.
        purpose: what it protects here, in English.
        purpose_zh: the same in Chinese.
        standard: where it is specified.
        library: the imported package that computes it.
    """

    algorithm: str
    key_bits: tuple[int, ...] = ()
    purpose: str
    purpose_zh: str
    standard: str
    library: str

    @property
    def national(self) -> bool:
        """Whether it is one of China's commercial algorithms (GB/T or GM/T), as an assessment asks."""
        return self.standard.startswith(("GB/T", "GM/T"))
