"""Coordinator and four sites as processes of their own, through a hub on Flower's deployment engine: the model of one
process, bit for bit; and the same under Flower's simulation and over the relay."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lab.flower_programs import free_port
from lab.horizontal.config import HorizontalConfig, parse_horizontal
from lab.horizontal.runs import train_over_sites
from lab.hub.invitations import invite, role_of
from lab.hub.members import Members
from lab.hub.settings import HubSettings, authority_of, create_hub
from lab.jobs import node_directory
from lab.membership.hub_client import join
from models.bundle import load
from tests.lab.horizontal.cities import AVERAGE, SITES, STANDARD, TREES, run_file, write_sites
from tests.lab.membership.test_federation import command, left_over

QUIET = Console(quiet=True)


def trained(config: HorizontalConfig) -> dict[str, Any]:
    """The model of a run, without what names the run."""
    train_over_sites(config, QUIET)
    return same(load(node_directory(config.run.directory, config.lead) / "model.json"))


def same(model: dict[str, Any]) -> dict[str, Any]:
    model.pop("model_id", None)
    for half in (model.get("own"), model.get("half")):
        if half:
            half.pop("model_id")
            half.pop("salt", None)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["relay", "flower"])
def test_every_way_on_one_machine_gives_the_same_model(tmp_path: Path, transport: str) -> None:
    write_sites(tmp_path)
    in_memory, other = (trained(parse_horizontal(run_file(way, **TREES), tmp_path)) for way in ("memory", transport))
    assert in_memory == other


@pytest.mark.slow
def test_through_a_hub_sites_train_the_model_of_one_process(tmp_path: Path) -> None:
    write_sites(tmp_path)
    expected = [trained(parse_horizontal(run_file(**section), tmp_path)) for section in (TREES, AVERAGE)]
    hub, settings = tmp_path / "hub", HubSettings(address=f"127.0.0.1:{free_port()}")
    create_hub(hub, settings)
    with ExitStack() as stack:
        stack.enter_context(command(tmp_path / "hub.log", "listens", "hub", "start", "--hub", str(hub)))
        for party in ("coordinator", *SITES):
            node = tmp_path / party.replace(":", "-")
            made = invite(authority_of(hub), settings.name, settings.address, party, role_of(party), 1.0)
            Members(hub).invited(made)
            join(node, made)
            if party in SITES:
                data = tmp_path / f"{party.removeprefix('site:')}.csv"
                (node / "site.toml").write_text(f'party = "{party}"\ndata = "{data}"\nlabel = "bad"\n')
            log = tmp_path / f"{node.name}.log"
            stack.enter_context(command(log, "waits", "node", "start", "--node", str(node)))
        for section, model in zip((TREES, AVERAGE), expected, strict=True):
            through = {
                "run": {"directory": "runs/hub"},
                "horizontal": {},
                "standard": STANDARD,
                "hub": {"node": "coordinator", "sites": list(SITES)},
                **section,
            }
            config = parse_horizontal(through, tmp_path)
            assert trained(config) == model
            session = load(config.run.directory / "result.json")["model_id"]
            for site in SITES:
                own = tmp_path / site.replace(":", "-") / "runs" / session
                assert same(load(own / "model.json")) == model
                assert load(own / "outcome.json")["auc"]["joint"]["value"] > 0.5
        # Nothing of a site's own is with the coordinator, and no row of it with the hub.
        assert not (tmp_path / "runs" / "hub" / "nodes" / "site-a").exists()
        assert load(tmp_path / "runs" / "hub" / "result.json")["sites"] == {site: {} for site in SITES}
        secret = (tmp_path / "a.csv").read_bytes().splitlines()[1].split(b",")[0]
        for path in [*(tmp_path / "hub").rglob("*"), *(tmp_path / "runs" / "hub").rglob("*")]:
            assert not path.is_file() or secret not in path.read_bytes()
    assert left_over(tmp_path) == []
