"""A party's rows → a checked table. Messages name files, columns and counts, never a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab.config_party import Party
from lab.config_sections import SplitSection
from lab.data.connectors.digests import file_digest, rows_digest
from lab.data.connectors.location import Location
from lab.data.connectors.opening import Choice, read_rows, reference
from models.binning import FeatureBins
from models.errors import DataError
from models.losses import Floats, ObjectiveName
from models.table import Column, Table, is_category


@dataclass(frozen=True, slots=True)
class Division:
    """Per row of the guest's file, None where the split names no such column.

    Attributes:
        held_out: whether it is held out.
        group: number of its group; a row without one is a group of its own.
    """

    held_out: NDArray[np.bool_] | None = None
    group: NDArray[np.intp] | None = None


def read_table(party: Party, *, varied: bool = True) -> Table:
    """The party's features, without id and label.

    Args:
        varied: columns of one value are refused: nothing can be learnt from them. Rows to score may all be alike.

    Raises:
        DataError: file absent, empty or unreadable; column absent, all missing, of one value, or infinite; ids empty or
            repeated; no feature left.
    """
    return _table(party, _read(party, _wanted(party)), varied)


def read_labelled(
    party: Party, time_column: str | None = None, objective: ObjectiveName = "binary", *, of_many: bool = False
) -> tuple[Table, Floats, Floats | None, Floats | None]:
    """The guest's features, its labels (1 = default; numbers under another objective), the values of ``time_column``
    and the weights of the rows, where such columns are named.

    Args:
        of_many: one of several label holders: one class, and columns of one value, will do.

    Raises:
        DataError: as ``read_table``, and: label absent, missing somewhere, all alike, or not what ``objective`` learns;
            a weight that is not finite and above 0.
    """
    assert party.label is not None
    frame = _read(party, _wanted(party, (party.label, time_column, party.weight)))
    left_out = [name for name in (party.label, time_column, party.weight) if name]
    label = pd.to_numeric(frame[party.label], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    _check_label(party, label, objective, of_many)
    time = None
    if time_column:
        time = pd.to_numeric(frame[time_column], errors="coerce").to_numpy(dtype=np.float64)
        if np.isnan(time).any():
            raise _error(
                party,
                "time_missing",
                f"time column '{time_column}' has rows without a number",
                f"时间列“{time_column}”存在非数值行",
            )
    weight = None
    if party.weight:
        weight = pd.to_numeric(frame[party.weight], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        n_wrong = int((~(np.isfinite(weight) & (weight > 0))).sum())
        if n_wrong:
            raise _error(
                party,
                "bad_weight",
                f"weight column '{party.weight}' must hold finite numbers above 0; {n_wrong} rows do not",
                f"权重列“{party.weight}”须为大于 0 的有限数值，有 {n_wrong} 行不符",
            )
    table = _table(party, frame.drop(columns=left_out), varied=not of_many)
    check_wishes(party, table)
    return table, label, time, weight


def check_wishes(party: Party, table: Table) -> None:
    """That what the party's own section says of single columns can be used, before anybody else is troubled.

    Raises:
        DataError: those of ``Prebinning.check``; ``monotone_constraints`` for a name that is no column with numbers.
    """
    try:
        party.prebinning.check(table)
    except DataError as error:
        raise DataError(error.code, f"{party.party}: {error.english}", f"{party.party}：{error.chinese}") from None
    wrong = [n for n in party.monotone_constraints if n not in table.columns or is_category(table.columns[n])]
    if wrong:
        raise _error(
            party,
            "monotone_constraints",
            f"monotone_constraints names what is no column with numbers: {', '.join(wrong)}; name such columns only",
            f"monotone_constraints 中有并非数值列的名称：{'、'.join(wrong)}，请仅列出数值列",
        )


def _check_label(party: Party, label: Floats, objective: ObjectiveName, of_many: bool) -> None:
    name = party.label
    if objective == "binary":
        n_wrong = int((~np.isin(label, (0.0, 1.0))).sum())
        if n_wrong:
            raise _error(
                party,
                "label_not_binary",
                f"column '{name}' must hold 0 or 1 (1 = default); {n_wrong} rows do not",
                f"标签列“{name}”只能为 0 或 1（1 表示违约），有 {n_wrong} 行不符",
            )
        if len(np.unique(label)) < 2 and not of_many:
            raise _error(
                party,
                "one_class",
                f"column '{name}' has only one class; add rows of the other: a model needs both",
                f"标签列“{name}”只有一个类别，建模需要同时有违约与未违约样本，请补充另一类样本",
            )
        return
    n_wrong = int((~np.isfinite(label)).sum())
    if n_wrong:
        raise _error(
            party,
            "label_not_number",
            f"column '{name}' must hold finite numbers; {n_wrong} rows do not. Leave them out or repair them",
            f"标签列“{name}”应为有限数值，有 {n_wrong} 行不符，请剔除或修正",
        )
    n_wrong = int((label < 0).sum())
    if n_wrong and objective != "regression":
        raise _error(
            party,
            "label_negative",
            f"column '{name}' must not be negative under objective {objective}; {n_wrong} rows are. Use regression",
            f"目标 {objective} 要求标签列“{name}”不为负，有 {n_wrong} 行为负，可改用 regression",
        )
    if label.min() == label.max():
        raise _error(
            party,
            "constant_label",
            f"column '{name}' has one value in all rows; there is nothing to explain",
            f"标签列“{name}”所有行取值相同，没有可解释的差异",
        )


def read_division(party: Party, split: SplitSection) -> Division:
    """The columns that divide the guest's rows, where ``split`` names such.

    Raises:
        DataError: file or column absent; ``bad_holdout`` if a mark is neither 0 nor 1.
    """
    if not (split.holdout_column or split.group):
        return Division()
    frame = _read(party, lambda _: [name for name in (split.holdout_column, split.group) if name])
    held_out = groups = None
    if split.holdout_column:
        marks = pd.to_numeric(frame[split.holdout_column], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        n_wrong = int((~np.isin(marks, (0.0, 1.0))).sum())
        if n_wrong:
            raise _error(
                party,
                "bad_holdout",
                f"column '{split.holdout_column}' must hold 1 (held out) or 0; {n_wrong} rows do not",
                f"列“{split.holdout_column}”只能为 1（留出）或 0，有 {n_wrong} 行不符",
            )
        held_out = marks == 1.0
    if split.group:
        own = frame[split.group].astype(object).where(frame[split.group].notna(), None)
        groups = np.unique([f"row {k}" if v is None else f"group {v}" for k, v in enumerate(own)], return_inverse=True)[
            1
        ]
    return Division(held_out, groups)


def applicants_table(frame: pd.DataFrame, id_column: str, bins: Sequence[FeatureBins]) -> Table:
    """Applicants to score: only what a fitted half needs, with the types it was fitted on.

    Raises:
        DataError: a column is absent, or a number column holds something else.
    """
    absent = [name for name in (id_column, *(b.name for b in bins)) if name not in frame.columns]
    if absent:
        raise DataError(
            "column_missing",
            f"The applicants have no column {', '.join(absent)}.",
            f"待评分数据缺少列 {'、'.join(absent)}。",
        )
    columns: dict[str, Column] = {}
    for b in bins:
        values = frame[b.name]
        if b.category:
            columns[b.name] = _texts(values)
            continue
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        n_wrong = int((np.isnan(numbers) & values.notna().to_numpy()).sum() + np.isinf(numbers).sum())
        if n_wrong:
            raise DataError(
                "wrong_column_type",
                f"Column '{b.name}' must hold finite numbers; {n_wrong} rows do not.",
                f"列“{b.name}”应为有限数值，有 {n_wrong} 行不符。",
            )
        columns[b.name] = numbers
    return Table(tuple(frame[id_column].astype(str).str.strip()), columns)


def read_frame(data: Path | Location, id_column: str) -> pd.DataFrame:
    """The rows as they stand, ids as text. Raises ``DataError``."""
    return _read(Party(party="file", data=data, id=id_column))


def _texts(values: pd.Series) -> NDArray[np.object_]:
    known: dict[str, str] = {}  # a level is one object, however many rows have it
    texts = (None if gone else str(v) for v, gone in zip(values, values.isna(), strict=True))
    return np.array([text if text is None else known.setdefault(text, text) for text in texts], dtype=object)


def _read(party: Party, choose: Choice = lambda names: names) -> pd.DataFrame:
    try:
        return read_rows(party.data, party.id, choose)
    except DataError as error:
        raise _error(party, error.code, error.english, error.chinese) from None


def _wanted(party: Party, others: Sequence[str | None] = ()) -> Choice:
    """The party's features and the given other columns."""

    def choose(names: tuple[str, ...]) -> list[str]:
        features = [name for name in party.columns or names if name not in party.drop]
        return [*features, *(name for name in others if name)]

    return choose


def _table(party: Party, frame: pd.DataFrame, varied: bool = True) -> Table:
    ids = frame[party.id]
    texts = ids.astype(str).str.strip()
    n_empty = int((ids.isna() | (texts == "")).sum())
    if n_empty:
        raise _error(
            party,
            "empty_ids",
            f"id column '{party.id}' is empty in {n_empty} rows",
            f"标识列“{party.id}”有 {n_empty} 行为空",
        )
    n_repeated = int(texts.duplicated().sum())
    if n_repeated:
        raise _error(
            party,
            "duplicate_ids",
            f"id column '{party.id}' repeats in {n_repeated} rows; keep one row per applicant",
            f"标识列“{party.id}”有 {n_repeated} 行重复，每个申请人只应保留一行",
        )
    names = [c for c in (party.columns or frame.columns) if c != party.id and c not in party.drop]
    _need_columns(party, frame, names)
    if not names:
        raise _error(
            party,
            "no_features",
            "no feature column is left; name some in columns, or drop fewer",
            "没有可用的特征列，请检查 columns 与 drop",
        )
    unknown = [name for name in party.reasons or {} if name not in names]
    if unknown:
        raise _error(
            party,
            "reason_unknown",
            f"reasons has words for {', '.join(unknown)}, which is no feature",
            f"reasons 中的 {'、'.join(unknown)} 不是特征列",
        )
    return Table(tuple(texts), {name: _column(party, name, frame[name], varied) for name in names})


def _column(party: Party, name: str, values: pd.Series, varied: bool) -> Column:
    if values.isna().all():
        raise _error(
            party, "all_missing", f"column '{name}' has no value at all; drop it", f"列“{name}”全部缺失，请剔除"
        )
    if varied and values.nunique(dropna=False) < 2:
        raise _error(
            party,
            "one_value",
            f"column '{name}' has one value in all rows; drop it",
            f"列“{name}”所有行取值相同，请剔除",
        )
    if not pd.api.types.is_numeric_dtype(values):
        return _texts(values)
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    n_infinite = int(np.isinf(numbers).sum())
    if n_infinite:
        raise _error(
            party,
            "infinite_values",
            f"column '{name}' has infinite values in {n_infinite} rows; replace them or leave them empty",
            f"列“{name}”有 {n_infinite} 行为无穷大，请替换或置空",
        )
    return numbers


def _need_columns(party: Party, frame: pd.DataFrame, names: list[str]) -> None:
    absent = [name for name in names if name not in frame.columns]
    if absent:
        raise _error(
            party,
            "column_missing",
            f"{source_reference(party)} has no column {', '.join(repr(a) for a in absent)}",
            f"{source_reference(party)} 缺少列 {'、'.join(absent)}",
        )


def _error(party: Party, code: str, english: str, chinese: str) -> DataError:
    return DataError(code, f"{party.party}: {english}.", f"{party.party}：{chinese}。")


def data_digest(party: Party) -> str:
    """SHA-256, hexadecimal: of a whole file's bytes; of the rows that are read where they are a table or a choice.

    Raises:
        DataError: as ``read_table`` where a table is read.
    """
    if isinstance(party.data, Path):
        return file_digest(party.data)
    return rows_digest(_read(party, _wanted(party, (party.label, party.weight))), party.id)


def source_reference(party: Party) -> str:
    """Where the party's rows come from, for its audit log: kind and name; no address, account or folder."""
    return reference(party.data)
