"""Files of three banks and of a credit centre, a tax bureau and a guarantor in each of two cities, and runs of them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lab.estimators.frames import as_table
from models.table import Table
from tests.builders import vertical_problem

FILE = """
[run]
name = "both"
directory = "runs/memory"
transport = "memory"

[horizontal]

[standard]
numbers = ["loan_amount", "monthly_income"]

[hybrid]
cipher = "plain"

[hybrid.cities.suzhou]
banks = ["bank:a", "bank:b"]
hosts = { tax = "host:tax-suzhou", credit = "host:credit-suzhou", guarantor = "host:guarantor-suzhou" }

[hybrid.cities.wuxi]
banks = ["bank:c"]
hosts = { credit = "host:credit-wuxi", guarantor = "host:guarantor-wuxi", tax = "host:tax-wuxi" }

[hybrid.standards.credit]
numbers = ["phone_bill_mean"]

[hybrid.standards.guarantor]
levels = { occupation_class = ["clerk", "nurse", "农民工"] }

[hybrid.standards.tax]
numbers = ["tax_paid_2023", "tax_arrears_days"]

[boosting]
n_estimators = 3
max_depth = 3
max_bin = 8
min_child_weight = 2.0
"""
_TOLD = tomllib.loads(FILE)
CITIES, STANDARDS = _TOLD["hybrid"]["cities"], _TOLD["hybrid"]["standards"]
STANDARD, TREES = _TOLD["standard"], _TOLD["boosting"]
BANKS = ("bank:a", "bank:b", "bank:c")
HOSTS = tuple(sorted(host for city in CITIES.values() for host in city["hosts"].values()))
for _party in (*BANKS, *HOSTS):
    _name = _party.partition(":")[2]
    _kind, _label = ("sites", 'label = "bad"') if _party in BANKS else ("hosts", "")
    FILE += f"\n[[{_kind}]]\nparty = '{_party}'\ndata = '{_name}.csv'\n"
    FILE += f"{_label}\ninsecure_allow_plaintext = true\n"


def _columns(kind: str) -> list[str]:
    return [*STANDARDS[kind].get("numbers", ()), *STANDARDS[kind].get("levels", {})]


def everyone() -> pd.DataFrame:
    """Applicants of all banks with all columns; ``tax.…`` and so on with data nodes. ``common``: known to all those."""
    problem = vertical_problem(640)
    frame = pd.DataFrame({**problem.whole.columns}, index=pd.Index(problem.whole.ids, name="id"))
    frame = frame.rename(columns={name: f"{kind}.{name}" for kind in STANDARDS for name in _columns(kind)})
    place = np.arange(len(frame))
    return frame.assign(bad=problem.label.astype(int), bank=np.take(BANKS, place % 3), common=place % 17 != 0)


def pooled(frame: pd.DataFrame) -> Table:
    """All features in one place, as the coordinator names them."""
    names = [name for name in frame if name not in ("bad", "bank", "common")]
    return as_table(frame[names], names)


def write_cities(folder: Path) -> pd.DataFrame:
    """A file per party; credit centres know fewer applicants, and all data nodes know strangers."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = everyone()
    for city in CITIES.values():
        for bank in city["banks"]:
            of_bank = frame[frame.bank == bank]
            of_bank[[*STANDARD["numbers"], "bad"]].to_csv(folder / f"{bank[5:]}.csv")
        for kind, host in city["hosts"].items():
            known = frame[frame.bank.isin(city["banks"]) & (frame.common | (kind != "credit"))]
            own = known[[f"{kind}.{name}" for name in _columns(kind)]].set_axis(_columns(kind), axis=1)
            strangers = own.head(7).set_axis([f"STRANGER-{k}" for k in range(7)]).rename_axis("id")
            pd.concat([own[::-1], strangers]).to_csv(folder / f"{host[5:]}.csv")
    return frame


def run_file(transport: str = "memory", **sections: Any) -> dict[str, Any]:
    """Content of a run's file; gradients in clear behind the cipher's interface unless ``hybrid`` says otherwise."""
    told = tomllib.loads(FILE) | sections
    told["run"] |= {"directory": f"runs/{transport}", "transport": transport}
    return told


def tax_only(told: dict[str, Any]) -> dict[str, Any]:
    """The same with a tax bureau alone in each city: fewer processes where each party is one."""
    cities = {name: city | {"hosts": {"tax": city["hosts"]["tax"]}} for name, city in CITIES.items()}
    hosts = [host for host in told["hosts"] if host["party"].startswith("host:tax")]
    return {
        **told,
        "run": told["run"] | {"party_seconds": 600.0},
        "hybrid": told["hybrid"] | {"cities": cities, "standards": {"tax": STANDARDS["tax"]}},
        "hosts": hosts,
    }
