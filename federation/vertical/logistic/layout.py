"""Fixed-point numbers of a joint fit, and how they share plaintexts with room proven for the sums that will be taken.

A value (residual, weight, weight times a guest's WOE) is at most 2**2, a factor (a host's WOE) at most 2**4, a product
of two factors at most 2**8, and a weight alone at most 2**-2. In units of 2**-32 and 2**-28 a value times a factor, and
a weight times a product, are at most 2**66: a slot holds ``n_rows`` of them and a sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from federation.ciphers.integers import Integer
from federation.ciphers.interface import PublicCipher
from federation.errors import PlaintextOverflow
from models.errors import DataError
from models.losses import Floats, Integers

#: Bits behind the point of a value, a factor and a margin.
VALUE_FRACTION: Final = 32
FACTOR_FRACTION: Final = 28
MARGIN_FRACTION: Final = 40
#: Largest WOE that a joint fit can carry.
MOST_WOE: Final = 16.0
#: Largest part of a margin that a host may have.
MOST_PART: Final = 65_536.0
_PRODUCT_BITS: Final = 66


@dataclass(frozen=True, slots=True)
class SlotLayout:
    """Signed numbers side by side in one plaintext, read from the low end, each borrowing from the next.

    Attributes:
        slot: bits of one number, sign included.
        per_ciphertext: numbers per plaintext.
    """

    slot: int
    per_ciphertext: int

    @classmethod
    def for_rows(cls, n_rows: int, plaintext_bits: int) -> SlotLayout:
        """The tightest layout whose slots hold any sum over ``n_rows``: ``n_rows * 2**66 < 2**(slot - 1)``.

        Raises ``PlaintextOverflow`` if not even one number fits.
        """
        slot = _PRODUCT_BITS + n_rows.bit_length() + 1
        per_ciphertext = (plaintext_bits - 1) // slot
        if per_ciphertext < 1:
            raise PlaintextOverflow(
                f"A key with {plaintext_bits:,} plaintext bits is too short to add up {n_rows:,} rows.",
                f"明文空间为 {plaintext_bits:,} 位的密钥过短，无法累加 {n_rows:,} 行。",
            )
        return cls(slot, per_ciphertext)

    def n_ciphertexts(self, n_values: int) -> int:
        """How many hold ``n_values`` numbers."""
        return -(-n_values // self.per_ciphertext)

    def join(self, values: Integers) -> list[list[int]]:
        """Rows of numbers, shape ``(n_rows, n_values)`` → plaintexts, kind after kind, each with one per row."""
        joined = []
        for first in range(0, values.shape[1], self.per_ciphertext):
            columns = [c.tolist() for c in values.T[first : first + self.per_ciphertext]]
            plaintexts = columns[-1]
            for column in reversed(columns[:-1]):
                plaintexts = [(high << self.slot) + low for high, low in zip(plaintexts, column, strict=True)]
            joined.append(plaintexts)
        return joined

    def pack(self, cipher: PublicCipher, sums: Sequence[Integer]) -> list[Integer]:
        """Ciphertexts of one number each → fewer of ``per_ciphertext`` each (the last may hold fewer)."""
        packed = []
        for start in range(0, len(sums), self.per_ciphertext):
            group = sums[start : start + self.per_ciphertext]
            total = group[-1]
            for c in reversed(group[:-1]):
                total = cipher.add(cipher.shift(total, self.slot), c)
            packed.append(total)
        return packed

    def split(self, plaintexts: Sequence[int], count: int) -> list[int]:
        """Plaintexts back to ``count`` numbers. Raises ``PlaintextOverflow`` if they hold fewer or more."""
        if len(plaintexts) != self.n_ciphertexts(count):
            raise _out_of_slot()
        half, mask = 1 << (self.slot - 1), (1 << self.slot) - 1
        numbers: list[int] = []
        for plaintext in plaintexts:
            rest = plaintext
            for _ in range(min(self.per_ciphertext, count - len(numbers))):
                number = ((rest + half) & mask) - half
                numbers.append(number)
                rest = (rest - number) >> self.slot
            if rest:
                raise _out_of_slot()
        return numbers


def fixed(values: Floats, fraction: int) -> Integers:
    """Nearest multiples of ``2**-fraction``, as integers."""
    return np.rint(np.ldexp(values, fraction)).astype(np.int64)


def unfixed(number: int, fraction: int) -> float:
    """Back, from any size."""
    return number / (1 << fraction)


def margins_to_bytes(margins: Floats) -> bytes:
    """As margins travel."""
    return fixed(margins, MARGIN_FRACTION).astype("<i8").tobytes()


def check_woe(woe: Floats, names: Sequence[str]) -> None:
    """Raises ``DataError`` ``woe_too_large`` naming columns with a WOE beyond what the slots are proven for."""
    large = [name for name, column in zip(names, woe.T, strict=True) if not (np.abs(column) <= MOST_WOE).all()]
    if large:
        raise DataError(
            "woe_too_large",
            f"WOE beyond {MOST_WOE:g} in {', '.join(large)}. Merge bins with rows of one class, or smooth them more.",
            f"以下特征的 WOE 绝对值超过 {MOST_WOE:g}：{'、'.join(large)}。请合并单一类别的分箱或加大平滑。",
        )


def _out_of_slot() -> PlaintextOverflow:
    return PlaintextOverflow(
        "Decrypted sums do not fit the agreed layout: a slot overflowed or a party sent rubbish. The run stops.",
        "解密所得的和与约定布局不符：槽位溢出或某方发送了无效数据。运行已停止。",
    )
