"""``lianmo runs``: what became of runs, and how one that died goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab import views
from lab.commands.options import AsJson, console_for

if TYPE_CHECKING:
    from lab.run_list import Found

runs = typer.Typer(
    help="Runs on this machine: look at, stop, resume. 本机的运行：查看、停止、恢复。", no_args_is_help=True
)

Folder = Annotated[Path, typer.Option("--directory", help="Folder the runs lie in. 运行所在目录。")]
Run = Annotated[str, typer.Argument(help="Its id, the first letters of it, or its name. 运行编号或名称。")]
_RUNS = Path("runs")


@runs.command("ls")
def list_runs(directory: Folder = _RUNS, as_json: AsJson = False) -> None:
    """All runs, unfinished ones last. 列出所有运行，未完成的在后。"""
    from lab.run_list import find_runs

    found = find_runs(directory.resolve())
    if as_json:
        print(json.dumps([run.as_dict() for run in found], ensure_ascii=False))
        return
    grid = views.table(
        ("run 编号", False), ("name 名称", False), ("state 状态", False), ("trees 棵树", True), ("began 开始", False)
    )
    for run in found:
        grid.add_row(run.run, run.name, _phase(run), _trees(run), run.began)
    console_for(as_json).print(grid)


@runs.command()
def show(run: Run, directory: Folder = _RUNS, as_json: AsJson = False) -> None:
    """One run: how far it came, why it ended, what to do. 查看一个运行：进度、终止原因与后续操作。"""
    from lab.run_list import find_run

    found = find_run(directory.resolve(), run)
    if as_json:
        print(json.dumps(found.as_dict(), ensure_ascii=False))
        return
    console = console_for(as_json)
    grid = views.table(("", False), ("", False))
    grid.show_header = False
    for name, value in (
        ("run 编号", found.run),
        ("name 名称", found.name),
        ("state 状态", _phase(found)),
        ("trees 棵树", _trees(found)),
        ("began 开始", found.began),
        ("parties 参与方", ", ".join(found.parties)),
        ("transport 传输方式", found.transport),
        ("directory 目录", str(found.directory)),
    ):
        grid.add_row(name, value)
    console.print(grid)
    if found.state is None:
        return
    if found.state.ended:
        console.print(
            f"  {found.state.ended['english']}\n  {found.state.ended['chinese']}", highlight=False, markup=False
        )
    if found.phase != "running":
        how = "goes on from a checkpoint 自检查点恢复" if found.checkpoints else "begins anew 将重新开始"
        console.print(f"  lianmo runs resume {found.run}: {how}", style="dim", highlight=False)


@runs.command()
def stop(run: Run, directory: Folder = _RUNS, as_json: AsJson = False) -> None:
    """End a run that is under way; it can be resumed. 停止正在进行的运行，之后可恢复。"""
    from lab.run_list import find_run, stop_run

    found = find_run(directory.resolve(), run)
    stop_run(found)
    kept = found.directory.exists()
    if as_json:
        print(json.dumps({"run": found.run, "kept": kept}))
        return
    console_for(as_json).print(
        f"{found.run} stopped; lianmo runs resume {found.run} goes on. 已停止，可用该命令恢复。"
        if kept
        else f"{found.run} stopped before its first checkpoint: nothing is left of it. 在首个检查点前停止，无保留。",
        highlight=False,
    )


@runs.command()
def resume(run: Run, directory: Folder = _RUNS, as_json: AsJson = False) -> None:
    """Go on with a run that died or was stopped, to the same model. 恢复中断的运行，所得模型不变。

    From the newest checkpoint that all parties have; a scorecard, an average, or a run without one, begins anew.
    """
    from lab import run_views
    from lab.finish import record_run, report_run
    from lab.horizontal.config import HorizontalConfig
    from lab.horizontal.finish import train_horizontally
    from lab.run_list import find_run, need_unfinished
    from lab.runs import train_run

    console = console_for(as_json)
    state = need_unfinished(find_run(directory.resolve(), run))
    config = state.parsed
    if isinstance(config, HorizontalConfig):
        result = train_horizontally(config, console, record=state.record, state=state)
    else:
        finish = (report_run, record_run) if state.record else (report_run,)
        result = train_run(config, console, finish, state=state)
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return
    run_views.finished(console, result)
    views.files(console, config.run.directory)


@runs.command()
def drop(run: Run, directory: Folder = _RUNS, as_json: AsJson = False) -> None:
    """Delete an unfinished run and its checkpoints. 删除未完成的运行及其检查点。"""
    from lab.run_list import drop_run, find_run

    found = find_run(directory.resolve(), run)
    drop_run(found)
    if as_json:
        print(json.dumps({"run": found.run}))
        return
    console_for(as_json).print(f"{found.run} deleted 已删除", highlight=False)


def _phase(run: Found) -> str:
    from lab.run_states import PHASES_ZH

    return f"{run.phase} {PHASES_ZH[run.phase]}"


def _trees(run: Found) -> str:
    return f"{run.trees} / {run.n_trees}" if run.n_trees else "–"
