"""A host's part in products with other hosts (``products``): it veils its factors, then adds up what it is sent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from federation.responder import bad_value
from federation.vertical.logistic.masks import Use, numbers
from federation.vertical.logistic.messages import Pair, Paired, Veil, Veiled
from federation.vertical.logistic.products import (
    SEED_BYTES,
    Ring,
    drawn,
    factors,
    fraction_for,
    from_bytes,
    summed,
    to_bytes,
)
from federation.vertical.logistic.state import LogisticState
from models.losses import Floats


@dataclass(frozen=True, slots=True)
class Pairing:
    """Over the host's ``woe`` of the fitted rows, shape ``(n_fit, n_features)``; remembers in ``state``."""

    state: LogisticState
    woe: Floats

    def veil(self, m: Veil) -> Veiled:
        """Raises ``LocalProtocolError`` (``bad_value``) for rows that are not due, or other numbers of hosts."""
        state = self.state
        n_hosts = len(state.shared)
        if m.round != state.round or m.start != state.n_paired or not n_hosts:
            raise bad_value("products that are not due", "乘积轮次不符")
        n_rows = len(m.shares[0]) // 8 if m.shares else 0
        if not (len(m.seeds) == len(m.shares) == n_hosts and 0 < n_rows <= state.n_fit - m.start):
            raise bad_value("number of rows or hosts", "行数或数据方数量")
        if {len(s) for s in m.shares} != {8 * n_rows} or {len(s) for s in m.seeds} != {SEED_BYTES}:
            raise bad_value("number of rows or hosts", "行数或数据方数量")
        veiled = tuple(
            to_bytes(self._factors(k, m.start, m.shares[k]) - self._drawn(m.seeds[k], n_rows) + self._pad(k, n_rows))
            for k in range(n_hosts)
        )
        state.seeds, state.shares = m.seeds, m.shares
        return Veiled(factors=veiled)

    def pair(self, m: Pair) -> Paired:
        """Raises ``LocalProtocolError`` (``bad_value``) for factors of other rows than were veiled."""
        state = self.state
        n_rows = len(state.shares[0]) // 8
        if len(m.factors) != len(state.shared):
            raise bad_value("number of hosts", "数据方数量")
        try:
            added = [self._added(k, data, n_rows) for k, data in enumerate(m.factors)]
        except ValueError:
            raise bad_value("number of factors", "因子数量") from None
        n_paired = state.n_paired + n_rows
        done = n_paired == state.n_fit
        sums = tuple(to_bytes(total + self._mask(k, total) if done else total) for k, total in enumerate(added))
        state.n_paired, state.seeds, state.shares, state.n_veiled = n_paired, (), (), state.n_veiled + 1
        state.sums = () if done else sums
        return Paired(n_rows=n_paired, sums=sums if done else ())

    @property
    def _n_own(self) -> int:
        return int(self.woe.shape[1])

    def _factors(self, k: int, start: int, share: bytes) -> Ring:
        """This host's side of both products with the other host ``k``."""
        n_rows = len(share) // 8
        fraction = fraction_for(self.state.n_fit)
        rows, own = self.woe[start : start + n_rows], self.state.adds[k]
        return factors(rows, from_bytes(share, n_rows), self.state.exponent, fraction, first=own)

    def _drawn(self, seed: bytes, n_rows: int) -> Ring:
        return drawn(seed, 2, n_rows, self._n_own)

    def _pad(self, k: int, n_rows: int) -> Ring:
        """On what this host sends to the other."""
        use = Use.FACTORS_OF_FIRST if self.state.adds[k] else Use.FACTORS_OF_SECOND
        return numbers(self.state.shared[k], use, self.state.n_veiled, 2 * n_rows * self._n_own).reshape(
            2, n_rows, self._n_own
        )

    def _added(self, k: int, data: bytes, n_rows: int) -> Ring:
        """Sums so far with the other host ``k``, one row per feature of the first of both."""
        state, first = self.state, self.state.adds[k]
        n_other = len(data) // (16 * n_rows)
        theirs = from_bytes(data, 2, n_rows, n_other)
        use = Use.FACTORS_OF_SECOND if first else Use.FACTORS_OF_FIRST
        theirs = theirs - numbers(state.shared[k], use, state.n_veiled, theirs.size).reshape(theirs.shape)
        if first:
            total = summed(self._factors(k, state.n_paired, state.shares[k]), theirs)
        else:
            total = summed(theirs, self._drawn(state.seeds[k], n_rows))
        return total + from_bytes(state.sums[k], *total.shape) if state.sums else total

    def _mask(self, k: int, total: Ring) -> Ring:
        """Added by one of both hosts, subtracted by the other."""
        own = numbers(self.state.shared[k], Use.PRODUCTS, self.state.n_veiled, total.size).reshape(total.shape)
        return own if self.state.adds[k] else np.uint64(0) - own
