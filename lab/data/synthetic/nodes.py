"""The city's data nodes: catalogue, consents, records and an approved project of each host, and a run that asks them.

Built from the files of the city alone, as an officer would build a node from a bureau's exports.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import pandas as pd

from lab.data.synthetic import credit
from lab.data.synthetic.bank import FEATURES as BANK
from lab.data.synthetic.records import RECORDS
from lab.data.synthetic.writing import HOSTS, Format, path_of
from lab.errors import GovernanceError
from lab.governance.consents import Consent, ConsentLedger
from lab.governance.keys import KeyStore
from lab.governance.node_log import KEYS, open_log
from lab.governance.policy import CHINA, PolicyBook, Terms
from lab.governance.record_states import TERMS, TRANSITIONS, Severity, State
from lab.governance.records import Record, RecordBook, RecordChange
from lab.governance.ring import KeyRing, export, read_export
from lab.governance.settings import create_node
from lab.governance.store import open_store
from models.bundle import load

PROJECT: Final = "loans"
#: The run that goes through the nodes, beside the one that does not.
RUN: Final = "governed.toml"
#: Item of the credit centre's records, of which the node makes features.
PENALTIES: Final = "PEN-01"
#: Columns of penalties as they were then: what was repaired since would still stand in them.
FROZEN: Final = ("penalties_in_force", "worst_severity", "days_since_penalty", "serious_dishonesty")

_PURPOSES: Final = {
    "joint_modelling": "loan_model",
    "loan_approval": "loan_score",
    "post_loan_management": "loan_watch",
}
#: Columns of which the law asks for written consent, and what they are.
_WRITTEN: Final = {"tax_paid_4q": "tax_amount", "sales_4q": "income"}
_SHARING: Final = {"public": "open", "authorised": "consent", "written": "consent", "internal": "none"}
_SEVERITY: Final[Mapping[Any, Severity]] = {"minor": "minor", "general": "ordinary", "serious": "serious"}
_CHANGES: Final = (
    ("repair_applied_on", "repair_requested"),
    ("disputed_from", "disputed"),
    ("disputed_to", "dispute_settled"),
    ("withdrawn_on", "withdrawn"),
    ("repaired_on", "repaired"),
)


def write_nodes(city: Path, form: Format = "parquet", passphrase: str = "") -> Path:
    """A node beside the features of each of the three hosts; returns the path of the run that goes through them.

    Args:
        city: what ``writing.write_population`` wrote.
        passphrase: of keys for all nodes and the bank, which then know each other and keep audit logs; "": no keys.

    Raises:
        GovernanceError: ``node_exists``; nothing is left behind. KeysError: ``short_passphrase``.
    """
    folders = {spec.party: city / path_of(spec, form).parent / "node" for spec in (BANK, *HOSTS)}
    if any(folder.exists() for folder in folders.values()):
        raise GovernanceError(
            "node_exists",
            f"{city.name} has data nodes already. Draw the city anew to begin again.",
            f"{city.name} 已有数据节点。如需重来，请重新生成城市。",
        )
    columns = load(city / "synthetic-dictionary.json")["columns"]
    consents = _read(city / "ledger" / f"synthetic-consents.{form}")
    try:
        for spec in HOSTS:
            node = folders[spec.party]
            cited = [c for c in columns if (c["party"], c["table"]) == (spec.party, spec.name)]
            _make_node(node, spec.party, [c for c in cited if c["name"] not in ("subject", "as_of", "synthetic")])
            engine = open_store(f"sqlite:///{node.resolve() / 'node.db'}")
            ledger = ConsentLedger(engine)
            ledger.add([c for row in _rows(consents) if (c := _consent(row, spec.party, _written(cited)))])
            _approve(PolicyBook(engine))
            if spec is credit.FEATURES:
                records = [r for r in _rows(_read(city / path_of(RECORDS, form))) if r["kind"] != "honour"]
                book = RecordBook(engine)
                book.add([_record(row) for row in records])
                book.change_all([change for row in records for change in _changes(row)])
            engine.dispose()
        folders["bank"].mkdir(mode=0o700)
        if passphrase:
            _introduce(folders, passphrase)
        return _write_run(city, form, passphrase != "")
    except BaseException:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _make_node(node: Path, party: str, columns: list[dict[str, Any]]) -> None:
    group = party.removeprefix("host:")
    items = [_item(c, group) for c in columns]
    if party == credit.FEATURES.party:
        items.append({**items[0], "item": PENALTIES, "name": "penalties", "name_zh": "行政处罚", "sharing": "open"})
    text = 'city = "Synthetic city 合成城市"\nversion = "synthetic-1"\n' + "".join(map(_toml, items))
    catalogue = node.parent / "catalogue.toml.partial"
    catalogue.write_text(text, "utf-8")
    create_node(node, party, catalogue, "sqlite:///node.db")
    catalogue.unlink()
    lines = "".join(f'{c["name"]} = "{c["catalogue_item"]}"\n' for c in columns)
    records = f'[records]\nitems = ["{PENALTIES}"]\nas_of = "as_of"\n\n' if group == "credit" else ""
    path = node / "node.toml"
    path.write_text(path.read_text("utf-8").replace("[citations]\n", f"{records}[citations]\n{lines}"), "utf-8")


def _item(column: dict[str, Any], group: str) -> dict[str, str]:
    kind = _WRITTEN.get(column["name"])
    return {
        "item": column["catalogue_item"],
        "name": column["meaning"][:100],
        "name_zh": column["name_zh"],
        "group": group,
        "source": f"{group} (synthetic 合成)",
        "basis": "none: made up 虚构",
        "sharing": _SHARING[column["access"]],
        **({"kind": kind} if kind else {}),
    }


def _toml(item: Mapping[str, str]) -> str:
    return "\n[[items]]\n" + "".join(f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in item.items())


def _written(columns: list[dict[str, Any]]) -> list[str]:
    """What a consent names for items that need one in writing (``catalogue.Item.scope``)."""
    return [f"written:{c['catalogue_item'].lower()}" for c in columns if c["name"] in _WRITTEN]


def _consent(row: Mapping[str, Any], party: str, written: list[str]) -> Consent | None:
    """None: the consent does not name the party."""
    if party not in row["parties"].split(";"):
        return None
    group = party.removeprefix("host:")
    scopes = {
        "all_catalogue_items": [group, *written],
        "no_written_consent_items": [group],
        "public_items": ["public"],
    }[row["scope"]]
    revoked = row["revoked_on"]
    return Consent(
        consent=f"SYN-{row['consent_id']}",
        subject=row["subject"],
        purpose=_PURPOSES[row["purpose"]],
        parties=["bank"],
        scopes=scopes,
        starts=_midnight(row["starts_on"]),
        ends=_midnight(row["ends_on"]) + timedelta(days=1),
        revoked=None if pd.isna(revoked) else _midnight(revoked),
        evidence=row["evidence_digest"],
    )


def _record(row: Mapping[str, Any]) -> Record:
    severity = _SEVERITY.get(row["severity"], "serious")  # lists of serious dishonesty have no class
    published = pd.Timestamp(row["reported_on"])
    shortest, longest = (published + pd.DateOffset(months=m) for m in TERMS[severity])
    ends = min(max(pd.Timestamp(row["publicity_end"]), shortest, published + timedelta(days=1)), longest)
    return Record(
        record=f"SYN-{row['record_id']}",
        subject=row["subject"],
        item=PENALTIES,
        severity=severity,
        published=published.date(),
        term_ends=ends.date(),
        amount=float(row["amount"]),
    )


def _changes(row: Mapping[str, Any]) -> Iterable[RecordChange]:
    """What happened to a record, as far as the state machine knows it; corrections of the class are left out."""
    state: State = "active"
    dated = [(pd.Timestamp(row[column]).date(), change) for column, change in _CHANGES if not pd.isna(row[column])]
    for on, change in sorted(dated, key=lambda event: event[0]):
        if on >= pd.Timestamp(row["reported_on"]).date() and (state, change) in TRANSITIONS:
            state = TRANSITIONS[state, change]  # type: ignore[index]
            yield RecordChange(record=f"SYN-{row['record_id']}", change=change, on=on)  # type: ignore[arg-type]


def _approve(book: PolicyBook) -> None:
    terms = Terms(
        parties=["bank"],
        purposes=["loan_model", "loan_score"],
        algorithms=["boosting", "scorecard", "scoring"],
        hours=(0, 24),
    )
    at = datetime.now(UTC)
    book.propose(PROJECT, terms, "synthetic 合成", at)
    book.decide(PROJECT, "approved", "synthetic 合成", at)


def _introduce(folders: Mapping[str, Path], passphrase: str) -> None:
    """Keys of all parties, each other's public keys, and logs that have begun."""
    stores = {party: KeyStore(folder / KEYS) for party, folder in folders.items()}
    told = {}
    for party, store in stores.items():
        store.generate(party, "international", passphrase)
        signer = store.open(store.active("signing").key_id, passphrase)
        told[party] = read_export(export(store, signer))
    for party, folder in folders.items():
        for other in told.keys() - {party}:
            KeyRing(folder / KEYS).accept(told[other], told[other].fingerprint)
        open_log(folder, passphrase).begin()


def _write_run(city: Path, form: Format, with_keys: bool) -> Path:
    """``run.toml`` with a node for every host, and none of its frozen columns."""
    text = (city / "run.toml").read_text("utf-8").replace("-runs/trees", "-runs/governed")
    text = text.replace('name = "synthetic-trees"', 'name = "synthetic-governed"')
    for spec in HOSTS:
        data = path_of(spec, form)
        line = f'data = "{data.as_posix()}"\n'
        text = text.replace(line, f'{line}node = "{(data.parent / "node").as_posix()}"\nproject = "{PROJECT}"\n')
    credit_drop = f"drop = {json.dumps(['as_of', 'synthetic'])}"
    start = text.index(f'party = "{credit.FEATURES.party}"')
    own = text[start:].replace(credit_drop, f"drop = {json.dumps([*FROZEN, 'synthetic'])}", 1)
    text = text[:start] + own
    if with_keys:
        text = text.replace('label = "default"\n', 'label = "default"\nnode = "bank/node"\n')
    path = city / RUN
    path.write_text(text, "utf-8")
    return path


def _read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def _rows(frame: pd.DataFrame) -> Iterable[dict[str, Any]]:
    names = list(frame.columns)
    return (dict(zip(names, values, strict=True)) for values in frame.itertuples(index=False, name=None))


def _midnight(day: Any) -> datetime:
    return datetime.combine(pd.Timestamp(day).date(), time(), CHINA)
