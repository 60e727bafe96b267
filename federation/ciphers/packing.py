"""Many small signed integers in one large one, with room proven for the sums that will be taken.

A row's gradient and hessian share one plaintext, ``(g << slot) + h``; sums of rows stay in their slots as long as
``slot`` covers ``n_rows`` addends (``for_rows``). Sums of several bins then share one ciphertext, slot pair beside
slot pair. A value may be negative: slots are read as signed digits from the low end, each borrowing from the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from federation.ciphers.integers import Integer
from federation.ciphers.interface import PublicCipher
from federation.errors import PlaintextOverflow


@dataclass(frozen=True, slots=True)
class PairPacking:
    """Layout of (gradient, hessian) pairs.

    Attributes:
        slot: bits of one value, sign included.
        pairs: pairs per ciphertext when sums are packed.
    """

    slot: int
    pairs: int

    @classmethod
    def for_rows(cls, n_rows: int, value_bits: int, plaintext_bits: int) -> PairPacking:
        """The tightest layout whose slots hold any sum of ``n_rows`` values of magnitude at most ``2**value_bits``.

        ``n_rows * 2**value_bits < 2**(slot - 1)`` by construction. Raises ``PlaintextOverflow`` if not even one pair
        fits.
        """
        slot = value_bits + n_rows.bit_length() + 1
        pairs = (plaintext_bits - 1) // (2 * slot)
        if pairs < 1:
            raise PlaintextOverflow(
                f"A key with {plaintext_bits:,} plaintext bits is too short to add up {n_rows:,} rows.",
                f"明文空间为 {plaintext_bits:,} 位的密钥过短，无法累加 {n_rows:,} 行。",
            )
        return cls(slot, pairs)

    def join(self, g: Sequence[int], h: Sequence[int]) -> list[int]:
        """One plaintext per row."""
        return [(a << self.slot) + b for a, b in zip(g, h, strict=True)]

    def pack(self, cipher: PublicCipher, sums: Sequence[Integer]) -> list[Integer]:
        """Ciphertexts of pair sums → fewer of ``pairs`` each (the last may hold fewer), by Horner's rule."""
        packed = []
        for start in range(0, len(sums), self.pairs):
            group = sums[start : start + self.pairs]
            total = group[-1]
            for c in reversed(group[:-1]):
                total = cipher.add(cipher.shift(total, 2 * self.slot), c)
            packed.append(total)
        return packed

    def split(self, plaintexts: Sequence[int], count: int) -> tuple[list[int], list[int]]:
        """Packed plaintexts back to ``count`` gradient sums and hessian sums.

        Raises:
            PlaintextOverflow: the plaintexts hold more than ``count`` pairs, or fewer: a slot ran over or was
            tampered with.
        """
        g: list[int] = []
        h: list[int] = []
        if len(plaintexts) != -(-count // self.pairs):
            raise _out_of_slot()
        for plaintext in plaintexts:
            rest = plaintext
            for _ in range(min(self.pairs, count - len(g))):
                low, rest = self._digit(rest)
                high, rest = self._digit(rest)
                h.append(low)
                g.append(high)
            if rest:
                raise _out_of_slot()
        return g, h

    def _digit(self, value: int) -> tuple[int, int]:
        half = 1 << (self.slot - 1)
        digit = ((value + half) & ((1 << self.slot) - 1)) - half
        return digit, (value - digit) >> self.slot


def _out_of_slot() -> PlaintextOverflow:
    return PlaintextOverflow(
        "Decrypted sums do not fit the agreed layout: a slot overflowed or a party sent rubbish. The run stops.",
        "解密所得的和与约定布局不符：槽位溢出或某方发送了无效数据。运行已停止。",
    )
