"""Hub and three nodes as processes of their own, on Flower's deployment engine, over TLS: the model of one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lab.config import parse_config
from lab.data.demo import write_demo_data
from lab.jobs import node_directory
from lab.runs import train_run
from models.bundle import Half, JointModel, load
from models.errors import LianmoError
from tests.lab.membership.at_work import federation, node_of

HOSTS = ("host:social", "host:registry")
RUN = {"boosting": {"n_estimators": 2, "max_depth": 3}}


def hosts(data: dict[str, Path]) -> list[dict[str, Any]]:
    return [{"party": host, "data": str(data[host])} for host in HOSTS]


@pytest.mark.slow
def test_a_federation_trains_the_model_of_one_machine_and_refuses_other_code(tmp_path: Path) -> None:
    data = write_demo_data(tmp_path / "data")
    guest = {"party": "bank", "data": str(data["bank"]), "label": "default"}
    plain = {**RUN, "run": {"directory": "runs/memory", "transport": "memory"}, "guest": guest, "hosts": hosts(data)}
    train_run(parse_config(plain, tmp_path), Console(quiet=True))

    canary = tmp_path / "canary"
    own = {host: {"party.toml": f'party = "{host}"\ndata = "{data[host]}"\n'} for host in HOSTS}
    with federation(tmp_path, {"bank": {}, **own}) as hub:
        section = {"node": "bank", "hosts": HOSTS}
        through = {**RUN, "run": {"directory": "runs/hub"}, "guest": guest, "hub": section}
        config = parse_config(through, tmp_path)
        # A hub that ships other code: nothing of it runs at any node, and the nodes go on afterwards.
        entry = hub / "flower" / "app" / "lianmo_shim" / "client_app.py"
        ours = entry.read_text()
        entry.write_text(ours + f"\nfrom pathlib import Path\nPath({str(canary)!r}).touch()\n")
        with pytest.raises(LianmoError) as refused:
            train_run(config, Console(quiet=True))
        assert "unknown_bundle" in refused.value.english
        assert not canary.exists()
        assert not (tmp_path / "runs" / "hub").exists()
        assert "unknown_bundle" in (tmp_path / "host-social" / "node.log").read_text()

        entry.write_text(ours)
        train_run(config, Console(quiet=True))
        assert_same_model(tmp_path)


def assert_same_model(folder: Path) -> None:
    models = []
    for run in ("memory", "hub"):
        model = JointModel.from_json(load(node_directory(folder / "runs" / run, "bank") / "model.json"))
        halves = []
        for host in HOSTS:
            one_machine = node_directory(folder / "runs" / run, host)
            own = node_of(folder, host) / "runs" / model.own.model_id
            half = Half.from_json(load((one_machine if run == "memory" else own) / "half.json"))
            assert half.digest() == model.host_digests[host]
            halves.append((half.bins, half.splits))
        models.append((model.trees, model.base_margin, model.own.splits, halves))
    assert models[0] == models[1]
    # Nothing of the hosts' own is with the bank, and nothing of the bank's with the hub.
    assert not (folder / "runs" / "hub" / "nodes" / "host-social").exists()
    secret = (folder / "data" / "bank.csv").read_bytes().splitlines()[1].split(b",")[0]
    for path in (folder / "hub").rglob("*"):
        if path.is_file():
            assert secret not in path.read_bytes()
