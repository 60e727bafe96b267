"""Federated averaging, the coordinator's half: means of parameters from sums over sites.

McMahan et al., "Communication-efficient learning of deep networks from decentralized data", AISTATS 2017, algorithm 1,
all sites in every round. What is done with a mean is whoever asks for it to say: a ``Strategy`` of Flower, say
(``federation.flower.strategies``), which is given the mean and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from federation.errors import LocalProtocolError, PartyId, SiteLeft
from federation.horizontal.aggregation.company import total_in_company
from federation.horizontal.aggregation.interface import Aggregation, Total
from federation.horizontal.averaging.messages import BITS, BOUND, MOST_PARAMETER, Open, Opened, RowsWanted, Train
from federation.horizontal.boosting.features import to_fields
from federation.script import Script
from models.averaging import estimators
from models.averaging.design import width
from models.binning import FeatureBins
from models.errors import DataError, ModelError
from models.losses import Floats

Weights = Literal["rows", "equal"]


@dataclass(frozen=True, slots=True)
class Mean:
    """Attributes:
    parameters: shape ``(n_parameters,)``; off by at most half a unit of 2**-20 per contributor.
    n_rows: of all sites that trained; 0: sites weigh the same.
    """

    parameters: Floats
    n_rows: int
    contributors: tuple[PartyId, ...]


@dataclass(slots=True)
class FederatedAveraging:
    """Means over sites that have the same columns and different applicants.

    Attributes:
        kind, settings: of scikit-learn's estimator (``models.averaging.estimators``).
        n_epochs: passes of each site over its rows per round.
        weights: ``rows``: sites weigh as their rows, counted once; then no round can be over fewer sites, as their
            rows are not known. ``equal``: sites weigh the same, and rounds go on without those that leave.
        most_rows: of one site.

    Raises:
        ModelError: ``bad_parameter`` for a model or settings that cannot be averaged.
    """

    model_id: str
    aggregation: Aggregation
    bins: tuple[FeatureBins, ...]
    kind: str
    settings: Mapping[str, Any]
    n_epochs: int
    most_rows: int
    weights: Weights = "rows"
    _n_rows: int = 0
    _counted: tuple[PartyId, ...] = ()
    _round: int = 0
    _last: tuple[bytes, Mean] | None = None

    def __post_init__(self) -> None:
        estimators.check_settings(self.kind, self.settings)

    def start(self, seed: int) -> Floats:
        """Where averaging starts."""
        return estimators.initial(self.kind, self.settings, width(self.bins), seed)

    def open(self) -> Script[None]:
        """Before the first round.

        Raises:
            LocalProtocolError: ``too_few_sites``.
            DataError: ``one_class`` if no site has both classes.
        """
        presence = self.aggregation.presence
        opening = Open(
            model_id=self.model_id,
            features=to_fields(self.bins),
            estimator=self.kind,
            settings=json.dumps(dict(self.settings), ensure_ascii=False).encode(),
            n_epochs=self.n_epochs,
            most_rows=self.most_rows,
        )
        asked = presence.all_there
        presence.arrived((yield dict.fromkeys(asked, opening)), asked, Opened)
        if self.weights == "equal":
            return
        total = yield from total_in_company(self.aggregation, RowsWanted(), 1, self.most_rows)
        self._n_rows, self._counted = int(total.values[0]), total.contributors
        if not self._n_rows:
            raise DataError(
                "one_class",
                "No site has both defaults and non-defaults, so none can train.",
                "没有站点同时具有违约与未违约样本，均无法训练。",
            )

    def mean(self, parameters: Floats) -> Script[Mean]:
        """One round: every site trains from ``parameters``; the mean of what comes of it.

        Raises:
            SiteLeft: nothing of the round is opened: with weights by rows, a site that was counted has left; with equal
                ones, after the first round, so many that too few are left for another sum.
            LocalProtocolError: ``too_few_sites``, in the first round.
            ModelError: ``parameters_too_large``.
        """
        if not (np.abs(parameters) <= MOST_PARAMETER).all():
            raise ModelError(
                "parameters_too_large",
                f"Averaging gave parameters beyond {MOST_PARAMETER}. Use a smaller server_learning_rate, stronger "
                "penalties or fewer epochs.",
                f"平均所得参数超过 {MOST_PARAMETER}。请减小 server_learning_rate、加大正则化或减少本地轮数。",
            )
        told = parameters.astype("<f8").tobytes()
        if self._last and self._last[0] == told:  # it stands still, and sites train from one place once
            return self._last[1]
        self._round += 1
        request = Train(round=self._round, n_rows=self._n_rows, parameters=told)
        total = yield from self._total(request, len(parameters))
        mean = np.ldexp(total.values.astype(np.float64), -BITS)
        if not self._n_rows:
            mean /= len(total.contributors)
        found = Mean(mean, self._n_rows, total.contributors)
        self._last = told, found
        return found

    def _total(self, request: Train, n_values: int) -> Script[Total]:
        if self._counted:
            everybody = dict.fromkeys(self._counted, request)
            return (yield from self.aggregation.total(everybody, n_values, BOUND, only=self._counted))
        try:
            return (yield from total_in_company(self.aggregation, request, n_values, BOUND))
        except LocalProtocolError as error:
            if error.code != "too_few_sites" or not self._last:
                raise
            raise SiteLeft from error
