"""``lianmo node``: what a party does with its own node, one file of commands per subject."""

from __future__ import annotations

import json

import typer

from lab.commands.keys import keys
from lab.commands.options import AsJson, console_for

node = typer.Typer(help="A party's own node: keys, inventory. 本方节点：密钥、密码应用清单。", no_args_is_help=True)
node.add_typer(keys, name="keys")


@node.command()
def inventory(as_json: AsJson = False) -> None:
    """Every use of cryptography in this release. 商用密码应用清单（密评）。"""
    from lab.governance.inventory import entries, show

    found = entries()
    if as_json:
        print(json.dumps([entry.as_dict() for entry in found], ensure_ascii=False))
        return
    show(console_for(as_json), found)
