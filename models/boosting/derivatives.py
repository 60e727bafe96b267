"""Derivatives of a loss as fixed-point integers, exact under addition in any order.

They are made once per tree, at the guest, and every sum over them is exact from there on. So a joint run and a pooled
one, an encrypted and a plain one, see the same numbers whatever the order of addition.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.losses import Floats, Integers

Rows = NDArray[np.intp]

#: Most bits of one derivative. LightGBM keeps gradients as float32: 24 significant bits; ours are finer.
DERIVATIVE_BITS: Final = 32


@dataclass(frozen=True, slots=True)
class Derivatives:
    """Attributes:
    g, h: first and second derivatives, shape ``(n_fit,)``, 0 in rows that take no part in the tree; magnitude at most
        ``2**DERIVATIVE_BITS``.
    g_unit, h_unit: what one unit stands for.
    rows: the rows that take part, ascending.
    """

    g: Integers
    h: Integers
    g_unit: float
    h_unit: float
    rows: Rows

    @classmethod
    def exact(cls, g: Floats, h: Floats, rows: Rows, limit: float | None) -> Derivatives:
        """To 32 bits; the second derivative is at least one unit, so no row weighs nothing.

        Args:
            g, h: shape ``(n_fit,)``.
            limit: bound on the magnitude of both; ``None``: what each reaches in these rows.

        Raises:
            ModelError: ``diverged`` if a derivative is not finite.
        """
        g_unit, h_unit = (_unit(float(np.abs(v[rows]).max()) if limit is None else limit) for v in (g, h))
        whole = np.rint(g / g_unit), np.maximum(np.rint(h / h_unit), 1.0)
        return cls(_only(rows, whole[0]), _only(rows, whole[1]), g_unit, h_unit, rows)

    @classmethod
    def quantised(cls, g: Floats, h: Floats, rows: Rows, levels: int, rng: np.random.Generator) -> Derivatives:
        """To few levels, rounded at random so that sums stay unbiased (Shi et al. 2022, "Quantized training of
        gradient boosting decision trees", §4): gradients to ``-levels/2 .. levels/2``, hessians to ``0 .. levels``.
        """
        g_unit = 2 * float(np.abs(g[rows]).max()) / levels or 1.0
        h_unit = float(h[rows].max()) / levels or 1.0
        g_whole, h_whole = (np.floor(values + rng.random(len(values))) for values in (g / g_unit, h / h_unit))
        return cls(_only(rows, g_whole), _only(rows, h_whole), g_unit, h_unit, rows)

    def sums(self, rows: Rows) -> tuple[float, float]:
        """Both derivatives, in real numbers, summed over ``rows``."""
        return int(self.g[rows].sum()) * self.g_unit, int(self.h[rows].sum()) * self.h_unit


def _unit(limit: float) -> float:
    """A power of two, so that dividing by it changes no digit."""
    if not math.isfinite(limit):
        raise ModelError(
            "diverged",
            "A gradient is no longer finite: margins ran away. Use a smaller learning_rate or scale the label.",
            "梯度不再有限：边际值发散。请减小 learning_rate 或缩放标签。",
        )
    return math.ldexp(1.0, math.ceil(math.log2(limit or 1.0)) - DERIVATIVE_BITS)


def bits_of(levels: int) -> int:
    """Bits that hold every magnitude of ``Derivatives.quantised``."""
    return max(1, math.ceil(math.log2(levels)))


def _only(rows: Rows, values: Floats) -> Integers:
    kept = np.zeros(len(values), dtype=np.int64)
    kept[rows] = values[rows]
    return kept
