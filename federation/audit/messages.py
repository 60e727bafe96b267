"""Messages of countersigning. Direction, meaning and what each reveals stand in each docstring."""

from __future__ import annotations

from dataclasses import dataclass

from federation.audit.heads import HeadFields
from federation.errors import PartyId
from federation.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadWanted(Message, kind="audit.head_wanted"):
    """Guest → host. ``head``: of the guest's log; ``held``: none, or session and head of the host's log that the guest
    keeps from the last session they ended together.

    Reveals to host: how many entries the guest's audit log has.
    向数据方透露：银行审计日志的条数。
    """

    session: str
    head: HeadFields
    held: tuple[tuple[str, HeadFields], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadShown(Message, kind="audit.head_shown"):
    """Host → guest. ``head``: of the host's log; ``held``: as in ``HeadWanted``, of the guest's log.

    Reveals to guest: how many entries the host's audit log has.
    向银行透露：数据方审计日志的条数。
    """

    head: HeadFields
    held: tuple[tuple[str, HeadFields], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllHeads(Message, kind="audit.all_heads"):
    """Guest → host. ``heads``: of all parties of the session, by name; ``countersignature``: the guest's, of them all.

    Reveals to host: who took part, and how many entries each party's audit log has.
    向数据方透露：参与方名单，以及各方审计日志的条数。
    """

    heads: tuple[HeadFields, ...]
    countersignature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsSigned(Message, kind="audit.heads_signed"):
    """Host → guest. ``countersignature``: the host's, of all heads.

    Reveals to guest: that the host saw the same heads.
    向银行透露：数据方看到的是相同的日志头。
    """

    countersignature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AllSignatures(Message, kind="audit.all_signatures"):
    """Guest → host. ``countersignatures``: party and its signature of all heads, of all parties, by name.

    Reveals to host: that all parties saw the same heads.
    向数据方透露：各方看到的是相同的日志头。
    """

    countersignatures: tuple[tuple[PartyId, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Message, kind="audit.kept"):
    """Host → guest. Heads and countersignatures stand in the host's log.

    Reveals to guest: that they do, as the host says.
    向银行透露：数据方声明已将其写入日志。
    """
