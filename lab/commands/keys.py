"""``lianmo node keys``: the life of a node's keys, and the public keys of other parties."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from lab.commands.options import NODE, AsJson, NodeFolder, console_for, passphrase

if TYPE_CHECKING:
    from lab.governance.keys import KeyRecord, KeyStore
    from lab.governance.ring import KeyRing, PublicKey, PublicKeys

keys = typer.Typer(help="Keys of this node and public keys of others. 本方密钥与他方公钥。", no_args_is_help=True)

_MAXIMUM_EXPORT: Final = 1 << 20

KeyId = Annotated[str, typer.Argument(help="Id of a key, 16 digits. 密钥编号。", metavar="KEY")]


@keys.command()
def generate(
    party: Annotated[str, typer.Option(help="Whose keys they are, e.g. host:tax. 密钥所属参与方。")],
    suite: Annotated[str, typer.Option(help="international or sm. 密码套件。")] = "international",
    purpose: Annotated[
        list[str] | None, typer.Option(help="signing, sealing, storage; all if not given. 用途。", show_default=False)
    ] = None,
    node: NodeFolder = NODE,
    as_json: AsJson = False,
) -> None:
    """New keys, one for each purpose. 生成密钥（签名、密封、存储）。"""
    from lab.governance.held import PURPOSES

    chosen = tuple(dict.fromkeys(purpose or PURPOSES))
    _check_purposes(chosen)
    made = _store(node).generate(party, suite, passphrase(new=True), chosen)
    _show_own(made, party, as_json)


@keys.command("list")
def list_keys(node: NodeFolder = NODE, as_json: AsJson = False) -> None:
    """All keys that ever were, and those of other parties. 列出全部密钥及他方公钥。"""
    store, ring = _store(node), _ring(node)
    if as_json:
        print(
            json.dumps(
                {"owner": store.owner, "keys": [_as_dict(r) for r in store.records()]}
                | {"others": [{**asdict(k), "state": k.state} for k in ring.known()]},
                ensure_ascii=False,
            )
        )
        return
    _show_own(store.records(), store.owner, as_json)
    _show_others(console_for(as_json), ring.known())


@keys.command()
def rotate(
    key: KeyId,
    suite: Annotated[str | None, typer.Option(help="Move to this suite. 更换密码套件。", show_default=False)] = None,
    node: NodeFolder = NODE,
    as_json: AsJson = False,
) -> None:
    """A new key in its place; the old one only reads. 轮换密钥，旧密钥仅用于验签与解密。"""
    store = _store(node)
    new = store.rotate(key, passphrase(), suite)
    _show_own([store.record(key), new], store.owner, as_json)


@keys.command()
def revoke(
    key: KeyId,
    reason: Annotated[str, typer.Option(help="Why; stays at this node. 原因，仅留存本方。")],
    node: NodeFolder = NODE,
    as_json: AsJson = False,
) -> None:
    """Trust a key no more, one's own or another party's. 吊销密钥（本方或他方）。"""
    store, ring = _store(node), _ring(node)
    if any(other.key_id == key for other in ring.known()):
        revoked = ring.revoke(key)
        if as_json:
            print(json.dumps({**asdict(revoked), "state": revoked.state}, ensure_ascii=False))
        else:
            _show_others(console_for(as_json), [revoked])
        return
    _show_own([store.revoke(key, reason)], store.owner, as_json)


@keys.command()
def destroy(
    key: KeyId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. 不再确认。")] = False,
    node: NodeFolder = NODE,
    as_json: AsJson = False,
) -> None:
    """Destroy a secret for ever; its record stays. 销毁私钥，记录保留。"""
    store = _store(node)
    found = store.record(key)
    if not yes:
        typer.confirm(
            f"What only {key} ({found.purpose}) reads is lost for ever. Destroy it? 其加密的数据将无法恢复，确认销毁？",
            abort=True,
            err=True,
        )
    _show_own([store.destroy(key)], store.owner, as_json)


@keys.command()
def export(
    out: Annotated[Path | None, typer.Option(help="Write here instead of standard output. 输出文件。")] = None,
    node: NodeFolder = NODE,
) -> None:
    """This node's public keys, signed, for other parties. 导出本方公钥（已签名）。"""
    from lab.governance.held import SIGNING
    from lab.governance.ring import export as export_keys

    store = _store(node)
    signing = store.active(SIGNING)
    text = json.dumps(export_keys(store, store.open(signing.key_id, passphrase())), ensure_ascii=False, indent=1)
    if out is None:
        print(text)
    else:
        partial = out.with_name(out.name + ".partial")
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(out)
    Console(stderr=True).print(
        f"Read this out to whoever imports it 请将此指纹读给导入方:\n  {signing.fingerprint}", highlight=False
    )


@keys.command("import")
def import_keys(
    file: Annotated[Path, typer.Argument(help="Another party's export. 他方的公钥导出文件。")],
    fingerprint: Annotated[
        str | None, typer.Option(help="As the other party reads it out. 对方读出的指纹。", show_default=False)
    ] = None,
    node: NodeFolder = NODE,
    as_json: AsJson = False,
) -> None:
    """Believe another party's public keys, after comparing. 核对指纹后导入他方公钥。"""
    from lab.governance.ring import read_export

    console, ring = console_for(as_json), _ring(node)
    found = read_export(_load(file))
    if fingerprint is None and not as_json and not ring.is_known(found):
        fingerprint = _ask(console, found)
    ring.accept(found, fingerprint)
    accepted = [key for key in ring.known() if key.owner == found.owner]
    if as_json:
        print(json.dumps([{**asdict(key), "state": key.state} for key in accepted], ensure_ascii=False))
        return
    _show_others(console, accepted)


def _ask(console: Console, found: PublicKeys) -> str | None:
    """The fingerprint, if the officer says that the other party reads out the same one."""
    console.print(
        f"{found.owner}: ask its officer, by telephone or in person, to read out the fingerprint.\n"
        f"请通过电话或当面请 {found.owner} 的负责人读出指纹：\n  {found.fingerprint}",
        highlight=False,
    )
    return found.fingerprint if typer.confirm("Is it the same? 是否一致？", err=True) else None


def _store(node: Path) -> KeyStore:
    from lab.governance.keys import KeyStore

    return KeyStore(node / "keys")


def _ring(node: Path) -> KeyRing:
    from lab.governance.ring import KeyRing

    return KeyRing(node / "keys")


def _load(file: Path) -> dict[str, Any]:
    from lab.errors import ConfigError

    try:
        with file.open("rb") as opened:
            data = json.loads(opened.read(_MAXIMUM_EXPORT))
        if isinstance(data, dict):
            return data
    except (OSError, ValueError, RecursionError):
        pass
    raise ConfigError(
        "export_unreadable",
        f"'{file.name}' is missing or no export of public keys.",
        f"“{file.name}”不存在，或不是公钥导出文件。",
    )


def _check_purposes(chosen: Sequence[str]) -> None:
    from lab.errors import ConfigError
    from lab.governance.held import PURPOSES

    if not set(chosen) <= set(PURPOSES):
        raise ConfigError(
            "unknown_purpose",
            f"--purpose is {', '.join(PURPOSES)}.",
            f"--purpose 应为 {'、'.join(PURPOSES)}。",
        )


def _as_dict(record: KeyRecord) -> dict[str, str]:
    return {**asdict(record), "state": record.state, "fingerprint": record.fingerprint}


def _show_own(records: Sequence[KeyRecord], owner: str, as_json: bool) -> None:
    from lab import views
    from lab.governance.held import PURPOSES_ZH, SIGNING
    from lab.governance.keys import STATES_ZH

    if as_json:
        print(json.dumps([_as_dict(r) for r in records], ensure_ascii=False))
        return
    console = console_for(as_json)
    views.title(console, "Keys 密钥", owner)
    grid = views.table(
        ("key 编号", False),
        ("suite 套件", False),
        ("purpose 用途", False),
        ("state 状态", False),
        ("since 时间", False),
    )
    for r in records:
        since = r.destroyed or r.revoked or r.retired or r.created
        grid.add_row(
            r.key_id, r.suite, f"{r.purpose} {PURPOSES_ZH[r.purpose]}", f"{r.state} {STATES_ZH[r.state]}", since
        )
    console.print(grid)
    for r in records:
        if (r.purpose, r.state) == (SIGNING, "active"):
            console.print(f"  fingerprint 指纹  {r.fingerprint}", highlight=False)


def _show_others(console: Console, others: Sequence[PublicKey]) -> None:
    from lab import views
    from lab.governance.held import PURPOSES_ZH
    from lab.governance.keys import STATES_ZH

    if not others:
        return
    views.title(console, "Public keys of others 他方公钥", "")
    grid = views.table(
        ("party 参与方", False),
        ("key 编号", False),
        ("suite 套件", False),
        ("purpose 用途", False),
        ("state 状态", False),
    )
    for k in others:
        grid.add_row(
            k.owner, k.key_id, k.suite, f"{k.purpose} {PURPOSES_ZH[k.purpose]}", f"{k.state} {STATES_ZH[k.state]}"
        )
    console.print(grid)
