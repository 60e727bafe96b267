"""The population as files: one folder per party, a data dictionary, and two runs ready to train."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from lab.data.synthetic import bank, consents, credit, guarantee, tax
from lab.data.synthetic.bank import base_log_odds
from lab.data.synthetic.codes import credit_codes
from lab.data.synthetic.columns import NOTICE, TableSpec, data_dictionary
from lab.data.synthetic.population import BLOCK, TABLES, Block, draw_block
from lab.data.synthetic.quarters import SNAPSHOT
from lab.data.synthetic.state import Settings, draw_city
from lab.staging import staged
from models.bundle import save

Format = Literal["parquet", "csv"]
#: Rows from this day on test the model: the last year whose outcomes are known.
OUT_OF_TIME_FROM: Final = 20240701
#: The reference topology 信用+税务+担保; utilities are a node more.
HOSTS: Final = (credit.FEATURES, tax.FEATURES, guarantee.FEATURES)
#: By this file an earlier population is known.
SUMMARY: Final = "synthetic.json"

_RUN: Final = """\
# {notice}
# Credit centre, tax bureau and guarantor hold features, the bank holds the label: 信用 + 税务 + 担保.
# Utilities are one host more: copy a section and name host:utility and its file.
[run]
name = "synthetic-{kind}"
purpose = "Synthetic population: 12-month default of loans to small enterprises. 合成数据：小微企业贷款12个月违约。"
directory = "../{folder}-runs/{kind}"
{model}
[split]
time_column = "as_of"
holdout_from = {from_day}

[guest]
party = "bank"
data = "{data}"
id = "subject"
label = "default"
drop = {drop}
{hosts}"""
_HOST: Final = """
[[hosts]]
party = "{party}"
data = "{data}"
id = "subject"
drop = {drop}
"""
_TREES: Final = """
[boosting]
n_estimators = 80
learning_rate = 0.1
max_depth = 3
min_child_samples = 30
reg_lambda = 5.0
random_state = 2026
"""
_SCORECARD: Final = """
[scorecard]
min_information_value = 0.02
max_features = 20
l2 = 1.0
nonpositive = true
random_state = 2026
"""


def write_population(
    directory: Path, settings: Settings, form: Format = "parquet", report: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Draw and write a population; the same settings give the same bytes.

    Args:
        directory: new, empty, or an earlier population, which is replaced.
        report: called with enterprises written and all of them.

    Returns:
        What ``synthetic.json`` holds: settings, rows of every file, rates.

    Raises:
        ConfigError: ``directory_in_use``.
    """
    city = draw_city(settings.rng(0))
    intercept = base_log_odds(city, settings)
    n_blocks = -(-settings.n_enterprises // BLOCK)
    tally = _Tally()
    with staged(directory, SUMMARY) as folder:
        with ExitStack() as files:
            writers = {spec: files.enter_context(_writer(folder, spec, form)) for spec in TABLES}
            for number in range(n_blocks):
                block, identity = draw_block(settings, city, intercept, number)
                codes = credit_codes(identity["number"], identity["kind"], identity["district"])
                subjects = pa.array(codes.astype(str), pa.string())
                for spec, rows in block.items():
                    table = spec.table(rows, subjects)
                    writers[spec].write_table(table)
                    tally.add(spec, table)
                tally.count(block, len(codes))
                if report:
                    report(tally.n_enterprises, settings.n_enterprises)
        save(folder / "synthetic-dictionary.json", data_dictionary(TABLES, settings.seed, settings.n_enterprises))
        for kind, model in (("trees", _TREES), ("scorecard", _SCORECARD)):
            name = "run.toml" if kind == "trees" else "scorecard.toml"
            (folder / name).write_text(_config(directory.name, kind, model, form, tally), encoding="utf-8")
        summary = {
            "synthetic": True,
            "notice": NOTICE,
            "enterprises": settings.n_enterprises,
            "seed": settings.seed,
            "default_rate": settings.default_rate,
            "snapshot": str(SNAPSHOT),
            "files": {str(path_of(spec, form)): n for spec, n in tally.n_rows.items()},
            **tally.rates(),
        }
        save(folder / SUMMARY, summary)
    return summary


class _Tally:
    """What is told of a population once it is written."""

    def __init__(self) -> None:
        self.n_enterprises = 0
        self.n_rows = dict.fromkeys(TABLES, 0)
        self._features: dict[TableSpec, list[pa.Table]] = {spec: [] for spec in (bank.FEATURES, *HOSTS)}
        self._sums: dict[str, float] = dict.fromkeys(("applications", "booked", "matured", "defaulted"), 0.0)
        self._funnel = dict.fromkeys(("verified", "authorised", "authorised_with_loan"), 0)

    def add(self, spec: TableSpec, table: pa.Table) -> None:
        self.n_rows[spec] += len(table)
        if spec in self._features:
            self._features[spec].append(table)

    def count(self, block: Block, n: int) -> None:
        """Loans, and the funnel of authorisation (A54): verified, with a consent in force, and with a loan."""
        self.n_enterprises += n
        loans, ledger = block[bank.APPLICATIONS], block[consents.CONSENTS]
        outcome = loans["defaulted_12m"]
        for name, value in (
            ("applications", len(outcome)),
            ("booked", loans["booked"].sum()),
            ("matured", (~np.isnan(outcome)).sum()),
            ("defaulted", np.nansum(outcome)),
        ):
            self._sums[name] += float(value)
        authorised = np.unique(ledger["subject"][consents.in_force(ledger, SNAPSHOT)])
        self._funnel["verified"] += int((~np.isnat(block[credit.ENTERPRISES]["real_name_verified_on"])).sum())
        self._funnel["authorised"] += len(authorised)
        self._funnel["authorised_with_loan"] += int(np.isin(authorised, loans["subject"][loans["booked"]]).sum())

    def constant_columns(self, spec: TableSpec) -> list[str]:
        """Columns of a feature table with one value in all rows, which no run may use."""
        table = pa.concat_tables(self._features[spec])
        names = [c.name for c in spec.columns]
        return [name for name in names if pc.count_distinct(table[name], mode="all").as_py() < 2]

    def rates(self) -> dict[str, Any]:
        sums = self._sums
        return {
            "applications": int(sums["applications"]),
            "booked_share": round(sums["booked"] / max(sums["applications"], 1), 4),
            "default_rate_12m": round(sums["defaulted"] / max(sums["matured"], 1), 4),
            "funnel": {
                "verified_of_enterprises": round(self._funnel["verified"] / self.n_enterprises, 4),
                "authorised_of_verified": round(self._funnel["authorised"] / max(self._funnel["verified"], 1), 4),
                "with_loan_of_authorised": round(
                    self._funnel["authorised_with_loan"] / max(self._funnel["authorised"], 1), 4
                ),
            },
        }


def path_of(spec: TableSpec, form: Format) -> Path:
    """Of a table, from the population's folder."""
    return Path(spec.party.replace(":", "-")) / f"synthetic-{spec.name}.{form}"


def _writer(folder: Path, spec: TableSpec, form: Format) -> Any:
    path = folder / path_of(spec, form)
    path.parent.mkdir(exist_ok=True)
    if form == "csv":
        return pyarrow.csv.CSVWriter(path, spec.schema)
    texts = [c.name for c in spec.all_columns if c.kind in ("subject", "text")]
    return pq.ParquetWriter(path, spec.schema, use_dictionary=texts)


def _config(folder: str, kind: str, model: str, form: Format, tally: _Tally) -> str:
    def fields(spec: TableSpec, *unused: str) -> dict[str, str]:
        drop = [*unused, "synthetic", *tally.constant_columns(spec)]
        return {"party": spec.party, "data": path_of(spec, form).as_posix(), "drop": json.dumps(drop)}

    return _RUN.format(
        notice=NOTICE,
        kind=kind,
        folder=folder,
        model=model,
        from_day=OUT_OF_TIME_FROM,
        hosts="".join(_HOST.format(**fields(spec, "as_of")) for spec in HOSTS),
        **fields(bank.FEATURES),
    )
