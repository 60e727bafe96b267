"""Learning in both directions, a bank's half towards its hosts: sums and sides of features that lie with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.interface import SecretCipher
from federation.ciphers.packing import PairPacking
from federation.errors import InvalidCiphertext, PartyId, PlaintextOverflow, RemoteProtocolError
from federation.expect import expect
from federation.horizontal.aggregation.interface import Contributing, Numbers
from federation.horizontal.boosting.messages import CutFields, FeatureFields
from federation.horizontal.boosting.rows import TableFeatures
from federation.hybrid.messages import (
    Agreed,
    CountsWanted,
    Sides,
    SidesWanted,
    SumsWanted,
    Terms,
    Veiled,
    VeiledSums,
)
from federation.hybrid.veils import HIDING_BITS, Veils
from federation.messages import Message
from federation.responder import bad_value
from federation.script import Script, Wire, Witness, run
from federation.vertical.batches import BATCH
from federation.vertical.bits import pack_bits, unpack_bits
from federation.vertical.boosting.messages import Gradients, Stored
from models.boosting.derivatives import Derivatives
from models.boosting.splits import Mask

T = TypeVar("T")

#: More than any honest host has; bounds what a hostile one makes the bank allocate.
MOST_BINS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Hosts:
    """A bank's way to the hosts of its city.

    Attributes:
        parties: kind → host.
        wire: to them.
    """

    parties: Mapping[str, PartyId]
    wire: Wire
    witness: Witness | None = None

    def ask(self, script: Script[T]) -> T:
        """Run a script with them to its end."""
        return run(script, self.wire, self.witness)


@dataclass(slots=True)
class HostedCounts:
    """A site's contributor to joint bins: behind the bank's own counts stand those of its hosts, veiled."""

    inner: Contributing
    hosts: Hosts
    veils: Veils

    def contribute(self, values: Numbers, bound: int) -> Message:  # noqa: ARG002 - shares need more room than counts
        parts = self.hosts.ask(self._counts())
        return self.inner.contribute(np.concatenate([values, *parts]), self.veils.bound)

    def _counts(self) -> Script[list[Numbers]]:
        replies = yield dict.fromkeys(self.hosts.parties.values(), CountsWanted())
        found = []
        for host in self.hosts.parties.values():
            data = expect(replies, host, Veiled).numbers
            if len(data) % 8:
                raise _misfit(host)
            found.append(self.veils.residues(np.frombuffer(data, dtype="<i8").tolist()))
        return found


@dataclass(slots=True)
class HostedFeatures:
    """``Features`` of a table and hosts. Numbers of features after the bank's own stand for one host each, in the order
    of ``hosts``: the coordinator tells which cut it is to the host alone.

    Attributes:
        new_cipher: number of encryptions to come → a fresh key.
    """

    own: TableFeatures
    hosts: Hosts
    veils: Veils
    new_cipher: Callable[[int], SecretCipher]
    cipher: SecretCipher = field(init=False)
    packing: PairPacking = field(init=False)
    n_bins: dict[PartyId, int] = field(init=False)
    told: int = -1
    _given: tuple[tuple[object, ...], Numbers] | None = None

    def open(self, features: tuple[FeatureFields, ...]) -> None:
        self.own.open(features)
        self.cipher = self.new_cipher(len(self.own.table))
        self.packing = PairPacking.for_rows(1, self.veils.bits + HIDING_BITS, self.cipher.public.plaintext_bits)
        self.n_bins = self.hosts.ask(self._agree())

    @property
    def bound(self) -> int | None:
        return self.veils.bound

    def left(self, tree: int, cuts: Sequence[CutFields]) -> Mask:
        kinds = list(self.hosts.parties.values())
        n_own = len(self.own.candidates.bins)
        if not all(0 <= feature < n_own + len(kinds) for _, feature, *_ in cuts):
            raise bad_value("cuts", "切分")
        asked: dict[PartyId, list[int]] = {}
        for k, (_, feature, *_) in enumerate(cuts):
            if feature >= n_own:
                asked.setdefault(kinds[feature - n_own], []).append(k)
        mine = [k for k, (_, feature, *_) in enumerate(cuts) if feature < n_own]
        left = np.zeros((len(cuts), len(self.own.table)), dtype=bool)
        left[mine] = self.own.left(tree, [cuts[k] for k in mine])
        if asked:
            for host, sides in self.hosts.ask(self._sides(tree, {h: len(of) for h, of in asked.items()})).items():
                left[asked[host]] = sides
        return left

    def sums(
        self, tree: int, told: Derivatives, at: NDArray[np.int64], cuts: Sequence[CutFields], nodes: Sequence[int]
    ) -> Numbers:
        wanted = (tree, tuple(cuts), tuple(nodes))
        if self._given is None or self._given[0] != wanted:
            own = self.own.sums(tree, told, at, cuts, nodes)
            self._given = wanted, np.concatenate([own, *self.hosts.ask(self._sums(tree, told, at, cuts, nodes))])
        return self._given[1]  # asked again where a sum was not opened; hosts veil a node once

    # -- scripts -------------------------------------------------------------------------------------------------------

    @property
    def _parties(self) -> Iterable[PartyId]:
        return self.hosts.parties.values()

    def _agree(self) -> Script[dict[PartyId, int]]:
        public = self.cipher.public
        replies = yield dict.fromkeys(self._parties, Terms(cipher=public.name, key=public.key))
        found = {host: expect(replies, host, Agreed).n_bins for host in self._parties}
        for host, n_bins in found.items():
            if not 0 < n_bins <= MOST_BINS:
                raise _misfit(host)
        return found

    def _sides(self, tree: int, n_cuts: Mapping[PartyId, int]) -> Script[dict[PartyId, Mask]]:
        replies = yield dict.fromkeys(n_cuts, SidesWanted(tree=tree))
        found = {}
        for host, n in n_cuts.items():
            try:
                found[host] = unpack_bits(expect(replies, host, Sides).left, n, len(self.own.table))
            except ValueError:
                raise _misfit(host) from None
        return found

    def _sums(
        self, tree: int, told: Derivatives, at: NDArray[np.int64], cuts: Sequence[CutFields], nodes: Sequence[int]
    ) -> Script[list[Numbers]]:
        if tree != self.told:
            yield from self._send(tree, told)
            self.told = tree
        # Only cuts whose children are looked at are told: a host does not learn the row sets of other leaves.
        wanted = [(node, left, right) for node, *_, left, right in cuts if {left, right} & set(nodes)]
        lefts = pack_bits(np.isin(at, [left for _, left, _ in wanted])) if wanted else b""
        request = SumsWanted(tree=tree, cuts=tuple(wanted), left=lefts, nodes=tuple(nodes))
        replies = yield dict.fromkeys(self._parties, request)
        return [self._share(host, expect(replies, host, VeiledSums), len(nodes)) for host in self._parties]

    def _share(self, host: PartyId, reply: VeiledSums, n_nodes: int) -> Numbers:
        """The bank's share of the sums: of each node those of g, then those of h."""
        n_bins = self.n_bins[host]
        try:
            g, h = self.packing.split(self.cipher.decrypt(reply.ciphertexts), n_nodes * n_bins)
        except (ValueError, PlaintextOverflow, InvalidCiphertext):
            raise _misfit(host) from None
        pair = [self.veils.residues(values).reshape(n_nodes, n_bins) for values in (g, h)]
        return np.stack(pair, axis=1).reshape(-1)

    def _send(self, tree: int, told: Derivatives) -> Script[None]:
        """Every row's g and h, encrypted, batch by batch, as in joint boosting (SecureBoost §4.2)."""
        for start in range(0, len(told.g), BATCH):
            rows = slice(start, start + BATCH)
            numbers = self.packing.join(told.g[rows].tolist(), told.h[rows].tolist())
            batch = Gradients(tree=tree, start=start, rows=b"", ciphertexts=self.cipher.encrypt(numbers))
            replies = yield dict.fromkeys(self._parties, batch)
            for host in self._parties:
                if expect(replies, host, Stored).n_rows != start + len(numbers):
                    raise RemoteProtocolError(host, "bad_value", "lost gradients.", "遗失了梯度。")


def _misfit(host: PartyId) -> RemoteProtocolError:
    return RemoteProtocolError(
        host,
        "bad_value",
        "answered with numbers or rows that do not fit. The run stops at this bank.",
        "返回的数值或行不符。本银行的运行已停止。",
    )
