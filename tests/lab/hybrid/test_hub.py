"""A run through a hub's door, front and relay, over TLS and sealed, every party from its own folder, in threads where
Flower's nodes would be: the model of one process, bit for bit. ``test_federation`` has the nodes."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lab.horizontal.config import parse_horizontal
from lab.horizontal.membership import site_job_of
from lab.horizontal.party import take_part
from lab.horizontal.runs import train_over_sites
from lab.membership.session import telling
from models.bundle import load
from models.errors import LianmoError
from tests.lab.hub.harness import FakeFlower, hub_at_work
from tests.lab.hybrid.cities import BANKS, HOSTS, STANDARDS, run_file, write_cities
from tests.lab.hybrid.test_federation import QUIET, parts, trained

Start = Callable[[FakeFlower, dict[str, str | int], Path], Any]


def folder_of(folder: Path, party: str) -> Path:
    return folder / party.replace(":", "-")


def nodes_in_threads(folder: Path, pool: ThreadPoolExecutor, begun: list[Future[None]]) -> Start:
    """In the place of ``FakeFlower.start_run``: what Flower has nodes do."""

    def part(party: str, settings: dict[str, Any]) -> None:
        node = folder_of(folder, party)
        with suppress(LianmoError), telling(node, settings):
            job = site_job_of(node, party, settings)
            assert job
            take_part(job)

    async def start_run(_: FakeFlower, settings: dict[str, str | int], __: Path) -> str:
        tickets = json.loads(str(settings["tickets"]))
        for party in str(settings["parties"]).split(","):
            begun.append(pool.submit(part, party, {**settings, "ticket": tickets[party]}))
        return "1"

    return start_run


def test_through_a_hub_they_train_the_model_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = write_cities(tmp_path)
    expected = trained(tmp_path, run_file())
    begun: list[Future[None]] = []
    parties = ("coordinator", *BANKS, *HOSTS)
    with hub_at_work(tmp_path / "hub") as hub, ThreadPoolExecutor(len(parties)) as pool:
        monkeypatch.setattr(FakeFlower, "start_run", nodes_in_threads(tmp_path, pool, begun))
        for party in parties:
            node = folder_of(tmp_path, party)
            hub.joined(node, party)
            own = f'party = "{party}"\ninsecure_allow_plaintext = true\n'
            own += f'data = "{tmp_path / party.partition(":")[2]}.csv"\n'
            if party in BANKS:
                (node / "site.toml").write_text(own + 'label = "bad"\n', "utf-8")
            if party in HOSTS:
                (node / "party.toml").write_text(own, "utf-8")
        told = {k: v for k, v in run_file().items() if k not in ("sites", "hosts")}
        told |= {"run": {"directory": "runs/hub"}, "hub": {"node": "coordinator"}}
        config = parse_horizontal(told, tmp_path)
        result = train_over_sites(config, QUIET)
        for part in begun:
            part.result(60)
    folders = {p: folder_of(tmp_path, p) / "runs" / result["model_id"] for p in (*BANKS, *HOSTS)}
    assert parts(config, folders) == expected
    # Nothing of a party's own is with the coordinator, no row with the hub, no column of data nodes with bank or hub.
    assert result["sites"] == {bank: {} for bank in BANKS}
    assert result["hosts"] == {host: {} for host in HOSTS}
    assert load(folders["bank:c"] / "outcome.json")["auc"]["joint"]["value"] > 0.5
    at_hub = [path.read_bytes() for path in (tmp_path / "hub").rglob("*") if path.is_file()]
    at_lead = [path.read_bytes() for path in (tmp_path / "runs" / "hub").rglob("*") if path.is_file()]
    at_banks = [path.read_bytes() for b in BANKS for path in folders[b].rglob("*") if path.is_file()]
    assert not [data for data in (*at_hub, *at_lead) if frame.index[0].encode() in data]
    names = [name for s in STANDARDS.values() for name in [*s.get("numbers", ()), *s.get("levels", {})]]
    assert not [name for data in (*at_hub, *at_banks) for name in names if name.encode() in data]
