"""``lianmo node records``: credit records of this node's subjects, and what happens to them."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.commands.options import NODE, AsJson, Lines, NodeFolder, SourceTable, SourceText, console_for, tell_import

if TYPE_CHECKING:
    from lab.governance.records import RecordBook

records = typer.Typer(
    help="Credit records: publication, dispute, repair. 信用记录：公示、异议、修复。", no_args_is_help=True
)


@records.command("import")
def import_records(file: Lines, node: NodeFolder = NODE, as_json: AsJson = False) -> None:
    """Add records, all or none. 导入记录，要么全部成功，要么不作改动。"""
    from lab.governance.lines import read_file
    from lab.governance.records import Record

    given = read_file(Record, file)
    added = _book(node).add(given)
    tell_import(len(given), added, as_json)


@records.command()
def change(file: Lines, node: NodeFolder = NODE, as_json: AsJson = False) -> None:
    """Note repairs, disputes, corrections, withdrawals. 登记修复、异议、更正与撤销。"""
    from lab.governance.lines import read_file
    from lab.governance.node_log import officers_log
    from lab.governance.records import RecordChange

    own = officers_log(node)
    given = read_file(RecordChange, file)
    subjects = _book(node).change_all(given)
    affected = set(subjects)
    if own:
        names = own.pseudonyms
        for c, subject in zip(given, subjects, strict=True):
            own.say("record_changed", record=names.record(c.record), applicant=names.applicant(subject), state=c.change)
    if as_json:
        print(json.dumps({"changes": len(given), "affected_subjects": len(affected)}))
        return
    console_for(as_json).print(
        f"{len(given):,} changes, {len(affected):,} subjects to assess again "
        f"登记 {len(given):,} 项变更，需重新评价 {len(affected):,} 个主体"
    )


@records.command()
def affected(
    since: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="First day. 起始日。")],
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Last day; today. 截止日，默认今天。", show_default=False),
    ] = None,
    node: NodeFolder = NODE,
) -> None:
    """Print who must be assessed again: records that changed or ran out. 列出需重新评价的主体。"""
    last = until.date() if until else date.today()
    for subject in _book(node).changed(since.date(), last):
        print(subject)


@records.command("leak-test")
def leak_test(
    file: SourceText,
    repaired: Annotated[
        str, typer.Option(help="Column: 1 repaired, 0 never penalised; others are passed over. 标记列。")
    ],
    table: SourceTable = None,
    id_column: Annotated[str, typer.Option("--id", help="Column of identifiers. 标识列。")] = "id",
    seed: Annotated[int, typer.Option(min=0, help="Of folds and intervals. 随机种子。")] = 0,
    as_json: AsJson = False,
) -> None:
    """Can a probe tell repaired from never penalised? 已修复主体能否被识别（信用修复泄漏检测）。"""
    from dataclasses import asdict

    from lab.data.connectors.location import named
    from lab.data.connectors.opening import reference
    from lab.data.sources import read_frame
    from lab.errors import ConfigError
    from lab.estimators.frames import as_table
    from lab.governance.probe import probe_repaired

    source = named(file, table, Path.cwd())
    frame = read_frame(source, id_column)
    if repaired not in frame.columns:
        raise ConfigError(
            "column_missing",
            f"{reference(source)} has no column '{repaired}'.",
            f"{reference(source)} 中没有列“{repaired}”。",
        )
    frame = frame[frame[repaired].isin((0, 1))]
    features = frame.drop(columns=[repaired, id_column])
    found = probe_repaired(as_table(features, list(features.columns)), frame[repaired].to_numpy(dtype=float), seed)
    if as_json:
        print(json.dumps(asdict(found)))
        return
    auc = found.auc
    console_for(as_json).print(
        f"AUC {auc.value:.3f} ({auc.low:.3f} – {auc.high:.3f}), chance 随机水平 0.5; "
        f"{found.n_repaired:,} repaired 已修复, {found.n_never:,} never penalised 从未受罚\n"
        + ("A repair still shows. 修复痕迹仍可被识别。" if found.tells else "No better than chance. 与随机水平无异。")
    )


def _book(node: Path) -> RecordBook:
    from lab.governance.records import RecordBook
    from lab.governance.settings import store_of

    return RecordBook(store_of(node))
