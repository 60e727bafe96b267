"""``lianmo node consent``: the ledger of consents of this node."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.commands.options import NODE, AsJson, Lines, NodeFolder, console_for, tell_import

if TYPE_CHECKING:
    from lab.governance.consents import ConsentLedger

consent = typer.Typer(help="Consents of subjects. 主体授权台账。", no_args_is_help=True)


@consent.command("import")
def import_consents(file: Lines, node: NodeFolder = NODE, as_json: AsJson = False) -> None:
    """Add consents, all or none. 导入授权，要么全部成功，要么不作改动。"""
    from lab.governance.consents import Consent
    from lab.governance.lines import read_file
    from lab.governance.node_log import officers_log

    own = officers_log(node)
    given = read_file(Consent, file)
    added = _ledger(node).add(given)
    if own:
        own.say("consent_imported", consent_set=own.pseudonyms.consents(c.consent for c in given), n_rows=added)
    tell_import(len(given), added, as_json)


@consent.command()
def export(node: NodeFolder = NODE) -> None:
    """Print all consents, one JSON object per line. 导出全部授权。"""
    for each in _ledger(node).all():
        print(each.model_dump_json())


@consent.command()
def revoke(
    number: Annotated[str, typer.Argument(help="Number of the consent. 授权编号。")],
    node: NodeFolder = NODE,
    as_json: AsJson = False,
) -> None:
    """Revoke a consent from now on: the next use no longer has it. 立即撤销授权，下一次使用即生效。"""
    from lab.governance.node_log import officers_log

    own, at = officers_log(node), datetime.now(UTC)
    subject = _ledger(node).revoke(number, at)
    if own:
        names = own.pseudonyms
        own.say("consent_revoked", consent=names.consent(number), applicant=names.applicant(subject))
    if as_json:
        print(json.dumps({"consent": number, "revoked": at.isoformat()}))
        return
    console_for(as_json).print(f"{number}: revoked 已撤销 {at:%Y-%m-%d %H:%M:%S} UTC")


def _ledger(node: Path) -> ConsentLedger:
    from lab.governance.consents import ConsentLedger, checked_by
    from lab.governance.ring import KeyRing
    from lab.governance.settings import store_of

    return ConsentLedger(store_of(node), checked_by(KeyRing(node / "keys")))
