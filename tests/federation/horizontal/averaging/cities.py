"""Sites that share out the rows of one table, and averaging over them, in sums and in plain."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier

from federation.errors import PartyId
from federation.horizontal.aggregation.masking.coordinator import MaskedAggregation
from federation.horizontal.aggregation.masking.site import MaskingSite
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.averaging.coordinator import FederatedAveraging, Mean, Weights
from federation.horizontal.site import HorizontalSite
from federation.messages import Message
from federation.script import run
from models.averaging.design import design
from models.binning import fit_bins
from models.losses import Floats
from models.table import Table
from tests.federation.horizontal.boosting.cities import SiteWire, never, shares
from tests.federation.horizontal.sites import SESSION, names, signings

ROWS = 600
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("LogisticRegression", {"C": 0.5}),
    ("SGDClassifier", {"alpha": 0.01}),
    ("MLPClassifier", {"hidden_layer_sizes": [6], "activation": "tanh"}),
]


def population(n: int = ROWS) -> tuple[Table, Floats]:
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(2, n))
    b[::11] = np.nan
    c = rng.choice(np.array(["own", "rent", "none"], dtype=object), n)
    risk = a - 0.5 * np.nan_to_num(b) + (c == "rent") - 0.8
    label = (rng.random(n) < 1.0 / (1.0 + np.exp(-risk))).astype(float)
    return Table(tuple(map(str, range(n))), {"a": a, "b": b, "c": c}), label


class Trial:
    def __init__(
        self,
        n_sites: int,
        kind: str,
        settings: dict[str, Any],
        weights: Weights = "rows",
        loss: Callable[[PartyId, Message], str] = never,
        n_epochs: int = 3,
    ) -> None:
        self.table, self.label = population()
        self.parts = shares(ROWS, n_sites, seed=3)
        self.names, known = names(n_sites), signings(n_sites)
        self.kind, self.settings, self.n_epochs = kind, settings, n_epochs
        self.sites = {
            party: HorizontalSite(
                self.table.take(rows), self.label[rows], MaskingSite(party, SESSION, known[party]), seed=k
            )
            for k, (party, rows) in enumerate(zip(self.names, self.parts, strict=True))
        }
        self.wire = SiteWire(self.sites, loss)
        self.bins = fit_bins(self.table, 16)
        aggregation = MaskedAggregation(SESSION, Presence(self.names), known[self.names[0]])
        self.averaging = FederatedAveraging("m-1", aggregation, self.bins, kind, settings, n_epochs, 2**20, weights)
        self.start = self.averaging.start(seed=1)

    def open(self) -> None:
        run(self.averaging.open(), self.wire)

    def mean(self, parameters: Floats) -> Mean:
        return run(self.averaging.mean(parameters), self.wire)

    def of_site(self, k: int, start: Floats, round_: int) -> Floats:
        """What scikit-learn makes of site ``k``'s rows, through its own interface."""
        seed = int(np.random.SeedSequence([k, round_]).generate_state(1)[0])
        rows = self.parts[k]
        inputs, label = design(self.table.take(rows), self.bins), self.label[rows].astype(int)
        n = inputs.shape[1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.kind == "SGDClassifier":
                sgd = SGDClassifier(loss="log_loss", tol=None, max_iter=3, random_state=seed, **self.settings)
                sgd.fit(inputs, label, coef_init=start[:n].copy(), intercept_init=start[n:].copy())
                return np.append(sgd.coef_, sgd.intercept_)
            if self.kind == "LogisticRegression":
                regression = LogisticRegression(warm_start=True, max_iter=3, random_state=seed, **self.settings)
                regression.coef_, regression.intercept_ = start[None, :n].copy(), start[n:].copy()
                regression.fit(inputs, label)
                return np.append(regression.coef_, regression.intercept_)
            network = MLPClassifier(warm_start=True, max_iter=3, tol=0.0, random_state=seed, **self.settings)
            network.fit(inputs[:2], [0, 1])
            at, arrays = 0, []
            for shape in [(n, 6), (6, 1), (6,), (1,)]:
                size = int(np.prod(shape))
                arrays.append(start[at : at + size].reshape(shape).copy())
                at += size
            network.coefs_, network.intercepts_ = arrays[:2], arrays[2:]
            network.fit(inputs, label)
            return np.concatenate([np.ravel(part) for part in (*network.coefs_, *network.intercepts_)])
