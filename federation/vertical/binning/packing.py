"""Many counts in one plaintext, with room proven for the largest: defaults per prebin, as they travel back.

Hosts may add noise, which may be negative: every sum travels ``REACH`` higher, noise or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from federation.ciphers.integers import Integer
from federation.ciphers.interface import PublicCipher
from federation.errors import PlaintextOverflow

#: Most noise of one sum, either way: of all prebins of a feature at the least epsilon (a test has the numbers).
REACH: Final = 2**18


@dataclass(frozen=True, slots=True)
class CountPacking:
    """Layout of sums of labels.

    Attributes:
        slot: bits of one sum.
        per_ciphertext: sums that share a ciphertext.
        offset: added to each sum, so that none is negative; noise of at most this magnitude fits.
    """

    slot: int
    per_ciphertext: int
    offset: int

    @classmethod
    def for_rows(cls, n_rows: int, plaintext_bits: int) -> CountPacking:
        """The tightest layout whose slots hold any sum of ``n_rows`` labels with any noise:
        ``n_rows + 2 * REACH < 2**slot``.

        Raises ``PlaintextOverflow`` if not even one fits.
        """
        slot = (n_rows + 2 * REACH).bit_length()
        per_ciphertext = (plaintext_bits - 1) // slot
        if per_ciphertext < 1:
            raise PlaintextOverflow(
                f"A key with {plaintext_bits:,} plaintext bits is too short to count {n_rows:,} rows.",
                f"明文空间为 {plaintext_bits:,} 位的密钥过短，无法对 {n_rows:,} 行计数。",
            )
        return cls(slot, per_ciphertext, REACH)

    def pack(self, cipher: PublicCipher, sums: Sequence[Integer], noise: Sequence[int]) -> list[Integer]:
        """Ciphertexts of sums → fewer, of ``per_ciphertext`` each (the last may hold fewer), by Horner's rule.

        Args:
            noise: added to each sum; whoever decrypts sees it only with the sum.

        Raises:
            PlaintextOverflow: noise beyond ``offset``.
        """
        if any(abs(n) > self.offset for n in noise):
            raise _out_of_slot()
        packed = []
        for start in range(0, len(sums), self.per_ciphertext):
            *lower, total = sums[start : start + self.per_ciphertext]
            for c in reversed(lower):
                total = cipher.add(cipher.shift(total, self.slot), c)
            here = noise[start : start + self.per_ciphertext]
            known = sum((n + self.offset) << (self.slot * k) for k, n in enumerate(here))
            packed.append(cipher.add(total, cipher.constant(known)))
        return packed

    def split(self, plaintexts: Sequence[int], count: int) -> list[int]:
        """Packed plaintexts back to ``count`` sums, negative ones among them if there is noise.

        Raises:
            PlaintextOverflow: the plaintexts hold another number of sums, or are negative.
        """
        if len(plaintexts) != -(-count // self.per_ciphertext):
            raise _out_of_slot()
        sums: list[int] = []
        for plaintext in plaintexts:
            n_here = min(self.per_ciphertext, count - len(sums))
            if not 0 <= plaintext < 1 << (self.slot * n_here):
                raise _out_of_slot()
            sums += [(plaintext >> (self.slot * k) & ((1 << self.slot) - 1)) - self.offset for k in range(n_here)]
        return sums


def _out_of_slot() -> PlaintextOverflow:
    return PlaintextOverflow(
        "Decrypted counts do not fit the agreed layout: a slot overflowed or a party sent rubbish. The run stops.",
        "解密所得的计数与约定布局不符：槽位溢出或某方发送了无效数据。运行已停止。",
    )
