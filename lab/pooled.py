"""The forbidden comparison: LightGBM on all parties' columns joined. Only where one person may see everything: demos,
experiments.

Same rows, same parameters, same held-out rows as the joint run; what the joint model should reach without the joining.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lab.config_party import Party
from lab.data.sources import read_labelled, read_table
from models.baselines import fit_baseline
from models.boosting.parameters import BoostingParameters
from models.losses import Floats
from models.table import Column, Table


def pooled_margin(
    guest: Party, hosts: Sequence[Party], scores: pd.DataFrame, parameters: BoostingParameters, time_column: str | None
) -> Floats:
    """Margins of the rows of ``scores`` (columns ``id``, ``part``), log-odds of default, fitted on its ``fit`` rows."""
    own, _, _, weight = read_labelled(guest, time_column, parameters.objective)
    tables = [own, *(read_table(host) for host in hosts)]
    ids = tuple(scores["id"])
    columns: dict[str, Column] = {}
    for party, table in zip((guest, *hosts), tables, strict=True):
        row_of = {identifier: row for row, identifier in enumerate(table.ids)}
        rows = np.array([row_of[i] for i in ids], dtype=np.intp)
        columns |= {f"{party.party}.{name}": column[rows] for name, column in table.columns.items()}
    joined = Table(ids, columns)
    fit = np.flatnonzero(scores["part"] == "fit")
    label = scores["label"].to_numpy(dtype=np.float64)
    if weight is not None:
        row_of = {identifier: row for row, identifier in enumerate(own.ids)}
        weight = weight[[row_of[ids[k]] for k in fit]]
    return fit_baseline(joined.take(fit), label[fit], parameters, weight).margin(joined)
