"""Messages of horizontal boosting: the coordinator tells trees, sites contribute sums."""

from __future__ import annotations

from dataclasses import dataclass

from federation.messages import Message

#: name, whether a category, edges, levels, whether rarer levels share a bin, whether missing has one
FeatureFields = tuple[str, bool, tuple[float, ...], tuple[str, ...], bool, bool]
#: node, feature, code, whether missing goes left, left child, right child
CutFields = tuple[int, int, int, bool, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Message, kind="horizontal.boosting.open"):
    """Coordinator → site. ``features``: the bins all sites use; ``most_rows``: no site may have more, so that sums are
    known to fit; ``max_depth``: of all trees; ``most_sums``: sites will be asked for no more; ``noise``: of each sum,
    made by sites together, over what one applicant moves it by (L2); 0 for none. ``goes_on``: number of trees from
    which a run that died goes on; -1: it did not.

    Reveals to site: the bins chosen jointly; whether the run died, and how far it had come.
    向站点透露：共同选定的分箱；运行是否曾中断及其进度。
    """

    model_id: str
    features: tuple[FeatureFields, ...]
    most_rows: int
    max_depth: int
    most_sums: int
    noise: float
    goes_on: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Message, kind="horizontal.boosting.opened"):
    """Site → coordinator. Its table has these columns and fits these bins.

    Reveals to coordinator: that it does; where a run goes on, that its rows and their values are those of then (if not
    it declines, which tells that they changed).
    向协调方透露：该站点的数据表与分箱相符；恢复运行时，其数据行与取值未变（若有变则拒绝，由此可知有变）。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsWanted(Message, kind="horizontal.boosting.labels_wanted"):
    """Coordinator → site. Contribute the number of your rows and of your defaults.

    Reveals to site: nothing.
    向站点透露：无。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(Message, kind="horizontal.boosting.start"):
    """Coordinator → site. ``base_margin``: where boosting starts, the log-odds of default over all sites.

    Reveals to site: the rate of defaults over all sites.
    向站点透露：全部站点合计的违约率。
    """

    base_margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Message, kind="horizontal.boosting.started"):
    """Site → coordinator.

    Reveals to coordinator: nothing.
    向协调方透露：无。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Grow(Message, kind="horizontal.boosting.grow"):
    """Coordinator → site. Make ``cuts`` in tree number ``tree``, then contribute, for each of ``nodes``, sums of g per
    bin of all features, and of h: fixed-point integers in units of 2**-32.

    Reveals to site: cuts of the tree, which is part of the model.
    向站点透露：树的切分，即模型的一部分。
    """

    tree: int
    cuts: tuple[CutFields, ...]
    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish(Message, kind="horizontal.boosting.finish"):
    """Coordinator → site. Make ``cuts``, the last ones of the tree; ``leaves``: node and what it adds to the margin.

    Reveals to site: the tree, which is part of the model.
    向站点透露：该树，即模型的一部分。
    """

    tree: int
    cuts: tuple[CutFields, ...]
    leaves: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Message, kind="horizontal.boosting.finished"):
    """Site → coordinator. It has the tree.

    Reveals to coordinator: that it has.
    向协调方透露：该站点已收到该树。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep(Message, kind="horizontal.boosting.keep"):
    """Coordinator → site, between two trees. Keep on your own disk what you have given so far, so that the run can go
    on from here if it dies. ``trees``: how many there are.

    Reveals to site: nothing.
    向站点透露：无。
    """

    trees: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Message, kind="horizontal.boosting.kept"):
    """Site → coordinator, once it is on the disk.

    Reveals to coordinator: that the site can go on from here.
    向协调方透露：该站点可由此恢复。
    """
