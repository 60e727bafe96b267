"""Messages of federated averaging: the coordinator tells parameters, sites contribute their share of the average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from federation.horizontal.boosting.messages import FeatureFields
from federation.messages import Message

#: Parameters travel in sums as fixed-point integers in units of 2**-BITS.
BITS: Final = 20
#: Largest magnitude of a parameter.
MOST_PARAMETER: Final = 64
#: Largest magnitude of a number in a sum of parameters.
BOUND: Final = MOST_PARAMETER << BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Message, kind="horizontal.averaging.open"):
    """Coordinator → site. ``features``: the bins all sites use; ``estimator``: scikit-learn's name of the model;
    ``settings``: its parameters, JSON; ``n_epochs``: passes over the rows in each round; ``most_rows``: no site may
    have more.

    Reveals to site: the bins chosen jointly.
    向站点透露：共同选定的分箱。
    """

    model_id: str
    features: tuple[FeatureFields, ...]
    estimator: str
    settings: bytes
    n_epochs: int
    most_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Message, kind="horizontal.averaging.opened"):
    """Site → coordinator. Its table has these columns and fits these bins.

    Reveals to coordinator: that it does.
    向协调方透露：该站点的数据表与分箱相符。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsWanted(Message, kind="horizontal.averaging.rows_wanted"):
    """Coordinator → site. Contribute the number of rows that you train on; once.

    Reveals to site: nothing.
    向站点透露：无。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Train(Message, kind="horizontal.averaging.train"):
    """Coordinator → site. Train from ``parameters`` (float64, little-endian) and contribute what comes of it, as
    integers in units of 2**-20: times your rows over ``n_rows``, those of all sites; as it is if ``n_rows`` is 0.

    Reveals to site: the model so far, and how many rows all sites have.
    向站点透露：当前模型，以及全部站点合计的行数。
    """

    round: int
    n_rows: int
    parameters: bytes
