"""The ``lianmo`` command: each command is a few lines in ``lab.commands``, the work is in the modules it names."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Final

import typer
from rich.console import Console

from lab import views
from lab.commands.access import access
from lab.commands.audit import audit, trace_command
from lab.commands.decisions import decision
from lab.commands.finished import rejects, report, validate
from lab.commands.hub import hub
from lab.commands.leakage import leakage
from lab.commands.machine import doctor
from lab.commands.models import models
from lab.commands.node import node
from lab.commands.runs import runs
from lab.commands.scoring import score, serve
from lab.commands.training import auto, demo, train, value
from lab.data.synthetic.command import synthetic
from models.errors import LianmoError

app = typer.Typer(
    name="lianmo",
    help="Lianmo 联模: one credit model, every row stays with its owner. 多方共建信贷模型，数据不出域。",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(node, name="node")
app.add_typer(access, name="access")
app.add_typer(audit, name="audit")
app.add_typer(decision, name="decision")
app.add_typer(hub, name="hub")
app.add_typer(runs, name="runs")
app.add_typer(models, name="models")
_ALONE: Final[tuple[Callable[..., None], ...]] = (
    demo,
    train,
    auto,
    score,
    serve,
    report,
    validate,
    rejects,
    value,
    doctor,
    synthetic,
    leakage,
)
for command in _ALONE:
    app.command()(command)
app.command("trace")(trace_command)


def main() -> None:
    """Entry point: a ``LianmoError`` becomes two sentences and its exit code."""
    logging.basicConfig(level=logging.WARNING)
    try:
        app()
    except LianmoError as error:
        views.error(Console(stderr=True), error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
