"""A bank and two data nodes with two finished runs of the same data, and the nodes' services on loopback."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from federation.transports.http import HttpWire
from lab.config import load_config
from lab.governance.publishing_record import PublishingRecord
from lab.jobs import node_directory
from lab.runs import train_run
from lab.serving.batch import score_table
from lab.serving.host_api import create_host_app
from lab.serving.loaded import Loaded
from lab.serving.nodes import scoring_endpoint
from lab.serving.publishing.folder import ShelfFolder
from lab.serving.publishing.publisher import Publisher
from lab.serving.server import running
from models.table import Table

TAX, COURT = "host:tax", "host:court"
RUNS = ("first", "second", "third")


def write_files(folder: Path, n: int = 500) -> None:
    rng = np.random.default_rng(3)
    own, taxes, cases = rng.normal(size=(3, n))
    ids = [f"{i:018d}" for i in range(n)]
    bad = (own + taxes + cases + rng.normal(size=n) > 0.7).astype(int)
    pd.DataFrame({"id": ids, "bad": bad, "amount": own}).to_csv(folder / "bank.csv", index=False)
    pd.DataFrame({"id": ids, "late": taxes}).to_csv(folder / "tax.csv", index=False)
    pd.DataFrame({"id": ids, "cases": cases}).to_csv(folder / "court.csv", index=False)


def write_run(folder: Path, name: str, n_trees: int, bank: str = "bank.csv") -> Path:
    hosts = "".join(
        f'[[hosts]]\nparty = "host:{h}"\ndata = "{h}.csv"\ninsecure_allow_plaintext = true\nshadow = true\n'
        for h in ("tax", "court")
    )
    path = folder / f"{name}.toml"
    path.write_text(
        f"""
[run]
name = "loans"
directory = "runs/{name}"
transport = "memory"
[boosting]
n_estimators = {n_trees}
max_depth = 3
max_bin = 8
min_child_samples = 5
[cipher]
name = "plain"
insecure_allow_plaintext = true
[guest]
party = "bank"
data = "{bank}"
label = "bad"
{hosts}""",
        encoding="utf-8",
    )
    return path


@dataclass(frozen=True)
class Lab:
    """Finished runs below ``folder``, and a shelf beside them."""

    folder: Path

    @property
    def shelf(self) -> ShelfFolder:
        return ShelfFolder(self.folder / "shelf")

    def bank(self, run: str) -> Path:
        return node_directory(self.folder / "runs" / run, "bank")

    def host(self, run: str, party: str) -> Path:
        return node_directory(self.folder / "runs" / run, party)

    @contextmanager
    def hosts(self, run: str = "first") -> Iterator[dict[str, str]]:
        """The nodes' services, started with their folders of one run: where they listen."""
        with ExitStack() as stack:
            apps = {party: create_host_app(scoring_endpoint(self.host(run, party))) for party in (TAX, COURT)}
            yield {party: stack.enter_context(running(app)) for party, app in apps.items()}

    @contextmanager
    def publisher(self, urls: dict[str, str]) -> Iterator[Publisher]:
        with HttpWire(urls, deadline_seconds=10.0) as wire:
            yield Publisher(self.shelf, wire, lambda _: PublishingRecord(None, "bank"), pause=lambda _: None)

    def table(self, n: int = 8) -> Table:
        frame = pd.read_csv(self.folder / "bank.csv", dtype={"id": str}).head(n)
        return Table(tuple(frame["id"]), {"amount": frame["amount"].to_numpy()})

    def scores(self, urls: dict[str, str], loaded: Loaded) -> list[object]:
        with HttpWire(urls) as wire:
            return list(score_table(loaded.joint.model, self.table(), wire, calibrator=loaded.joint.calibrator))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    write_files(folder)
    for k, name in enumerate(RUNS):
        train_run(load_config(write_run(folder, name, 2 + k)), Console(quiet=True))
    return folder


@pytest.fixture
def lab(trained: Path, tmp_path: Path) -> Lab:
    """A copy that a test may change."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return Lab(tmp_path)
