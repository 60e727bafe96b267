"""Joint cells are a shorter way to the same sums: on every real data set the model is that of the direct path.

The direct path adds each row up once per feature: a grouping without merges.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from federation.ciphers.interface import SecretCipher
from federation.ciphers.plain import PlainSecret
from federation.endpoint import Endpoint
from federation.messages import Message
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import MemoryWire
from federation.vertical.boosting.guest import JointBoosting, TrainingRows
from federation.vertical.boosting.host import BoostingHost
from federation.vertical.boosting.messages import Ready
from models.binning import Codes
from models.boosting.grouping import Grouping
from models.boosting.parameters import BoostingParameters
from models.losses import Floats
from models.table import Table
from tests.builders import BANK, BOOSTING_ALLOWED, PLAIN
from tests.conftest import Key
from tests.federation.vertical.test_oracle import as_table

HOST = "host:a"
PARAMETERS = BoostingParameters(n_estimators=4, max_depth=5)
MOST_ROWS = 30_000
#: What the bank knows of a loan and what the government knows of the firm, none of it from after the decision.
SBA_BANK = ["GrAppv", "SBA_Appv", "RevLineCr", "LowDoc", "BankState", "DisbursementGross"]
SBA_GOVERNMENT = ["NoEmp", "NewExist", "CreateJob", "RetainedJob", "FranchiseCode", "UrbanRural", "NAICS", "State"]


class Case(NamedTuple):
    guest: Table
    host: Table
    label: Floats


def case(frame: pd.DataFrame, bad: pd.Series, guest: list[str], host: list[str]) -> Case:
    rows = np.random.default_rng(0).permutation(len(frame))[:MOST_ROWS]
    frame, label = frame.iloc[rows], bad.iloc[rows].to_numpy(dtype=np.float64)
    return Case(as_table(frame[guest]), as_table(frame[host]), label)


def in_two(frame: pd.DataFrame, bad: pd.Series, n_guest: int) -> Case:
    names = list(frame.columns)
    return case(frame, bad, names[:n_guest], names[n_guest:])


def credit_data(folder: Path) -> Case:
    frame = pd.read_csv(folder / "credit_data.csv.gz")
    return in_two(frame, frame.pop("Status") == "bad", 6)


def german_credit(folder: Path) -> Case:
    frame = pd.read_csv(folder / "germancredit.csv.gz")
    return in_two(frame, frame.pop("creditability") == "bad", 8)


def polish_bankruptcy(folder: Path) -> Case:
    frame = pd.read_csv(folder / "polish_bankruptcy_5year.csv.gz")
    return in_two(frame, frame.pop("class") == 1, 32)


def default_credit(folder: Path) -> Case:
    guest, host = (pd.read_csv(folder / f"default_credit_{side}.csv.gz") for side in ("guest", "host"))
    joined = guest.merge(host, on="id", suffixes=("", "_host")).drop(columns="id")
    return in_two(joined, joined.pop("y") == 1, 13)


def sba_loans(folder: Path) -> Case:
    return sba(pd.read_csv(folder / "sba_loans.csv.gz"), "MIS_Status", "CHGOFF")


def sba_california(folder: Path) -> Case:
    return sba(pd.read_csv(folder / "sba_california.csv.gz"), "Default", 1)


def sba(frame: pd.DataFrame, label: str, bad: object) -> Case:
    frame["NAICS"] = frame["NAICS"].astype(str).str[:2]
    columns = frame[SBA_BANK + SBA_GOVERNMENT].loc[:, lambda f: f.nunique() > 1]  # one of them is of one state only
    return case(
        columns,
        frame[label] == bad,
        [c for c in SBA_BANK if c in columns],
        [c for c in SBA_GOVERNMENT if c in columns],
    )


CASES = (credit_data, german_credit, polish_bankruptcy, default_credit, sba_loans, sba_california)


class Outcome(NamedTuple):
    """Both halves as JSON without what is drawn anew each time, all margins, and the additions due at a root."""

    guest: dict[str, Any]
    host: dict[str, Any]
    margin: bytes
    n_additions: int


def train(tables: Case, cipher: SecretCipher) -> Outcome:
    host = BoostingHost(HOST, tables.host, HostPolicy(cipher=PLAIN))
    n_fit = len(tables.label) * 4 // 5
    rows = TrainingRows(tables.guest, tables.label, n_fit, 0)
    additions: list[int] = []

    def witness(_sender: str, _receiver: str, message: Message, _n_bytes: int) -> None:
        if isinstance(message, Ready):
            additions.append(message.n_additions)

    fitted = run(
        JointBoosting("m-1", BANK, rows, (HOST,), cipher, PARAMETERS).fit(),
        MemoryWire({HOST: Endpoint(host, BANK, BOOSTING_ALLOWED).answer}),
        witness,
    )
    assert host.half is not None
    model, half = fitted.model.to_json(), host.half.to_json()
    del model["own"]["salt"], model["host_digests"], model["host_features"], half["salt"]  # drawn anew
    return Outcome(model, half, fitted.margin.tobytes(), *additions)


def direct(_codes: Codes, n_bins: tuple[int, ...]) -> Grouping:
    return Grouping(n_bins, ())


def compare(tables: Case, cipher: Callable[[], SecretCipher], monkeypatch: pytest.MonkeyPatch) -> None:
    joint = train(tables, cipher())
    monkeypatch.setattr("federation.vertical.boosting.work.group_features", direct)
    single = train(tables, cipher())
    assert joint.guest == single.guest
    assert joint.host == single.host
    assert joint.margin == single.margin
    assert joint.host["splits"]  # the sums mattered
    assert joint.n_additions < single.n_additions


@pytest.mark.parametrize("read", CASES, ids=lambda read: read.__name__)
def test_the_model_is_that_of_the_direct_path(
    read: Callable[[Path], Case], shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(read(shared_data), PlainSecret, monkeypatch)


def test_no_data_set_is_left_out(shared_data: Path) -> None:
    sides = {path.name.removesuffix(".csv.gz") for path in shared_data.glob("*.csv.gz")}
    assert len(sides) == len(CASES) + 1  # default_credit comes in two files


@pytest.mark.slow
def test_so_it_is_under_encryption(shared_data: Path, real_key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(german_credit(shared_data), lambda: real_key.secret(expected=4_000), monkeypatch)
