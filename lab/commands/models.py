"""``lianmo models``: which models answer, and how others come into force."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab import views
from lab.commands.options import AsJson, HostsToml, HostUrls, ThroughHub, console_for

if TYPE_CHECKING:
    from lab.serving.publishing.folder import InForce, ShelfFolder
    from lab.serving.publishing.publisher import Publisher

models = typer.Typer(
    help="Models in force: publish, try, roll back, retire. 在用模型：发布、试用、回退、停用。", no_args_is_help=True
)

Shelf = Annotated[Path, typer.Option("--shelf", help="The shelf's folder, which lianmo serve follows. 模型架目录。")]
Node = Annotated[Path, typer.Argument(help="The bank's folder of a finished run. 运行的银行节点目录。")]
Share = Annotated[float, typer.Option(min=0, max=1, help="Share of applications. 申请比例。")]
_SHELF = Path("shelf")


@models.command("ls")
def list_versions(shelf: Shelf = _SHELF, as_json: AsJson = False) -> None:
    """All versions on the shelf, and which of them answer. 列出模型架上的版本及其状态。"""
    from lab.serving.publishing.folder import ShelfFolder

    folder = ShelfFolder(shelf)
    state = folder.in_force()
    rows = [_row(folder, state, version) for version in folder.versions()]
    if as_json:
        print(json.dumps({"in_force": state and _plain(state), "versions": rows}, ensure_ascii=False))
        return
    grid = views.table(
        ("version 版本", False), ("model 模型", False), ("state 状态", False), ("bank alone 仅银行", False)
    )
    for row in rows:
        grid.add_row(row["version"], f"{row['name']} {row['registered']}", row["state"], row["bank_only"])
    console_for(as_json).print(grid)


def _changing(command: Callable[..., Iterator[InForce | None]]) -> Callable[..., None]:
    """A command of what is in force: it gets the publisher, and what it yields is told. Beside its own options it has
    those by which hosts are reached and things are told."""

    def run(
        shelf: Shelf = _SHELF,
        host: HostUrls = None,
        hosts: HostsToml = None,
        through: ThroughHub = None,
        as_json: AsJson = False,
        **own: Any,
    ) -> None:
        with _publisher(shelf, host, hosts, through, as_json) as publisher:
            for state in command(publisher, **own):
                _tell(state, as_json)

    # Types that are not loaded here are no options.
    _, *named = signature(command, locals={"Publisher": Any, "InForce": Any}, eval_str=True).parameters.values()
    *shared, _ = signature(run, eval_str=True).parameters.values()
    run.__signature__ = Signature([*named, *shared])  # type: ignore[attr-defined]
    run.__annotations__ |= {option.name: option.annotation for option in named}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


@models.command()
@_changing
def publish(publisher: Publisher, node: Node) -> Iterator[InForce]:
    """Put a model in force everywhere, or nowhere. 发布模型：所有数据方就绪后切换，否则保持不变。"""
    yield publisher.publish(node)


@models.command()
@_changing
def canary(publisher: Publisher, node: Node, share: Share) -> Iterator[InForce]:
    """Let a model answer a share of the applications. 灰度：由试用模型应答一定比例的申请。"""
    yield publisher.trial(node, "canary", share)


@models.command()
@_changing
def shadow(publisher: Publisher, node: Node, share: Share = 1.0) -> Iterator[InForce]:
    """Let a model score beside the champion, for the record. 影子：试用模型同时评分，仅作记录。"""
    yield publisher.trial(node, "shadow", share)


@models.command()
def compare(
    shelf: Shelf = _SHELF,
    figure: Annotated[
        Path | None, typer.Option(help="Draw it as well, as SVG or PNG. 同时绘图。", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What the shadow said beside what was told. 比较影子模型与实际应答。"""
    from lab.serving.publishing.folder import ShelfFolder
    from lab.serving.publishing.shadow import ShadowBook
    from lab.serving.publishing.shadow_view import draw, show

    folder = ShelfFolder(shelf)
    state = folder.in_force()
    trial = state.challenger if state else None
    pairs = ShadowBook(folder).pairs(trial.version, state.champion) if state and trial else {}
    if figure and pairs:
        draw(pairs).savefig(figure)
    found = {mode: both.compared() for mode, both in pairs.items()}
    if as_json:
        print(json.dumps({mode: one.as_dict() for mode, one in found.items()}))
        return
    console = console_for(as_json)
    if not found:
        console.print("nothing to compare yet 尚无可比较的评分")
        return
    for mode, one in found.items():
        show(console, mode, one)
    if figure:
        console.print(f"  {figure}", highlight=False, markup=False)


@models.command()
@_changing
def promote(publisher: Publisher) -> Iterator[InForce]:
    """The model on trial becomes the champion. 将试用模型转为正式模型。"""
    yield publisher.promote()


@models.command()
@_changing
def rollback(
    publisher: Publisher,
    force: Annotated[bool, typer.Option(help="Even if a host is away. 即使有数据方不可用。")] = False,
) -> Iterator[InForce]:
    """Go back to the model before. 回退到上一个模型。"""
    yield publisher.rollback(force=force)


@models.command()
@_changing
def retire(
    publisher: Publisher,
    version: Annotated[
        str | None, typer.Argument(help="Default: the model on trial. 默认为试用模型。", show_default=False)
    ] = None,
) -> Iterator[InForce | None]:
    """End a trial, or take a version that is out of force off the shelf. 结束试用，或移除未在用的版本。"""
    if version is None:
        publisher.end_trial()
    else:
        publisher.retire(version)
    yield publisher.folder.in_force()


@models.command()
@_changing
def follow(
    publisher: Publisher,
    name: Annotated[str, typer.Argument(help="Registered model, such as lianmo-loans. 登记模型名称。")],
    tracking: Annotated[str, typer.Option(help="Address of the MLflow store. MLflow 地址。")],
    alias: Annotated[str, typer.Option(help="Alias to follow. 所跟随的别名。")] = "champion",
    seconds: Annotated[float, typer.Option(min=1, help="Between two looks. 轮询间隔（秒）。")] = 30.0,
    once: Annotated[bool, typer.Option(help="Look once and end. 仅查看一次。")] = False,
) -> Iterator[InForce | None]:
    """Put in force whatever an alias of the registry points to, until stopped. 跟随登记库别名并自动发布。"""
    import time

    from lab.serving.publishing.registry import RegistryWatch

    watch = RegistryWatch(publisher, tracking, name, alias)
    if once:
        yield watch.look() or publisher.folder.in_force()
        return
    while True:
        if state := watch.look_quietly():
            yield state
        time.sleep(seconds)


@contextmanager
def _publisher(
    shelf: Path, named: list[str] | None, file: Path | None, hub: Path | None, as_json: bool
) -> Iterator[Publisher]:
    """``hub``: through it hosts that only dial out are reached; others are not asked then."""
    from federation.transports.http import HttpWire
    from lab.commands.options import host_urls
    from lab.governance.publishing_record import PublishingRecord
    from lab.membership.lines import wire_through_hub
    from lab.serving.hosts import hosts_of
    from lab.serving.nodes import job_in
    from lab.serving.publishing.folder import ShelfFolder
    from lab.serving.publishing.publisher import PREPARE_SECONDS, Publisher

    console = console_for(as_json)

    def say(english: str, chinese: str) -> None:
        console.print(f"{english} {chinese}", style="dim", highlight=False, markup=False)

    def record(folder: Path) -> PublishingRecord:
        party = job_in(folder).party
        return PublishingRecord.of(party.node, party.party, party.party)

    at = hosts_of(host_urls(named), file)
    with (
        wire_through_hub(hub, (), deadline_seconds=PREPARE_SECONDS)
        if hub
        else HttpWire(at.urls, deadline_seconds=PREPARE_SECONDS, tls=at.tls)
    ) as wire:
        yield Publisher(ShelfFolder(shelf), wire, record, say)


def _tell(state: InForce | None, as_json: bool) -> None:
    if as_json:
        print(json.dumps(state and _plain(state)))
        return
    if state is None:
        console_for(as_json).print("nothing is in force 尚无在用模型")
        return
    told = f"champion 正式 {state.champion}  previous 上一个 {state.previous or '–'}"
    if trial := state.challenger:
        told += f"  {_MODES[trial.mode]} {trial.version} {trial.share:.0%}"
    console_for(as_json).print(told, highlight=False, markup=False)


_MODES = {"canary": "canary 灰度", "shadow": "shadow 影子"}


def _plain(state: InForce) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(state)


def _row(folder: ShelfFolder, state: InForce | None, version: str) -> dict[str, Any]:
    loaded = folder.load(version)
    states = []
    if state:
        states += ["champion"] if version == state.champion else []
        states += ["previous"] if version == state.previous else []
        states += [state.challenger.mode] if state.challenger and version == state.challenger.version else []
    return {
        "version": version,
        "name": loaded.published.name,
        "registered": loaded.published.version,
        "model_id": loaded.joint.model.model_id,
        "digest": loaded.joint.model.digest(),
        "hosts": loaded.joint.model.needed_hosts,
        "bank_only": loaded.bank_only.model.digest()[:16] if loaded.bank_only else "–",
        "calibrated": loaded.joint.calibrator is not None,
        "state": " ".join(states) or "–",
    }
