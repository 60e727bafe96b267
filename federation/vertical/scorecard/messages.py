"""Messages between joint binning and the joint scorecard: which features go on."""

from __future__ import annotations

from dataclasses import dataclass

from federation.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected(Message, kind="scorecard.selected"):
    """Guest → host. ``numbers``: the host's features that the scorecard uses, as numbered in joint binning, each once,
    those with most information value first.

    Reveals to host: which of its features were kept.
    向数据方透露：其哪些特征被采用。
    """

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Message, kind="scorecard.accepted"):
    """Host → guest. It goes on with so many features.

    Reveals to guest: nothing.
    向银行透露：无。
    """

    n_features: int
