"""Messages of masked sums. Round numbers are those of Bonawitz et al. 2017, figure 4."""

from __future__ import annotations

from dataclasses import dataclass

from federation.errors import PartyId
from federation.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Message, kind="masking.open"):
    """Coordinator → site: round 0 of ``n_turns`` sums at once. ``batch``: a number used once in the session; ``sites``:
    who is asked, sorted; ``threshold``: how many must agree to open a sum.

    Reveals to site: who takes part.
    向站点透露：参与站点名单。
    """

    session: str
    batch: int
    sites: tuple[PartyId, ...]
    threshold: int
    n_turns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys(Message, kind="masking.keys"):
    """Site → coordinator, round 0. ``sealing_key``: X25519 public key, of this batch, for all that two sites agree on;
    ``signature``: of it and of what was opened.

    Reveals to coordinator: a public key.
    向协调方透露：公钥。
    """

    sealing_key: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AllKeys(Message, kind="masking.all_keys"):
    """Coordinator → site, round 1. ``keys``: party, sealing key and signature of every site that sent them.

    Reveals to site: public keys of the others.
    向站点透露：其他站点的公钥。
    """

    keys: tuple[tuple[PartyId, bytes, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedShares(Message, kind="masking.sealed_shares"):
    """Site → coordinator, round 1. ``shares``: receiver and, sealed to it, its shares of the site's pair seeds and own
    seeds of all turns; ``pair_keys``: of each turn, sealed under its pair seed, the keys of the masks with each other
    site, 32 bytes each and 16 more.

    Reveals to coordinator: nothing; it hands on, and keeps, what it cannot open.
    向协调方透露：无；其仅转交或保管无法打开的密文。
    """

    shares: tuple[tuple[PartyId, bytes], ...]
    pair_keys: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver(Message, kind="masking.deliver"):
    """Coordinator → site, end of round 1. ``shares``: sender and what it sealed to this site.

    Reveals to site: one share of each secret of the others, which tells nothing until a threshold of sites put theirs
    together.
    向站点透露：其他站点每个秘密的一个分片；未达门限数量的分片合并前不含任何信息。
    """

    shares: tuple[tuple[PartyId, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(Message, kind="masking.ready"):
    """Site → coordinator. It has its shares.

    Reveals to coordinator: that it has.
    向协调方透露：该站点已收齐分片。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributors(Message, kind="masking.contributors"):
    """Coordinator → site, round 3. ``parties``: whose masked vectors have come in this turn, sorted.

    Reveals to site: who has contributed, and so who has left.
    向站点透露：本轮已提交与已掉线的站点。
    """

    turn: int
    parties: tuple[PartyId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed(Message, kind="masking.agreed"):
    """Site → coordinator, round 3. ``vouchers``: each other contributor and, for it, a MAC of the contributors.

    Reveals to coordinator: that the site was told these contributors.
    向协调方透露：该站点确认所见的提交名单。
    """

    vouchers: tuple[tuple[PartyId, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmask(Message, kind="masking.unmask"):
    """Coordinator → site, round 4. ``vouchers``: as many other parties as make up the threshold with the site itself,
    and the MAC of each for this site.

    Reveals to site: that the others were told the same contributors.
    向站点透露：其他站点所见的提交名单一致。
    """

    turn: int
    vouchers: tuple[tuple[PartyId, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmasked(Message, kind="masking.unmasked"):
    """Site → coordinator, round 4. ``seeds``: the site's share of the own seed of each contributor, in order, 32 bytes
    each; ``keys``: its share of the pair seed, of this turn, of each site that has left.

    Reveals to coordinator: with those of a threshold of sites, what takes the masks off the sum of all contributions of
    this turn, and off nothing less.
    向协调方透露：与达到门限数量的其他站点合并后，仅可去除本轮全部提交之和的掩码，不能去除其中任何部分的掩码。
    """

    seeds: bytes
    keys: bytes
