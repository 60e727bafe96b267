"""The parties of the measurement: a bank and two data nodes with one joint model of real data, and the bank's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from lab.config import load_config
from lab.data.demo import write_demo_data
from lab.data.sources import applicants_table, read_frame
from lab.governance.keys import KeyStore
from lab.governance.node_log import KEYS, open_log
from lab.jobs import node_directory
from lab.runs import train_run
from lab.serving.nodes import joint_model
from models.table import Table

HOSTS = ("host:social", "host:registry")
PHRASE = "a bench has nothing to hide"
_CONFIG = """\
[run]
name = "{name}"
directory = "runs/{name}"
transport = "memory"
[boosting]
n_estimators = {trees}
learning_rate = 0.1
max_depth = 4
max_bin = 32
random_state = 2026
[cipher]
name = "plain"
insecure_allow_plaintext = true
[split]
holdout = 0.3
[guest]
party = "bank"
data = "bank.csv"
label = "default"
node = "bank-node"
"""
_HOST = '[[hosts]]\nparty = "{party}"\ndata = "{file}.csv"\ninsecure_allow_plaintext = true\nshadow = true\n'


@dataclass(frozen=True)
class World:
    """Attributes:
    run: folder of the model's run; runs of one place have the same data.
    table: the bank's applicants whom both data nodes hold, as the service is asked about them.
    """

    run: Path
    table: Table

    @property
    def bank(self) -> Path:
        return node_directory(self.run, "bank")

    def host(self, party: str) -> Path:
        return node_directory(self.run, party)

    def body(self, row: int, reasons: int = 0) -> dict[str, Any]:
        values = {name: column[row] for name, column in self.table.columns.items()}
        features = {name: None if v is None or v != v else v for name, v in values.items()}
        return {
            "application_id": f"application-{row}",
            "applicant_id": self.table.ids[row],
            "features": features,
            "reasons": reasons,
        }


def write_data(place: Path) -> None:
    """All parties' files, and the bank's node with keys and an audit log."""
    write_demo_data(place)
    store = KeyStore(place / "bank-node" / KEYS)
    (place / "bank-node").mkdir(mode=0o700)
    store.generate("bank", "international", PHRASE)
    open_log(place / "bank-node", PHRASE).begin()


def make_world(place: Path, name: str, trees: int) -> World:
    """A run on the data in ``place``. Plain sums: the same model as under encryption, to the bit, in seconds."""
    text = _CONFIG.format(name=name, trees=trees)
    text += "".join(_HOST.format(party=party, file=party.replace(":", "-")) for party in HOSTS)
    path = place / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    config = load_config(path)
    train_run(config, Console(quiet=True))
    run = place / "runs" / name
    bank = node_directory(run, "bank")
    assert (bank / "bank_only.json").exists()
    model, _ = joint_model(bank)
    frame = read_frame(place / "bank.csv", "id")
    everybody = applicants_table(frame, "id", model.inputs)
    held = [set(pd.read_csv(place / f"{h.replace(':', '-')}.csv", dtype={"id": str})["id"]) for h in HOSTS]
    rows_of_all = [k for k, name in enumerate(everybody.ids) if all(name in ids for ids in held)]
    return World(run, everybody.take(np.array(rows_of_all, dtype=np.intp)))


def bodies_file(world: World, path: Path, reasons: int = 0, most: int = 2000) -> None:
    """One request per line, for the load tool."""
    lines = (json.dumps(world.body(row, reasons), default=float) for row in range(min(most, len(world.table))))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
