"""What the guest asks of hosts in one round of a joint fit: gradient and hessian where it stands, then margins.

The guest encrypts residuals and weights of its rows; hosts add them up times their WOE; products between features of
two hosts come from ``between``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Final

import numpy as np

from federation.ciphers.interface import SecretCipher
from federation.ciphers.pairwise import KEY_BYTES
from federation.errors import CipherError, PartyId, RemoteProtocolError
from federation.expect import expect
from federation.script import Script
from federation.vertical.logistic.between import BetweenHosts
from federation.vertical.logistic.layout import (
    FACTOR_FRACTION,
    MARGIN_FRACTION,
    MOST_PART,
    VALUE_FRACTION,
    SlotLayout,
    fixed,
)
from federation.vertical.logistic.messages import (
    Blocks,
    Collect,
    Derivatives,
    Introduce,
    Introduced,
    Margins,
    Open,
    Ready,
    Stored,
    Weigh,
)
from federation.vertical.logistic.moments import HostBlocks, assembled
from federation.vertical.logistic.products import MOST_EXPONENT
from models.losses import Floats
from models.scorecard.logistic import Moments, Newton, moments_of, with_intercept

#: Bytes of derivatives, or of factors for one host, per message.
_BATCH_BYTES: Final = 8 * 1024 * 1024
#: More features than any honest host has; bounds what a hostile one makes the guest allocate.
_MOST_FEATURES: Final = 2_000


@dataclass(slots=True)
class Rounds:
    """Attributes:
    n_rows, n_fit: of the run; the first ``n_fit`` are fitted.
    terms: what each host said when it opened.
    sizes: features that each host still uses.
    """

    model_id: str
    hosts: Sequence[PartyId]
    cipher: SecretCipher
    n_rows: int
    n_fit: int
    layout: SlotLayout = field(init=False)
    terms: dict[PartyId, Ready] = field(init=False, default_factory=dict)
    sizes: dict[PartyId, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.layout = SlotLayout.for_rows(self.n_fit, self.cipher.public.plaintext_bits)

    def open(self, n_values: int, max_margins: int) -> Script[None]:
        """Agree on the terms, and introduce hosts to each other."""
        if not self.hosts:
            return
        public = self.cipher.public
        request = Open(
            model_id=self.model_id,
            cipher=public.name,
            key=public.key,
            n_rows=self.n_rows,
            n_fit=self.n_fit,
            n_values=n_values,
            max_margins=max_margins,
        )
        replies = yield dict.fromkeys(self.hosts, request)
        self.terms = {host: expect(replies, host, Ready) for host in self.hosts}
        for host, reply in self.terms.items():
            if not 0 <= reply.n_features <= _MOST_FEATURES:
                raise RemoteProtocolError(host, "bad_value", "has too many features.", "特征过多。")
            if len(reply.mask_key) != KEY_BYTES or not 0 <= reply.exponent <= MOST_EXPONENT:
                raise RemoteProtocolError(host, "bad_value", "sent no public key.", "发送的公钥无效。")
            self.sizes[host] = reply.n_features
        keys = tuple(reply.mask_key for reply in self.terms.values())
        replies = yield dict.fromkeys(self.hosts, Introduce(mask_keys=keys, n_features=tuple(self.sizes.values())))
        for host in self.hosts:
            expect(replies, host, Introduced)

    def moments(self, newton: Newton, woe: Floats) -> Script[Moments]:
        """Gradient and hessian where ``newton`` stands.

        Args:
            woe: the guest's, of the fitted rows.
        """
        gradient, weight = newton.derivatives()
        design = with_intercept(woe)
        own = moments_of(design, gradient, weight)
        if not self.hosts:
            return own
        unit = float(newton.weight.max())
        found = yield from self._blocks(newton.n_steps, gradient / unit, weight / unit, woe, own, unit)
        pairing = BetweenHosts(self.hosts, self.terms, self.sizes, self.n_fit, _BATCH_BYTES)
        between = yield from pairing.sums(newton.n_steps, weight / unit)
        return assembled(own, found, {couple: unit * products for couple, products in between.items()})

    def _blocks(
        self, turn: int, gradient: Floats, weight: Floats, features: Floats, own: Moments, unit: float
    ) -> Script[dict[PartyId, HostBlocks]]:
        """Every host's part, from derivatives of magnitude at most 1, times ``unit``."""
        kinds = self._plaintexts(gradient, weight, features)
        batch = max(1, _BATCH_BYTES // (self.cipher.public.ciphertext_bytes * len(kinds)))
        for start in range(0, self.n_fit, batch):
            piece = [number for kind in kinds for number in kind[start : start + batch]]
            n_stored = min(start + batch, self.n_fit)
            request = Derivatives(round=turn, start=start, ciphertexts=self.cipher.encrypt(piece))
            replies = yield dict.fromkeys(self.hosts, request)
            for host in self.hosts:
                if expect(replies, host, Stored).n_rows != n_stored:
                    raise RemoteProtocolError(host, "bad_value", "lost derivatives.", "遗失了导数。")
        self.cipher.prepare(len(kinds) * self.n_fit)
        totals = self.cipher.encrypt([-sum(kind) for kind in kinds])
        replies = yield dict.fromkeys(self.hosts, Collect(round=turn, ciphertexts=totals))
        n_own = 1 + features.shape[1]
        limit = own.hessian[0, 0], unit * float(np.abs(gradient).sum())
        return {host: self._read(host, expect(replies, host, Blocks), n_own, unit, *limit) for host in self.hosts}

    def _plaintexts(self, gradient: Floats, weight: Floats, features: Floats) -> list[list[int]]:
        """Kind after kind, one number per row."""
        values = np.column_stack([gradient, weight[:, None] * features])
        return [*self.layout.join(fixed(values, VALUE_FRACTION)), fixed(weight, VALUE_FRACTION).tolist()]

    def _read(
        self, host: PartyId, reply: Blocks, n_own: int, unit: float, weight: float, gradient: float
    ) -> HostBlocks:
        """A host's sums, if they can be true: the rows weigh ``weight`` together, their residuals ``gradient``."""
        n, n_pairs = self.sizes[host], self.sizes[host] * (self.sizes[host] + 1) // 2
        n_each = self.layout.n_ciphertexts(n_own)
        try:
            plaintexts = self.cipher.decrypt(reply.ciphertexts)
            each = [self.layout.split(plaintexts[k * n_each : (k + 1) * n_each], n_own) for k in range(n)]
            rest = self.layout.split(plaintexts[n * n_each :], n + n_pairs)
        except CipherError:
            raise RemoteProtocolError(host, "bad_value", "sent sums out of layout.", "发送的合计与布局不符。") from None
        scale = unit / (1 << VALUE_FRACTION + FACTOR_FRACTION)
        numbers = scale * np.array(each, dtype=np.float64).reshape(n, n_own)
        alone = scale * np.array(rest, dtype=np.float64)
        cross = np.column_stack([alone[:n], numbers[:, 1:]])
        found = HostBlocks.of(numbers[:, 0], cross, alone[n:])
        if not found.possible(weight, gradient):
            raise RemoteProtocolError(host, "bad_value", "sent sums no rows have.", "发送的合计不可能成立。")
        return found

    def weigh(self, turn: int, coefficients: Mapping[PartyId, tuple[float, ...]]) -> Script[Floats]:
        """The hosts' part of the margins of fitted rows, shape ``(n_fit,)``."""
        requests = {host: Weigh(round=turn, coefficients=coefficients[host]) for host in self.hosts}
        replies = (yield requests) if requests else {}
        return self.unmasked([expect(replies, host, Margins).values for host in self.hosts], self.n_fit)

    def unmasked(self, parts: Sequence[bytes], n_rows: int) -> Floats:
        """The sum of all hosts' parts, in which the masks cancel."""
        for host, part in zip(self.hosts, parts, strict=True):
            if len(part) != 8 * n_rows:
                raise RemoteProtocolError(host, "bad_value", "sent margins of other rows.", "对数几率的行数不符。")
        numbers = [np.frombuffer(part, dtype="<u8").astype(np.uint64) for part in parts]
        total = reduce(np.add, numbers, np.zeros(n_rows, dtype=np.uint64)).view(np.int64)
        margin: Floats = np.ldexp(total.astype(np.float64), -MARGIN_FRACTION)
        if not (np.abs(margin) <= MOST_PART * len(self.hosts)).all():
            raise RemoteProtocolError(
                ", ".join(self.hosts), "bad_value", "sent margins that cannot be.", "发送的对数几率不可能成立。"
            )
        return margin
