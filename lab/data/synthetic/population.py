"""One block of the population: all tables of all parties, drawn from the block's own streams of random numbers."""

from __future__ import annotations

from typing import Final

import numpy as np

from lab.data.synthetic import bank, consents, credit, guarantee, records, tax, utility
from lab.data.synthetic.columns import Rows, TableSpec
from lab.data.synthetic.quarters import NEVER
from lab.data.synthetic.state import City, Settings, draw_enterprises

#: Enterprises drawn together; groups never reach beyond. Part of what a seed means: another number, another city.
BLOCK: Final = 25_000
#: Identifiers of rows leave this much room for each block.
_IDS_PER_BLOCK: Final = 10_000_000
#: Share of enterprises that each host does not know although they consented: moved, merged, registered elsewhere.
_UNKNOWN: Final = 0.02

TABLES: Final[tuple[TableSpec, ...]] = (
    credit.ENTERPRISES,
    records.RECORDS,
    credit.PATENTS,
    credit.BIDS,
    credit.EVALUATIONS,
    credit.FEATURES,
    tax.QUARTERS,
    tax.YEARS,
    tax.TAXPAYER_GRADES,
    tax.FEATURES,
    utility.QUARTERS,
    utility.FEATURES,
    guarantee.GUARANTEES,
    guarantee.FEATURES,
    bank.APPLICATIONS,
    bank.FEATURES,
    consents.CONSENTS,
)
Block = dict[TableSpec, Rows]


def draw_block(settings: Settings, city: City, intercept: float, block: int) -> tuple[Block, Rows]:
    """All rows of block number ``block``; and kind, district and number of its enterprises, for their identifiers."""
    n = min(BLOCK, settings.n_enterprises - block * BLOCK)
    first_id = block * _IDS_PER_BLOCK
    streams = iter([settings.rng(2, block, k) for k in range(13)])

    def stream() -> np.random.Generator:
        return next(streams)

    e = draw_enterprises(city, n, stream())
    applications = bank.draw_applications(e, intercept, first_id, stream())
    ledger = consents.draw_consents(e, applications, first_id, stream())
    history = records.draw_records(e, first_id, stream())
    patents, bids = credit.draw_patents(e, stream()), credit.draw_bids(e, stream())
    evaluations = credit.draw_evaluations(e, stream())
    declarations = tax.Declarations(e, stream())
    grades = tax.draw_grades(e, declarations, stream())
    readings = utility.Readings(e, stream())
    guarantees = guarantee.draw_guarantees(e, applications, first_id, stream())
    verified = consents.verified_days(e, ledger, stream())
    order = stream()

    chosen = bank.sample(applications, n)
    applied = np.where(chosen >= 0, applications["applied_on"][chosen], NEVER)
    as_of = np.where(np.isnat(applied), consents.first_days(ledger, n), applied)
    features = {
        credit.FEATURES: credit.credit_features(e, history, patents, bids, evaluations, as_of),
        guarantee.FEATURES: guarantee.guarantee_features(e, guarantees, as_of),
    }
    for spec in (credit.FEATURES, tax.FEATURES, utility.FEATURES, guarantee.FEATURES):
        may = consents.consenting(ledger, spec.party, as_of)
        who = order.permutation(np.flatnonzero(may & (order.random(n) >= _UNKNOWN)))
        if spec is tax.FEATURES:
            features[spec] = tax.tax_features(e, declarations, grades, as_of, who)
        elif spec is utility.FEATURES:
            features[spec] = utility.utility_features(e, readings, as_of, who)
        else:
            features[spec] = {name: values[who] for name, values in features[spec].items()}
    return {
        credit.ENTERPRISES: credit.enterprise_rows(e, verified),
        records.RECORDS: history,
        credit.PATENTS: patents,
        credit.BIDS: bids,
        credit.EVALUATIONS: evaluations,
        tax.QUARTERS: tax.quarter_rows(e, declarations),
        tax.YEARS: tax.year_rows(e, declarations),
        tax.TAXPAYER_GRADES: grades,
        utility.QUARTERS: utility.quarter_rows(e, readings),
        guarantee.GUARANTEES: guarantees,
        bank.APPLICATIONS: applications,
        bank.FEATURES: bank.bank_features(applications, chosen),
        consents.CONSENTS: ledger,
        **features,
    }, {"number": block * BLOCK + np.arange(n), "kind": e.kind + 1, "district": e.district + 1}
