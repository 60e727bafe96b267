"""Joint boosting, host side: what a host makes of the ways to cut that it is told, and which cuts it refuses.

A guest unites levels of a category at will, so the rows on both sides are counted anew here, whatever was shown before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federation.responder import bad_value
from models.binning import Codes, FeatureBins
from models.boosting.sets import Way
from models.boosting.splits import Mask, Split, goes_left
from models.losses import Integers


def own_way(way: Way, offered: Mask, order: NDArray[np.int64], categories: Integers) -> Way:
    """A way by candidates instead of places.

    Args:
        offered: which places may be chosen for the node.
        order: candidate at each place.
        categories: of each candidate, as ``Candidates.categories`` has it.

    Raises:
        LocalProtocolError: ``bad_value`` for what was not offered, or a set of anything but levels of one category.
    """
    sure, alike, n = way
    places = [*sure, *alike]
    inside = all(0 <= place < len(order) for place in places)
    if not inside or not offered[places].all() or len(set(places)) < len(places) or not 1 <= n <= len(alike):
        raise bad_value("a choice that was not offered", "选择了未提供的切分")
    if len(sure) + n > 1 and (len(set(categories[order[places]].tolist())) > 1 or not categories[order[alike[0]]]):
        raise bad_value("a set of cuts that are not levels of one category", "所选切分并非同一类别特征的取值")
    return tuple(order[list(sure)].tolist()), tuple(order[list(alike)].tolist()), n


def check_rows(split: Split, bins: FeatureBins, codes: Codes, floor: int, min_child_samples: int) -> None:
    """Whether both sides of a cut, and each level of a set, hold rows enough.

    Args:
        codes: of the node's rows that take part in the tree.

    Raises:
        LocalProtocolError: ``bad_value``.
    """
    n_left = int(goes_left(split, bins, codes).sum())
    sides = [n_left, len(codes) - n_left]
    levels = [int((codes == code).sum()) for code in (split.code, *split.also)] if bins.category else []
    if min(sides + levels) < max(1, floor) or min(sides) < min_child_samples:
        raise bad_value("a cut that leaves too few rows on one side", "切分的一侧行数过少")
