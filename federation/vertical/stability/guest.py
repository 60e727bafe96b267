"""How hosts' features have moved, guest side: asks once the model is sealed, and checks what it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import Final

from federation.errors import PartyId, RemoteProtocolError
from federation.expect import expect
from federation.script import Script
from federation.vertical.stability.messages import Shifts, Wanted, Withheld
from models.validation.features import MINIMUM, FeatureShift
from models.validation.stability import Shift, reading

#: No two samples of fewer than 2**63 rows without an empty bin are further apart: 2 ln(2**63), in thousandths.
_MOST_INDEX: Final = 87_338


def ask_shifts(
    names: Mapping[PartyId, Sequence[str]], n_rows: int, n_fit: int, n_valid: int, minimum: int = MINIMUM
) -> Script[tuple[FeatureShift, ...]]:
    """Shifts of the hosts' features between fitted and held-out rows; nothing is asked where there are none of either.

    Args:
        names: host → what the guest calls its features of the model, in the order of their numbers.
        n_rows: of the run: the first ``n_fit`` were fitted, ``n_valid`` more only watched, the others held out.
        minimum: fewest rows behind a share, at least 1.

    Raises:
        RemoteProtocolError: ``bad_value`` naming a host whose answer cannot be true.
    """
    asked = [host for host, features in names.items() if features and n_fit + n_valid < n_rows]
    if not asked:
        return ()
    replies = yield dict.fromkeys(asked, Wanted(n_fit=n_fit, n_valid=n_valid, minimum=minimum))
    found: list[FeatureShift] = []
    for host in asked:
        withheld = isinstance(replies.get(host), Withheld)
        told = () if withheld else expect(replies, host, Shifts).shifts
        if len(told) not in {0, len(names[host])}:
            raise RemoteProtocolError(host, "bad_value", "told of other features.", "返回的特征不符。")
        shifts: Sequence[Shift | None] = [_shift(host, *one) for one in told] or [None] * len(names[host])
        found += [FeatureShift(n, s, host, withheld) for n, s in zip(names[host], shifts, strict=True)]
    return tuple(found)


def _shift(host: PartyId, index: int, expected: int, actual: int) -> Shift:
    """Checked: no index is smaller than what its bin that moved most adds."""
    shares_fit = 0 <= expected <= 100 and 0 <= actual <= 100
    if not shares_fit or not _least_index(expected, actual) <= index <= _MOST_INDEX:
        raise RemoteProtocolError(
            host, "bad_value", "told shares or an index that cannot be.", "返回的占比或稳定性指标不可能成立。"
        )
    return Shift(index / 1000, reading(index / 1000), (expected / 100, actual / 100))


def _least_index(expected: int, actual: int) -> float:
    """In thousandths: of a bin with the first share, or what rounds to it, and all other rows (log sum inequality)."""
    low, high = min(expected, actual) + 0.5, max(expected, actual) - 0.5
    if high <= low:
        return 0.0
    bins = ((low, high), (100 - low, 100 - high))
    return 10 * sum((b - a) * log(b / a) for a, b in bins) - 0.5
