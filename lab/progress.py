"""How far a run is: the guest appends events to a file of its own, whoever watches draws a bar from them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_POLL_SECONDS: Final = 0.1

#: English and Chinese name of each stage of a session.
STAGES: Final = {
    "waiting": ("waiting for the parties", "等待各方加入"),
    "alignment": ("aligning applicants", "对齐申请人"),
    "binning": ("finding joint bins", "确定共同分箱"),
    "training": ("training", "训练"),
    "evaluation": ("evaluating", "评估"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One step of a session.

    Attributes:
        stage: one of ``STAGES``.
        done, total: trees.
        seconds: of the last tree.
        n_bytes: sent and received by the guest so far.
        note: shown as it is, e.g. the forecast.
    """

    stage: str
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    n_bytes: int = 0
    note: tuple[str, str] = ("", "")


Reporter = Callable[[Event], None]


def file_reporter(path: Path) -> Reporter:
    """Appends events to ``path``, one JSON object a line."""

    def report(event: Event) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(event), ensure_ascii=False) + "\n")

    return report


def bar_reporter(progress: Progress, console: Console) -> Reporter:
    """Draws events as one live bar."""
    task: TaskID = progress.add_task("starting the parties 启动各方", total=None, detail="")

    def report(event: Event) -> None:
        english, chinese = STAGES[event.stage]
        if event.note[0]:
            console.print(f"  {event.note[0]}\n  {event.note[1]}", style="dim", highlight=False)
        detail = f"{event.seconds:5.2f} s/tree  {event.n_bytes / 1e6:8.1f} MB" if event.done else ""
        progress.update(
            task, description=f"{english} {chinese}", completed=event.done, total=event.total or None, detail=detail
        )

    return report


@contextmanager
def watching(path: Path, console: Console) -> Iterator[None]:
    """Follow the events in ``path`` with a bar while the block runs; where there is no terminal, print notes only."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    over = threading.Event()
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        report = bar_reporter(progress, console)
        follower = threading.Thread(target=_follow, args=(path, report, over), daemon=True)
        follower.start()
        try:
            yield
        finally:
            over.set()
            follower.join()


def _follow(path: Path, report: Reporter, over: threading.Event) -> None:
    read = 0
    while True:
        last_look = over.wait(_POLL_SECONDS)
        if path.exists():
            with path.open(encoding="utf-8") as file:
                file.seek(read)
                while (line := file.readline()).endswith("\n"):
                    read = file.tell()
                    fields = json.loads(line)
                    report(Event(**{**fields, "note": tuple(fields["note"])}))
        if last_look:
            return
