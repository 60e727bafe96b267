"""Learning in both directions, the coordinator: joint bins and horizontal boosting over banks and their hosts.

Both run as they are (``federation.horizontal``). What they ask of sites is divided here among banks and hosts, and what
comes back is put together by ``UnveilingAggregation``. Hosts are told first, so that banks find them ready.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from federation.ciphers.words import Words
from federation.errors import PartyId, RemoteProtocolError
from federation.expect import expect
from federation.horizontal.aggregation.interface import Aggregation
from federation.horizontal.aggregation.rules import SiteRules
from federation.horizontal.binning.coordinator import Feature, joint_bins
from federation.horizontal.binning.messages import FIRST_BITS
from federation.horizontal.binning.messages import Opened as OpenedBinning
from federation.horizontal.boosting.coordinator import Grown, HorizontalBoosting
from federation.horizontal.boosting.messages import Opened
from federation.hybrid.layout import DIVIDED, Layout
from federation.hybrid.messages import Held, Join, Joined, Seal, Sealed, Seeds, SeedsWanted
from federation.hybrid.unveiling import UnveilingAggregation
from federation.hybrid.veils import SEED_BYTES, Veils
from federation.messages import Goodbye, Message
from federation.script import Replies, Requests, Script
from models.binning import FeatureBins
from models.boosting.derivatives import DERIVATIVE_BITS
from models.boosting.parameters import BoostingParameters
from models.boosting.splits import Split
from models.boosting.trees import Node
from models.bundle import Half, JointModel
from models.errors import ModelError

T = TypeVar("T")

#: bank → kind of host → host
Cities = Mapping[PartyId, Mapping[str, PartyId]]


@dataclass(frozen=True, slots=True)
class Learnt:
    """Attributes:
    models: of each bank: the same trees, cuts of hosts' features at the hosts of its own city.
    whole: the same trees with every cut in one place, which nobody but the coordinator has.
    bins: of all features, banks' first.
    contributors: of each tree, whose rows are in it.
    complete: whether all trees are there; if not, too few banks were left for more.
    """

    models: Mapping[PartyId, JointModel]
    whole: JointModel
    bins: tuple[FeatureBins, ...]
    contributors: tuple[tuple[PartyId, ...], ...]
    complete: bool = True


@dataclass(slots=True)
class HybridLearning:
    """One model over banks that have different applicants and hosts that have different features.

    Attributes:
        aggregation: over banks; masked sums (sums under a shared key are too small for shares).
        cities: hosts of each bank; all have the same kinds. A host may serve many banks.
        features: of banks, all alike; ``hosted``: of each kind of host, at least one.
        parameters: as ``HorizontalBoosting``.
        most_rows: of one bank.
        min_rows_per_bin: fewest rows of a joint bin, over all banks.
        progress: called with the number of trees after each.
        watch: called with the stage that begins: ``alignment``, ``binning``, ``training``.
        waiting: banks that stood aside (``Presence.keep_company``).

    Raises:
        ModelError: ``bad_parameter``: a kind of host is missing somewhere, or nothing is asked of one.
        PlaintextOverflow: sums of so many banks and rows do not fit.
    """

    model_id: str
    aggregation: Aggregation
    cities: Cities
    features: Sequence[Feature]
    hosted: Mapping[str, Sequence[Feature]]
    parameters: BoostingParameters
    most_rows: int
    rules: SiteRules = field(default_factory=SiteRules)
    min_rows_per_bin: int = 20
    progress: Callable[[int], None] = lambda _: None
    watch: Callable[[str], None] = lambda _: None
    layout: Layout = field(init=False)
    veils: Veils = field(init=False)
    waiting: set[PartyId] = field(default_factory=set)

    def __post_init__(self) -> None:
        kinds = tuple(self.hosted)
        lacking = [bank for bank, hosts in self.cities.items() if tuple(hosts) != kinds]
        if lacking or not kinds or not self.features or not all(self.hosted.values()):
            raise ModelError(
                "bad_parameter",
                f"Every bank needs a host of each kind ({', '.join(kinds)}) in its city, and every party a feature. "
                f"Banks without: {', '.join(lacking) or 'none'}. Leave them out, or leave out what they lack.",
                f"每家银行所在城市须具备全部类型的数据方（{'、'.join(kinds)}），且各方至少提供一个特征。"
                f"不满足的银行：{'、'.join(lacking) or '无'}。请剔除这些银行，或剔除其缺少的数据方类型。",
            )
        self.layout = Layout(kinds, (len(self.features), *map(len, self.hosted.values())))
        largest = len(self.cities) * (self.most_rows << DERIVATIVE_BITS)
        self.veils = Veils(largest.bit_length() + 1)
        Words.for_sum(len(self.cities), self.veils.bound)  # shares are larger than what they are shares of

    def learn(self) -> Script[Learnt]:
        """Align, bin, boost, seal. Hosts wait for more: ``part`` is the last of it.

        Raises:
            LocalProtocolError: ``too_few_sites`` once fewer banks than the threshold are left.
            RemoteProtocolError: of a host that answers with something else than was due.
        """
        presence = self.aggregation.presence
        self.rules.check_sites(len(presence.sites))  # before anybody has aligned anything
        asked = presence.sites
        self.watch("alignment")
        joining = Join(kinds=self.layout.kinds, veil_bits=self.veils.bits)
        presence.arrived((yield dict.fromkeys(asked, joining)), asked, Joined)
        unveiling = UnveilingAggregation(self.aggregation, self.layout, self.veils, (yield from self._seeds()))
        self.watch("binning")
        everything = [*self.features, *(f for of in self.hosted.values() for f in of)]
        unveiling.sizes = tuple(len(f.levels) + 2 if f.category else (1 << FIRST_BITS) + 1 for f in everything)
        p = self.parameters
        binning = joint_bins(unveiling, everything, p.max_bin, self.most_rows, self.min_rows_per_bin)
        bins = yield from self._divided(binning)
        unveiling.sizes = tuple(b.n_bins for b in bins)
        self.watch("training")
        boosting = HorizontalBoosting(self.model_id, unveiling, bins, p, self.most_rows, self.progress)
        grown = yield from self._divided(boosting.fit())
        sealed = yield dict.fromkeys(self._hosts(presence.sites), Seal(n_trees=len(grown.model.trees)))
        halves = {host: expect(sealed, host, Sealed) for host in sealed}
        learning = sorted({*presence.sites, *self.waiting})
        complete = [bank for bank in learning if set(self.cities[bank].values()) <= set(halves)]
        models = {bank: self._model_of(bank, grown, halves) for bank in complete}
        return Learnt(models, grown.model, bins, grown.contributors, grown.complete)

    def part(self, banks: Iterable[PartyId]) -> Script[None]:
        """Let the hosts of these banks go."""
        yield dict.fromkeys(self._hosts(banks), Goodbye(code=""))

    def _hosts(self, banks: Iterable[PartyId]) -> dict[PartyId, int]:
        """Hosts of these banks, and the place of the kind of each."""
        return {host: k for bank in banks for k, host in enumerate(self.cities[bank].values(), start=1)}

    def _seeds(self) -> Script[dict[PartyId, dict[str, bytes]]]:
        presence = self.aggregation.presence
        hosts = self._hosts(presence.sites)
        replies = yield dict.fromkeys(hosts, SeedsWanted(veil_bits=self.veils.bits))
        given = {host: dict(expect(replies, host, Seeds).seeds) for host in hosts if host in replies}
        for host, of_banks in given.items():
            if any(len(seed) != SEED_BYTES for seed in of_banks.values()):
                raise RemoteProtocolError(host, "bad_value", "sent seeds that are none.", "发送的种子无效。")
        found = {
            bank: {kind: given.get(host, {}).get(bank, b"") for kind, host in self.cities[bank].items()}
            for bank in presence.sites
        }
        presence.sites = tuple(bank for bank in presence.sites if all(found[bank].values()))
        return found

    def _divided(self, script: Script[T]) -> Script[T]:
        """Run a script for sites over banks and hosts."""
        replies: Replies | None = None
        while True:
            try:
                requests = next(script) if replies is None else script.send(replies)
            except StopIteration as done:
                value: T = done.value
                return value
            replies = yield from self._passed(requests)

    def _passed(self, requests: Requests) -> Script[Replies]:
        request = next(iter(requests.values()), None)
        if not isinstance(request, DIVIDED):
            return (yield requests)
        # Who stands aside in a tree is told none of it: it has the model at the end, if its hosts have their halves.
        banks = [bank for bank in requests if bank in self.aggregation.presence.sites]
        self.waiting |= set(requests) - set(banks)
        if not banks:
            return (yield {})
        of_bank, *of_kinds = self.layout.divided(requests[banks[0]])
        hosts = self._hosts(banks)
        told: dict[PartyId, Message] = {host: m for host, k in hosts.items() if (m := of_kinds[k - 1]) is not None}
        answers = (yield told) if told else {}
        for host in answers:
            if not isinstance(answers[host], Held | OpenedBinning | Opened):
                raise RemoteProtocolError(
                    host, "out_of_turn", "answered with another message than was due.", "返回的消息与预期不符。"
                )
        away = set(told) - set(answers)
        assert of_bank is not None
        # A bank whose host is away is not asked, and so has left.
        return (yield {bank: of_bank for bank in banks if not away & set(self.cities[bank].values())})

    def _model_of(self, bank: PartyId, grown: Grown, halves: Mapping[PartyId, Sealed]) -> JointModel:
        """The model with every cut at its owner, numbered as its owner has them."""
        parties = (bank, *self.cities[bank].values())
        splits: list[list[Split]] = [[] for _ in parties]
        at: list[tuple[PartyId, int]] = []
        for split in grown.model.own.splits:
            owner, feature = self.layout.place(split.feature)
            at.append((parties[owner], len(splits[owner])))
            splits[owner].append(replace(split, feature=feature))

        def owned(node: Node) -> Node:
            if not node.owner:
                return node
            owner, handle = at[node.handle]
            return replace(node, owner=owner, handle=handle)

        n_own = self.layout.n_features[0]
        hosts = parties[1:]
        return JointModel(
            Half(self.model_id, bank, grown.model.own.bins[:n_own], tuple(splits[0])),
            tuple([owned(node) for node in tree] for tree in grown.model.trees),
            grown.model.base_margin,
            {host: halves[host].digest for host in hosts},
            host_features={host: halves[host].features for host in hosts if halves[host].features},
        )
