"""Messages of alignment. Direction, meaning and what each reveals stand in each docstring."""

from __future__ import annotations

from dataclasses import dataclass

from federation.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindedIds(Message, kind="alignment.blinded_ids"):
    """Guest → host. ``points``: 32 bytes per identifier, at most 16,384, blinded (RFC 9497 ``BlindedElement``).

    Reveals to host: how many identifiers the guest holds; nothing about them.
    向数据方透露：银行持有的标识数量；不透露标识本身。
    """

    points: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedIds(Message, kind="alignment.evaluated_ids"):
    """Host → guest. ``points``: the same points under the host's key, same order.

    Reveals to guest: nothing until compared with the host's tokens.
    向银行透露：在与数据方令牌比对之前，无任何信息。
    """

    points: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensWanted(Message, kind="alignment.tokens_wanted"):
    """Guest → host. Asks for the tokens of the host's own identifiers, from the ``start``-th: all those before it were
    shown.

    Reveals to host: nothing.
    向数据方透露：无。
    """

    start: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens(Message, kind="alignment.tokens"):
    """Host → guest. ``tokens``: 16 bytes per identifier of the host, the next 16,384 in a fresh random order of all; if
    fewer, there are no more.

    Reveals to guest: how many rows the host holds, and which of the guest's own applicants are among them; of all
    others only random-looking tokens.
    向银行透露：数据方的行数，以及银行自己的申请人中哪些在其中；其余仅为随机令牌。
    """

    tokens: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsPart(Message, kind="alignment.rows_part"):
    """Guest → host. ``positions``: uint32 per row, at most 16,384, as in ``RowsChosen``; more follow.

    Reveals to host: that these of its own rows take part.
    向数据方透露：其中这些行参与本次运行。
    """

    positions: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsChosen(Message, kind="alignment.rows_chosen"):
    """Guest → host. ``positions``: uint32 per row of the run, where its token stood among ``Tokens``, in run order; at
    most 16,384, the last after any ``RowsPart``.

    Reveals to host: which of its own rows take part, hence that these are applicants of the bank and known to all
    parties.
    向数据方透露：其哪些行参与本次运行，即这些主体是该银行的申请人且为各方共有。
    """

    positions: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsAccepted(Message, kind="alignment.rows_accepted"):
    """Host → guest. ``n_rows`` rows were taken down so far; after ``RowsChosen`` they are set.

    Reveals to guest: that the host's minimum is met, once they are set.
    向银行透露：选定完成后，已达到数据方的最低行数要求。
    """

    n_rows: int
