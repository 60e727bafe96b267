"""What a host has at the end of joint binning: its own bins with names, cut points and WOE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from models.errors import ModelError
from models.woe.prebin_json import prebins_from_json, prebins_to_json
from models.woe.prebins import Prebins
from models.woe.tables import WoeBins

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class KeptBin:
    """One final bin as its owner sees it.

    Attributes:
        bin: what its rows have in common.
        count: rows; 0 or at least the host's floor.
        count_share: of all rows that were fitted.
    """

    bin: str
    count: int
    count_share: float
    woe: float


@dataclass(frozen=True, slots=True)
class KeptFeature:
    """One feature of the host.

    Attributes:
        number: under which the guest knows it, from 1: its "host:tax feature 3" is number 3 of ``host:tax``.
        counts: fitted rows per final bin.
    """

    number: int
    prebins: Prebins
    bins: WoeBins
    counts: tuple[int, ...]

    @property
    def table(self) -> tuple[KeptBin, ...]:
        """Final bins without goods and bads, which the host is not told.

        It can work them out, though. With ``r`` = all bads / all goods, ``WOE = ln(goods / bads * r)``, so a bin has
        ``count / (1 + exp(WOE) / r)`` bads, and there is one positive ``r`` for which these add up to ``r / (1 + r)``
        of all rows. So counts and WOE of one feature with two different WOEs tell the bad rate of the run, and with it
        goods and bads of every final bin of every feature. That is why the guest tells no WOE of a bin with fewer
        goods or bads than its minimum cell, and leaves out no bin that could be had as the rest.
        """
        n_rows = sum(self.counts)
        return tuple(
            KeptBin(self.prebins.describe(codes), count, count / n_rows, woe)
            for codes, count, woe in zip(self.bins.members(), self.counts, self.bins.woe, strict=True)
        )


@dataclass(frozen=True, slots=True)
class KeptBins:
    """All features of the host, in the order of its table."""

    features: tuple[KeptFeature, ...]

    def to_json(self) -> dict[str, Any]:
        features = [{"number": f.number, "bins": f.bins.to_json(), "counts": list(f.counts)} for f in self.features]
        prebins = prebins_to_json(tuple(f.prebins for f in self.features))
        return {"format": FORMAT, "prebins": prebins, "features": features}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> KeptBins:
        """Exactly what ``to_json`` was given. Raises ``ModelError`` with code ``woe_unreadable``; as
        ``prebins_from_json``."""
        try:
            prebins = prebins_from_json(data["prebins"])
            features = tuple(
                KeptFeature(int(f["number"]), p, WoeBins.from_json(f["bins"]), tuple(f["counts"]))
                for p, f in zip(prebins, data["features"], strict=True)
            )
            sound = data["format"] == FORMAT and all(
                f.bins.name == f.prebins.name and len(f.counts) == f.bins.n_bins for f in features
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable() from error
        if not sound:
            raise _unreadable()
        return cls(features)


def _unreadable() -> ModelError:
    return ModelError(
        "woe_unreadable",
        "Stored bins of this party lack fields or have wrong ones. Bin again or restore the file.",
        "本方存储的分箱缺少字段或字段有误，请重新分箱或恢复文件。",
    )
