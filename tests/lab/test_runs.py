"""Whole runs in memory and over the relay: same model, whole or nothing, and the error of the party where it arose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from lab.config import load_config, parse_config
from lab.runs import train_run
from models.bundle import Half, JointModel, load
from models.errors import LianmoError
from tests.lab.conftest import Write


def run(path: Path) -> dict[str, Any]:
    return train_run(load_config(path), Console(quiet=True))


def trees(directory: Path) -> object:
    return JointModel.from_json(load(directory / "nodes" / "bank" / "model.json")).trees


def test_memory_and_relay_give_the_same_model(write_config: Write, files: Path) -> None:
    in_memory = run(write_config("memory"))
    first = trees(files / "runs" / "small")
    over_relay = run(write_config("relay"))
    assert trees(files / "runs" / "small") == first
    for part in ("auc", "ks", "gain", "rows"):
        assert over_relay[part] == in_memory[part]


def test_weights_leaves_and_constraints_reach_the_model(write_config: Write, files: Path) -> None:
    bank = pd.read_csv(files / "bank.csv", dtype={"id": str})
    bank.assign(w=np.where(bank["bad"] == 1, 3.0, 1.0)).to_csv(files / "bank.csv", index=False)
    path = write_config(boosting="num_leaves = 4\nfirst_trees_guest_only = 1\nmonotone_constraints = { amount = 1 }")
    text = path.read_text(encoding="utf-8").replace('label = "bad"', 'label = "bad"\nweight = "w"')
    path.write_text(text.replace('party = "host:tax"', 'party = "host:tax"\nmonotone_constraints = { late = 1 }'))
    result = run(path)
    model = JointModel.from_json(load(files / "runs" / "small" / "nodes" / "bank" / "model.json"))
    rate = result["bad_rate"]["fit"]
    assert model.base_margin == pytest.approx(np.log(3 * rate / (1 - rate)))
    assert "w" not in {b.name for b in model.own.bins}
    assert max(sum(not n.owner for n in tree) for tree in model.trees) <= 4
    assert {n.owner for n in model.trees[0]} == {"bank", ""}


@pytest.mark.slow
def test_flower_gives_the_same_model(write_config: Write, files: Path) -> None:
    run(write_config("memory"))
    first = trees(files / "runs" / "small")
    run(write_config("flower"))
    assert trees(files / "runs" / "small") == first


def test_each_party_keeps_its_own_half_and_the_halves_are_tied(write_config: Write, files: Path) -> None:
    result = run(write_config("relay"))
    nodes = files / "runs" / "small" / "nodes"
    model = JointModel.from_json(load(nodes / "bank" / "model.json"))
    for host in ("tax", "court"):
        half = Half.from_json(load(nodes / f"host-{host}" / "half.json"))
        assert half.digest() == model.host_digests[f"host:{host}"]
        assert half.model_id == model.model_id == result["model_id"]
    bank_files = "".join(p.read_text(encoding="utf-8") for p in (nodes / "bank").iterdir())
    for name in ("tax, 元", "late", "seized", "cases"):
        assert f'"{name}"' not in bank_files
    assert "amount" not in "".join(p.read_text(encoding="utf-8") for p in nodes.glob("host-*/half.json"))


def test_result_has_what_is_promised(write_config: Write, files: Path) -> None:
    result = run(write_config(cipher="paillier"))
    assert json.loads((files / "runs" / "small" / "result.json").read_text(encoding="utf-8")) == result
    assert result["key_bits"] == 2048
    assert result["trees"] == 3
    assert result["rows"]["fit"] + result["rows"]["holdout"] == result["rows"]["common"]
    assert set(result["bytes"]) == {"bank", "host:tax", "host:court"}
    hosts = [result["bytes"][host] for host in ("host:tax", "host:court")]
    assert result["bytes"]["bank"]["sent"] == sum(traffic["received"] for traffic in hosts)
    learnt = {(d["receiver"], d["message"]) for d in result["disclosures"]}
    assert ("bank", "boosting.sums") in learnt
    assert ("host:tax", "boosting.gradients") in learnt
    assert result["auc"]["joint"]["low"] <= result["auc"]["joint"]["value"] <= result["auc"]["joint"]["high"]


def test_the_order_of_a_file_does_not_matter(write_config: Write, files: Path) -> None:
    first = run(write_config())
    for name in ("bank", "tax"):
        frame = pd.read_csv(files / f"{name}.csv", dtype={"id": str})
        frame.sample(frac=1, random_state=1).to_csv(files / f"{name}.csv", index=False)
    second = run(write_config())
    assert second["auc"] == first["auc"]


@pytest.mark.parametrize("transport", ["memory", "relay"])
@pytest.mark.parametrize(
    ("code", "parties", "content"),
    [
        ("file_missing", {"tax": "none.csv"}, None),
        ("file_empty", {"tax": "bad.csv"}, ""),
        ("one_value", {"court": "bad.csv"}, "id,a,b\n" + "".join(f"{i},1,{i}\n" for i in range(200))),
        ("label_not_binary", {"bank": "bad.csv"}, "id,bad,a\n1,5,2\n2,0,3\n"),
        ("no_common_applicants", {"court": "bad.csv"}, "id,a\n" + "".join(f"x{i},{i}\n" for i in range(200))),
    ],
)
def test_a_failed_run_names_the_culprit_and_leaves_nothing(
    write_config: Write, files: Path, transport: str, code: str, parties: dict[str, str], content: str | None
) -> None:
    if content is not None:
        (files / "bad.csv").write_text(content)
    with pytest.raises(LianmoError) as raised:
        run(write_config(transport, **parties))
    assert raised.value.code == code
    assert raised.value.exit_code == 3
    assert list((files / "runs").iterdir()) == []


def test_a_failed_run_leaves_the_last_good_one_alone(write_config: Write, files: Path) -> None:
    run(write_config())
    before = (files / "runs" / "small" / "result.json").read_bytes()
    with pytest.raises(LianmoError):
        run(write_config(tax="none.csv"))
    assert (files / "runs" / "small" / "result.json").read_bytes() == before


@pytest.mark.parametrize("who", ["host", "guest"])
def test_each_side_alone_refuses_a_cipher_that_does_not_encrypt(write_config: Write, who: str) -> None:
    path = write_config(cipher="plain")
    text = path.read_text()
    allowed = "insecure_allow_plaintext = true"
    if who == "guest":
        text = text.replace(f'name = "plain"\n{allowed}', 'name = "plain"')
    else:
        text = text.replace(f'data = "tax.csv"\n{allowed}', 'data = "tax.csv"')
    path.write_text(text)
    with pytest.raises(LianmoError) as raised:
        run(path)
    assert raised.value.code == "not_encrypting"


def test_a_host_that_never_comes_is_named(write_config: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_config("relay")
    path.write_text(path.read_text().replace("party_seconds = 20", "party_seconds = 2"))
    from lab import runs

    real = runs.save_job

    def without_court(job: Any) -> Path:
        saved = real(job)
        if job.party.party == "host:court":
            saved.write_text("{}")
        return saved

    monkeypatch.setattr(runs, "save_job", without_court)
    with pytest.raises(LianmoError) as raised:
        run(path)
    assert raised.value.code == "party_absent"
    assert "host:court" in raised.value.english


def test_default_credit_reaches_the_pooled_model(shared_data: Path, tmp_path: Path) -> None:
    """The figure of the field's usual benchmark; Paillier gives the same trees (see the tests of the session)."""
    for part in ("guest", "host"):
        pd.read_csv(shared_data / f"default_credit_{part}.csv.gz").to_csv(tmp_path / f"{part}.csv", index=False)
    plain = {"name": "plain", "insecure_allow_plaintext": True}
    config = parse_config(
        {
            "run": {"directory": "run", "transport": "memory"},
            "boosting": {"n_estimators": 10, "max_depth": 5, "max_bin": 32, "learning_rate": 0.3},
            "cipher": plain,
            "split": {"holdout": 0.2},
            "guest": {"party": "bank", "data": "guest.csv", "label": "y"},
            "hosts": [{"party": "host:bureau", "data": "host.csv", "insecure_allow_plaintext": True}],
        },
        tmp_path,
    )
    result = train_run(config, Console(quiet=True))
    assert result["auc"]["joint"]["value"] >= 0.777
    assert result["auc"]["bank_only"]["value"] < 0.74
