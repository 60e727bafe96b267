"""A host's encrypted work: sums over rows of its WOE, and of products of two of them, times what the rows carry.

WOE has few values, so rows are added up once per value (through joint cells, as in boosting), and each of these few
sums is multiplied by its value, all multiplications of one total sharing their doublings (Straus 1964, "Addition chains
of vectors").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.integers import Integer
from federation.ciphers.interface import PublicCipher
from federation.ciphers.workers import cut, spread
from federation.vertical.logistic.layout import FACTOR_FRACTION, SlotLayout, fixed
from federation.vertical.sums import Sum, bin_sums
from models.binning import Codes
from models.boosting.grouping import Grouping, group_features
from models.losses import Floats, Integers

#: Columns that look for joint cells together, and the rows they look at: beyond, looking costs more than it saves.
_GROUP: Final = 64
_SAMPLE: Final = 4096


@dataclass(frozen=True, slots=True)
class FactorColumns:
    """Columns of few values each, as fixed-point factors.

    Attributes:
        codes: shape ``(n_columns, n_rows)``; which of its values a column has in a row.
        factors: values of each column.
        groupings: joint cells, for runs of ``_GROUP`` columns.
    """

    codes: NDArray[np.int32]
    factors: tuple[Integers, ...]
    groupings: tuple[Grouping, ...]

    @classmethod
    def of(cls, columns: Sequence[Floats]) -> FactorColumns:
        """From columns of real numbers, each of shape ``(n_rows,)``."""
        coded = [np.unique(fixed(c, FACTOR_FRACTION), return_inverse=True) for c in columns]
        codes = np.stack([inverse for _, inverse in coded]).astype(np.int32) if coded else np.empty((0, 0), np.int32)
        factors = tuple(values for values, _ in coded)
        groupings = tuple(
            group_features(cast(Codes, codes[k : k + _GROUP, :_SAMPLE]), tuple(len(f) for f in factors[k : k + _GROUP]))
            for k in range(0, len(columns), _GROUP)
        )
        return cls(codes, factors, groupings)

    def counts(self) -> list[Integers]:
        """Rows with each value, column by column."""
        return [np.bincount(c, minlength=len(f)) for c, f in zip(self.codes, self.factors, strict=True)]

    def totals(self, cipher: PublicCipher, data: NDArray[np.uint8], negated: Integer) -> list[Integer]:
        """Per column, a ciphertext of the sum over rows of its factor times what the row's ciphertext holds.

        Args:
            data: ciphertexts of all rows, shape ``(n_rows, ciphertext_bytes)``, checked.
            negated: a ciphertext of minus their sum.
        """
        rows = np.arange(self.codes.shape[1])
        found: list[Integer] = []
        for k, grouping in enumerate(self.groupings):
            first = k * _GROUP
            codes = cast(Codes, self.codes[first : first + _GROUP])
            [sums] = bin_sums(cipher, data, [rows], codes, grouping)
            found += [weighted(cipher, sums[f], self.factors[first + f].tolist(), negated) for f in range(len(codes))]
        return found


def pairs_of(woe: Floats) -> list[Floats]:
    """The product of every two columns, and the square of every one: (0, 0), (0, 1), … (1, 1), …"""
    return [woe[:, j] * woe[:, k] for j, k in combinations_with_replacement(range(woe.shape[1]), 2)]


def weighted(cipher: PublicCipher, sums: Sequence[Sum], factors: Sequence[int], negated: Integer) -> Integer:
    """A ciphertext of ``sum(factor * sum)``.

    Args:
        sums: ``None`` for a sum over nothing.
        negated: a ciphertext of minus the sum of ``sums``; the least factor is taken off all of them, and given back
            through it, so that none is negative.
    """
    low = min([0, *factors])
    terms = [(s, f - low) for s, f in zip(sums, factors, strict=True) if s is not None]
    terms.append((negated, -low))
    total: Sum = None
    for bit in reversed(range(max(f for _, f in terms).bit_length())):
        if total is not None:
            total = cipher.add(total, total)
        for c, factor in terms:
            if factor >> bit & 1:
                total = c if total is None else cipher.add(total, c)
    return cipher.zero if total is None else total


def rerandomised(cipher: PublicCipher, ciphertexts: list[Integer]) -> bytes:
    """Ciphertexts as they travel."""
    return b"".join(spread(_rerandomised_piece, [(cipher, piece) for piece in cut(ciphertexts, least=64)]))


def _rerandomised_piece(cipher: PublicCipher, ciphertexts: list[Integer]) -> bytes:
    return cipher.dump(cipher.rerandomise(ciphertexts))


def blocks(
    cipher: PublicCipher,
    layout: SlotLayout,
    single: FactorColumns,
    pairs: FactorColumns,
    data: NDArray[np.uint8],
    negated: Sequence[Integer],
) -> bytes:
    """The host's part of gradient and hessian, as ``Blocks`` carries it.

    Args:
        data: shape ``(n_kinds, n_rows, ciphertext_bytes)``, the last kind holding weights alone.
        negated: one per kind.
    """
    of_kinds = [single.totals(cipher, kind, minus) for kind, minus in zip(data, negated, strict=True)]
    alone = of_kinds.pop()
    together = pairs.totals(cipher, data[-1], negated[-1])
    per_feature = [c for of_feature in zip(*of_kinds, strict=True) for c in of_feature]
    return rerandomised(cipher, [*per_feature, *layout.pack(cipher, [*alone, *together])])
