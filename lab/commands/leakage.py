"""``lianmo leakage``: what the parties of a finished run could infer of each other, measured by attacking."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lab.commands.options import AsJson, console_for


def leakage(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run, all parties' folders in it. 运行目录。")],
    as_json: AsJson = False,
) -> None:
    """Attack a run with what each party saw, and put the figures into its document. 泄露评估：以各方所见进行攻击。"""
    from lab.leakage.drawing import FILE
    from lab.leakage.report import leakage_of_run
    from lab.leakage.view import show_leakage
    from lab.reports import write_report
    from models.bundle import load, save

    console = console_for(as_json)
    result = load(run / "result.json")
    with console.status("attacking 评估中") as status:
        found = leakage_of_run(run, result, lambda what: status.update(what))
    save(run / FILE, found)
    write_report(run, result)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    show_leakage(console, found)
    console.print(f"  {run / 'report.html'}", style="dim", highlight=False)
