"""Messages of sums under a key that sites share: making the key, and opening a sum."""

from __future__ import annotations

from dataclasses import dataclass

from federation.errors import PartyId
from federation.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Message, kind="threshold.open"):
    """Coordinator → site: let us make keys. ``epoch``: a number used once in the session; ``sites``: who is asked,
    sorted; ``threshold``: how many open a sum; ``n_keys``: numbers that share one point of randomness.

    Reveals to site: who takes part.
    向站点透露：参与站点名单。
    """

    session: str
    epoch: int
    sites: tuple[PartyId, ...]
    threshold: int
    n_keys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed(Message, kind="threshold.committed"):
    """Site → coordinator. ``sealing_key``: X25519 public key for shares; ``commitments``: of each key's polynomial,
    ``threshold`` points of 32 bytes; ``proof``: that the site knows its secrets, 64 bytes; ``signature``: of all
    that and of what was opened.

    Reveals to coordinator: public keys.
    向协调方透露：公钥。
    """

    sealing_key: bytes
    commitments: bytes
    proof: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AllCommitted(Message, kind="threshold.all_committed"):
    """Coordinator → site. ``sites``: party, sealing key, commitments, proof and signature of each that sent them.

    Reveals to site: public keys of the others.
    向站点透露：其他站点的公钥。
    """

    sites: tuple[tuple[PartyId, bytes, bytes, bytes, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt(Message, kind="threshold.dealt"):
    """Site → coordinator. ``shares``: receiver and, sealed to it, its share of each key this site deals.

    Reveals to coordinator: nothing; it hands on what it cannot open.
    向协调方透露：无；其仅转交无法打开的密文。
    """

    shares: tuple[tuple[PartyId, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver(Message, kind="threshold.deliver"):
    """Coordinator → site. ``shares``: sender and what it sealed to this site.

    Reveals to site: one share of each secret of the others, which tells nothing below the threshold.
    向站点透露：其他站点每个秘密的一个分片；未达门限时不含任何信息。
    """

    shares: tuple[tuple[PartyId, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyMade(Message, kind="threshold.key_made"):
    """Site → coordinator. ``signature``: of the sum of all public keys, and of who dealt.

    Reveals to coordinator: that the site has its shares, and under which keys it will encrypt.
    向协调方透露：该站点已收齐分片，及其将使用的加密公钥。
    """

    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm(Message, kind="threshold.confirm"):
    """Coordinator → site. ``signatures``: party and its signature of the keys.

    Reveals to site: that the others have the same keys.
    向站点透露：其他站点的公钥与其一致。
    """

    signatures: tuple[tuple[PartyId, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(Message, kind="threshold.ready"):
    """Site → coordinator. It will encrypt under these keys.

    Reveals to coordinator: that it will.
    向协调方透露：该站点确认使用这些公钥。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSum(Message, kind="threshold.open_sum"):
    """Coordinator → site. ``contributions``: party, points of randomness, proof and signature of every contributor,
    sorted; ``openers``: the sites that open the sum, as many as the threshold; ``n_numbers``: in each vector.

    Reveals to site: who has contributed, and who opens.
    向站点透露：本轮已提交的站点与参与开启的站点。
    """

    turn: int
    contributions: tuple[tuple[PartyId, bytes, bytes, bytes], ...]
    openers: tuple[PartyId, ...]
    n_numbers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Partials(Message, kind="threshold.partials"):
    """Site → coordinator. ``points``: this site's part of what covers each number of the sum, 32 bytes each.

    Reveals to coordinator: with those of all openers the sum of all contributions, and nothing less.
    向协调方透露：与全部开启站点的份额合并后，仅得全部提交之和，不能得到其中任何部分。
    """

    points: bytes
