"""A party's file becomes a checked table, or an error that names column and count and never a value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab.config_party import Party
from lab.config_sections import SplitSection
from lab.data.demo import write_demo_data
from lab.data.sources import Division, applicants_table, read_division, read_labelled, read_table
from models.binning import FeatureBins
from models.errors import DataError

SECRET = "918273645"


def party(path: Path, **fields: object) -> Party:
    return Party(party="bank", data=path, label="bad", **fields)


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": ["007", "008", "009", "010"],
            "bad": [0, 1, 0, 1],
            "amount": [float(SECRET), 2.0, np.nan, 4.0],
            "kind": ["a", None, "b", "a"],
        }
    )


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_csv_and_parquet_give_the_same_table(frame: pd.DataFrame, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bank.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    table, label, _, weight = read_labelled(party(path))
    assert weight is None
    assert table.ids == ("007", "008", "009", "010")  # leading zeros are kept
    assert list(table.columns) == ["amount", "kind"]
    assert np.isnan(table.columns["amount"][2])
    assert list(table.columns["kind"]) == ["a", None, "b", "a"]
    assert label.tolist() == [0, 1, 0, 1]


def spoil(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.assign(**{column: value})


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("column_missing", lambda f: f.drop(columns="bad")),
        ("column_missing", lambda f: f.drop(columns="id")),
        ("label_not_binary", spoil("bad", [0, 1, 2, 1])),
        ("label_not_binary", spoil("bad", [0, 1, None, 1])),
        ("label_not_binary", spoil("bad", ["good", "bad", "good", "bad"])),
        ("one_class", spoil("bad", 1)),
        ("duplicate_ids", spoil("id", ["1", "1", "2", "3"])),
        ("empty_ids", spoil("id", ["1", " ", "2", "3"])),
        ("empty_ids", spoil("id", ["1", None, "2", "3"])),
        ("all_missing", spoil("amount", np.nan)),
        ("one_value", spoil("amount", 3.0)),
        ("one_value", spoil("kind", "a")),
        ("infinite_values", spoil("amount", [1.0, np.inf, 2.0, 3.0])),
        ("no_features", lambda f: f[["id", "bad"]]),
        ("file_empty", lambda f: f.iloc[:0]),
    ],
)
def test_bad_tables(
    frame: pd.DataFrame, tmp_path: Path, code: str, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    path = tmp_path / "bank.csv"
    change(frame).to_csv(path, index=False)
    with pytest.raises(DataError) as raised:
        read_labelled(party(path))
    assert raised.value.code == code
    assert raised.value.english.startswith("bank:")
    assert raised.value.chinese.startswith("bank：")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(("code", "content"), [("file_empty", b""), ("file_unreadable", b"\xff\xfe\x00PAR1\x00")])
def test_bad_files(tmp_path: Path, code: str, content: bytes) -> None:
    path = tmp_path / "bank.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as raised:
        read_table(party(path))
    assert raised.value.code == code


def test_a_weight_column_is_read_and_is_no_feature(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "bank.csv"
    frame.assign(w=[1.0, 2.5, 1, 3]).to_csv(path, index=False)
    table, _, _, weight = read_labelled(party(path, weight="w"))
    assert weight.tolist() == [1.0, 2.5, 1.0, 3.0]
    assert list(table.columns) == ["amount", "kind"]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ([1, 0, 1, 1], "bad_weight"),
        ([1, None, 1, 2], "bad_weight"),
        (["x", 1, 2, 3], "bad_weight"),
        (None, "column_missing"),
    ],
)
def test_a_bad_weight_column_is_named(frame: pd.DataFrame, tmp_path: Path, values: object, code: str) -> None:
    path = tmp_path / "bank.csv"
    (frame if values is None else frame.assign(w=values)).to_csv(path, index=False)
    with pytest.raises(DataError, match="'w'") as raised:
        read_labelled(party(path, weight="w"))
    assert raised.value.code == code


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_table(party(tmp_path / "none.csv"))


def test_columns_can_be_chosen_and_dropped(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "bank.csv"
    frame.to_csv(path, index=False)
    assert list(read_table(party(path, columns=("kind",))).columns) == ["kind"]
    assert list(read_table(party(path, drop=("bad", "kind"))).columns) == ["amount"]


def test_applicants_keep_the_types_of_training() -> None:
    bins = (FeatureBins("code", category=True, levels=("1", "2")), FeatureBins("amount", category=False, edges=(1.0,)))
    table = applicants_table(pd.DataFrame({"id": [1], "code": [2], "amount": ["3.5"]}), "id", bins)
    assert list(table.columns["code"]) == ["2"]
    assert table.columns["amount"].tolist() == [3.5]
    with pytest.raises(DataError, match="finite numbers"):
        applicants_table(pd.DataFrame({"id": [1], "code": [2], "amount": [SECRET + "x"]}), "id", bins)
    with pytest.raises(DataError, match="no column amount"):
        applicants_table(pd.DataFrame({"id": [1], "code": [2]}), "id", bins)


def test_demo_data_is_the_same_every_time_and_unaligned(tmp_path: Path) -> None:
    first, second = (write_demo_data(tmp_path / name) for name in ("a", "b"))
    ids = {}
    for name, path in first.items():
        assert path.read_bytes() == second[name].read_bytes()
        ids[name] = list(pd.read_csv(path, dtype={"id": str})["id"])
    bank, social = set(ids["bank"]), set(ids["host:social"])
    assert bank - social
    assert social - bank
    assert [i for i in ids["bank"] if i in social] != [i for i in ids["host:social"] if i in bank]


def test_a_division_reads_marks_and_groups_and_a_row_without_group_is_its_own(tmp_path: Path) -> None:
    path = tmp_path / "bank.csv"
    pd.DataFrame({"id": list("abcd"), "own": ["x", None, "x", None], "out": [1, 0, 0, 1]}).to_csv(path, index=False)
    party = Party(party="bank", data=path, label="y")
    division = read_division(party, SplitSection(holdout_column="out", group="own"))
    assert division.held_out is not None
    assert division.held_out.tolist() == [True, False, False, True]
    assert division.group is not None
    assert division.group[0] == division.group[2]
    assert len(set(division.group.tolist())) == 3
    assert read_division(party, SplitSection()) == Division()
    pd.DataFrame({"id": list("ab"), "out": [2, 0]}).to_csv(path, index=False)
    with pytest.raises(DataError) as caught:
        read_division(party, SplitSection(holdout_column="out"))
    assert caught.value.code == "bad_holdout"
