"""Sums of signed numbers modulo 2**(8 w), with room proven, and as they travel: w bytes each, lowest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.errors import PlaintextOverflow

Residues = NDArray[np.uint64]
Numbers = NDArray[np.int64]

_MOST_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Words:
    """Attributes:
    n_bytes: of one number, 1 to 8.
    """

    n_bytes: int

    @classmethod
    def for_sum(cls, n_addends: int, bound: int) -> Words:
        """The shortest words that hold any sum of so many numbers of magnitude at most ``bound``, sign included.

        ``n_addends * bound < 2**(8 n_bytes - 1)`` by construction. Raises ``PlaintextOverflow`` if eight bytes do not.
        """
        n_bytes = ((n_addends * bound).bit_length() + 8) // 8
        if n_bytes > _MOST_BYTES:
            raise PlaintextOverflow(
                f"Sums of {n_addends} numbers up to 2**{bound.bit_length()} do not fit in 64 bits. Use fewer rows per "
                "site, or coarser numbers.",
                f"{n_addends} 个最大为 2**{bound.bit_length()} 的数之和超出 64 位。请减少每站点行数或降低精度。",
            )
        return cls(n_bytes)

    def dump(self, residues: Residues) -> bytes:
        """Residues as they travel; what is above the modulus falls away."""
        low: NDArray[np.uint8] = residues.astype("<u8").view(np.uint8).reshape(-1, 8)[:, : self.n_bytes]
        return low.tobytes()

    def load(self, data: bytes) -> Residues:
        """Back. Raises ``ValueError`` for part of a word."""
        words = np.zeros((len(data) // self.n_bytes, 8), dtype=np.uint8)
        words[:, : self.n_bytes] = np.frombuffer(data, dtype=np.uint8).reshape(-1, self.n_bytes)
        return words.view("<u8").reshape(-1).astype(np.uint64)

    def signed(self, residues: Residues) -> Numbers:
        """The number of least magnitude that each residue stands for."""
        spare = np.uint64(64 - 8 * self.n_bytes)
        high: Numbers = (residues << spare).view(np.int64)
        return high >> np.int64(spare)
