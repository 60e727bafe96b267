"""Coordinator and three sites as processes of their own, through a hub on Flower's deployment engine: the model of one
process, bit for bit; and the same under Flower's simulation and over the relay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lab.horizontal.config import HorizontalConfig, parse_horizontal
from lab.horizontal.runs import train_over_sites
from lab.jobs import node_directory
from models.bundle import load
from tests.lab.horizontal.cities import AVERAGE, SITES, STANDARD, TREES, run_file, write_sites
from tests.lab.membership.at_work import federation, node_of

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
    sites = SITES[:3]  # as few as a sum is opened of
    write_sites(tmp_path, sites=sites)
    expected = [trained(parse_horizontal(run_file(sites=sites, **section), tmp_path)) for section in (TREES, AVERAGE)]
    own = {
        site: {"site.toml": f'party = "{site}"\ndata = "{tmp_path / site.removeprefix("site:")}.csv"\nlabel = "bad"\n'}
        for site in sites
    }
    with federation(tmp_path, {"coordinator": {}, **own}):
        for section, model in zip((TREES, AVERAGE), expected, strict=True):
            through = {
                "run": {"directory": "runs/hub"},
                "horizontal": {},
                "standard": STANDARD,
                "hub": {"node": "coordinator", "sites": list(sites)},
                **section,
            }
            config = parse_horizontal(through, tmp_path)
            assert trained(config) == model
            session = load(config.run.directory / "result.json")["model_id"]
            for site in sites:
                kept = node_of(tmp_path, site) / "runs" / session
                assert same(load(kept / "model.json")) == model
                assert load(kept / "outcome.json")["auc"]["joint"]["value"] > 0.5
        # Nothing of a site's own is with the coordinator, and no row of it with the hub.
        assert not (tmp_path / "runs" / "hub" / "nodes" / "site-a").exists()
        assert load(tmp_path / "runs" / "hub" / "result.json")["sites"] == {site: {} for site in sites}
        secret = (tmp_path / "a.csv").read_bytes().splitlines()[1].split(b",")[0]
        for path in [*(tmp_path / "hub").rglob("*"), *(tmp_path / "runs" / "hub").rglob("*")]:
            assert not path.is_file() or secret not in path.read_bytes()
