"""Banks, data nodes and coordinator as processes of their own, over the relay, under Flower's simulation and through a
hub on Flower's deployment engine: the model of one process, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from federation.errors import PartyId
from lab.horizontal.config import HorizontalConfig, parse_horizontal
from lab.horizontal.runs import train_over_sites
from lab.jobs import node_directory
from models.bundle import load
from tests.lab.hybrid.cities import BANKS, TREES, run_file, tax_only, write_cities
from tests.lab.membership.at_work import federation, node_of

QUIET = Console(quiet=True)


def parts(config: HorizontalConfig, folders: dict[PartyId, Path] | None = None) -> dict[PartyId, dict[str, Any]]:
    """What every party has of the model, without what names the run. ``folders``: of those that are elsewhere."""
    found = {}
    for party in config.party_names:
        folder = (folders or {}).get(party) or node_directory(config.run.directory, party)
        half = party in config.host_names
        found[party] = same(load(folder / ("half.json" if half else "model.json")))
    return found


def same(part: dict[str, Any]) -> dict[str, Any]:
    """Without identity, salt, and what follows from a salt."""
    for own in (part, part.get("own", {})):
        for name in ("model_id", "salt"):
            own.pop(name, None)
    return {name: value for name, value in part.items() if name not in ("host_digests", "host_features")}


def trained(folder: Path, told: dict[str, Any]) -> dict[PartyId, dict[str, Any]]:
    config = parse_horizontal(told, folder)
    train_over_sites(config, QUIET)
    return parts(config)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["relay", "flower"])
def test_every_way_on_one_machine_gives_the_same_model(tmp_path: Path, transport: str) -> None:
    write_cities(tmp_path)
    other, in_memory = (trained(tmp_path, tax_only(run_file(way))) for way in (transport, "memory"))
    assert other == in_memory


@pytest.mark.slow
def test_encryption_changes_no_bit_of_the_model(tmp_path: Path) -> None:
    write_cities(tmp_path)
    told = tax_only(run_file(boosting=TREES | {"n_estimators": 1}))
    clear = trained(tmp_path, told)
    del told["hybrid"]["cipher"]
    told["run"] |= {"directory": "runs/encrypted"}
    for party in (*told["sites"], *told["hosts"]):
        del party["insecure_allow_plaintext"]
    encrypted = trained(tmp_path, told)
    for party in ("coordinator", *BANKS):  # the cipher is on record
        assert clear[party].pop("details")["cipher"] == "plain"
        assert encrypted[party].pop("details")["cipher"] == "paillier"
    assert encrypted == clear


@pytest.mark.slow
def test_through_a_hub_they_train_the_model_of_one_process(tmp_path: Path) -> None:
    write_cities(tmp_path)
    told = tax_only(run_file())
    expected = trained(tmp_path, told)
    hosts = tuple(host["party"] for host in told["hosts"])
    own: dict[str, dict[str, str]] = {"coordinator": {}}
    for party in (*BANKS, *hosts):
        text = (
            f'party = "{party}"\ninsecure_allow_plaintext = true\ndata = "{tmp_path / party.partition(":")[2]}.csv"\n'
        )
        own[party] = {"site.toml": text + 'label = "bad"\n'} if party in BANKS else {"party.toml": text}
    with federation(tmp_path, own):
        through = {name: told[name] for name in ("horizontal", "standard", "hybrid", "boosting")}
        through |= {"run": {"directory": "runs/hub", "party_seconds": 600.0}, "hub": {"node": "coordinator"}}
        config = parse_horizontal(through, tmp_path)
        result = train_over_sites(config, QUIET)
        folders = {p: node_of(tmp_path, p) / "runs" / result["model_id"] for p in (*BANKS, *hosts)}
        assert parts(config, folders) == expected
        for bank in BANKS:
            assert load(folders[bank] / "outcome.json")["auc"]["joint"]["value"] > 0.5
        # Nothing of a party's own is with the coordinator, no row of it with the hub, no name of a column of data nodes
        # with a bank.
        assert result["sites"] == {bank: {} for bank in BANKS}
        assert result["hosts"] == {host: {} for host in hosts}
        secret = (tmp_path / "a.csv").read_bytes().splitlines()[1].split(b",")[0]
        for path in [*(tmp_path / "hub").rglob("*"), *(tmp_path / "runs" / "hub").rglob("*")]:
            assert not path.is_file() or secret not in path.read_bytes()
        for path in [*(tmp_path / "hub").rglob("*"), *folders["bank:a"].rglob("*")]:
            assert not path.is_file() or b"tax_paid_2023" not in path.read_bytes()
