"""Whole runs in both directions in one process: the model of all rows and columns in one place; what passes."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from federation.errors import KeyTooShort, LocalProtocolError
from lab.cli import app
from lab.errors import ConfigError
from lab.horizontal.config import parse_horizontal
from lab.horizontal.finish import train_horizontally
from lab.horizontal.runs import train_over_sites
from lab.jobs import node_directory
from models.boosting.parameters import BoostingParameters
from models.boosting.trees import margins
from models.bundle import Half, JointModel, load
from models.errors import DataError, ModelError
from tests.builders import fit_aligned
from tests.federation.hybrid.cities import coded
from tests.lab.hybrid.cities import (
    BANKS,
    CITIES,
    FILE,
    HOSTS,
    STANDARD,
    STANDARDS,
    TREES,
    pooled,
    run_file,
    write_cities,
)

QUIET = Console(quiet=True)


@dataclass
class Run:
    folder: Path
    frame: pd.DataFrame
    result: dict[str, Any]

    def of(self, party: str, name: str) -> Path:
        return node_directory(self.folder / "runs" / "memory", party) / name

    def model(self, party: str) -> JointModel:
        return JointModel.from_json(load(self.of(party, "model.json")))

    def scores(self, bank: str) -> pd.DataFrame:
        return pd.read_csv(self.of(bank, "scores.csv"), index_col="id")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("both")
    frame = write_cities(folder)
    (folder / "run.toml").write_text(FILE, "utf-8")
    done = CliRunner().invoke(app, ["train", str(folder / "run.toml"), "--no-record", "--json"])
    assert done.exit_code == 0, done.output
    return Run(folder, frame, json.loads(done.stdout))


def test_the_model_is_that_of_all_rows_and_columns_in_one_place(run: Run) -> None:
    """To the last bit, over the same bins."""
    held_out = pd.concat([run.scores(bank) for bank in BANKS]).index
    fitted = run.frame[run.frame.common & ~run.frame.index.isin(held_out)]
    table, whole = pooled(fitted), run.model("coordinator")
    label = fitted.bad.to_numpy(dtype=np.float64)
    together = coded(table, whole.own.bins, np.arange(len(table)))
    one_by_one = {"min_child_samples": 0, "max_cat_to_onehot": 255}  # levels are cut one against the rest
    parameters = BoostingParameters(**{**one_by_one, **TREES})
    expected = fit_aligned([together], label, len(label), parameters).margin
    found = margins(whole.trees, whole.base_margin, {whole.party: whole.own.routes(table)}, len(table))
    assert found.tobytes() == expected.tobytes()
    assert {b.name.split(".")[0] for b in whole.own.bins} == {*STANDARD["numbers"], *STANDARDS}
    assert sum(told["n_rows"]["fit"] for told in run.result["sites"].values()) == len(fitted)


def test_every_bank_has_its_half_and_its_hosts_theirs(run: Run) -> None:
    """Held-out applicants score as the halves in the folders of the bank's own city say, and as the whole does."""
    whole = run.model("coordinator")
    named = {kind: {n: n.removeprefix(f"{kind}.") for n in run.frame} for kind in STANDARDS}
    for city in CITIES.values():
        for bank in city["banks"]:
            model, scores = run.model(bank), run.scores(bank)
            table = pooled(run.frame.loc[scores.index])
            routes = {bank: model.own.routes(table)}
            for kind, host in city["hosts"].items():
                half = Half.from_json(load(run.of(host, "half.json")))
                assert half.digest() == model.host_digests[host]
                own = pooled(run.frame.loc[scores.index].rename(columns=named[kind]))
                routes[host] = half.routes(own)
            margin = margins(model.trees, model.base_margin, routes, len(table))
            np.testing.assert_array_equal(margin, scores["joint"])
            one = margins(whole.trees, whole.base_margin, {whole.party: whole.own.routes(table)}, len(table))
            np.testing.assert_array_equal(margin, one)
            assert {node.owner for tree in model.trees for node in tree} - {""} <= {bank, *city["hosts"].values()}
    owners = {node.owner.split("-")[0] for tree in run.model("bank:a").trees for node in tree}
    assert len(owners) > 3


def test_banks_and_all_together_are_measured_on_held_out_rows(run: Run) -> None:
    scores = pd.concat([run.scores(bank) for bank in BANKS])
    told = run.result["pooled"]
    assert (told["sites"], told["rows"], told["defaults"]) == (3, len(scores), scores.label.sum())
    assert told["auc"]["value"] == pytest.approx(roc_auc_score(scores.label, np.floor(scores.joint * 32)), abs=1e-12)
    for bank in BANKS:
        own = run.result["sites"][bank]
        assert own["auc"]["joint"]["value"] == pytest.approx(
            roc_auc_score(run.scores(bank).label, run.scores(bank).joint), abs=1e-12
        )
        assert own["gain"]["auc"]["low"] < own["gain"]["auc"]["high"]
    for name, city in CITIES.items():
        assert run.result["cities"][name] == city
    assert set(run.result["hosts"]) == set(HOSTS)
    assert sum(told["n_cuts"] for told in run.result["hosts"].values()) > 0


def test_disclosures_are_of_messages_between_all_parties(run: Run) -> None:
    """Also of those between banks and data nodes, which the coordinator does not see."""
    told = {(d["sender"], d["receiver"], d["message"]): d for d in run.result["disclosures"]}
    assert ("host:tax-suzhou", "bank:a", "hybrid.veiled_sums") in told
    assert ("bank:c", "host:credit-wuxi", "hybrid.routes_wanted") in told
    assert ("host:credit-wuxi", "coordinator", "hybrid.seeds") in told
    assert ("host:tax-wuxi", "bank:a", "hybrid.veiled_sums") not in told
    assert all(d["reveals"] and d["reveals_zh"] and d["bytes"] > 0 for d in told.values())
    assert set(run.result["bytes"]) == {"coordinator", *BANKS, *HOSTS}
    sent = sum(counts["sent"] for counts in run.result["bytes"].values())
    assert sent == sum(counts["received"] for counts in run.result["bytes"].values())
    assert sent == sum(d["bytes"] for d in told.values())
    assert {row["asked"] for row in run.result["sums"]} >= {"horizontal.boosting.grow", "horizontal.closing.count"}
    assert all(row["fewest_sites"] == 3 for row in run.result["sums"])


def test_nothing_of_a_party_is_in_anothers_folder(run: Run) -> None:
    """Identifiers only with banks and the hosts of their city; names of a host's columns with it alone."""
    stranger = run.frame.index[run.frame.bank == "bank:c"][0]
    for party in ("coordinator", "bank:a", "bank:b", *CITIES["suzhou"]["hosts"].values()):
        for path in run.of(party, "").rglob("*"):
            assert stranger not in path.read_text("utf-8")
    for party in (*BANKS, "host:credit-suzhou"):
        for path in run.of(party, "").rglob("*"):
            assert "tax_paid_2023" not in path.read_text("utf-8")
    assert "tax_paid_2023" in run.of("host:tax-wuxi", "half.json").read_text("utf-8")


def changed(**changes: Any) -> dict[str, Any]:
    """The file with parts of ``[hybrid]`` changed."""
    told = run_file()
    told["hybrid"] |= changes
    return told


def without(kind: str, city: str) -> dict[str, Any]:
    cities: dict[str, Any] = deepcopy(CITIES)
    del cities[city]["hosts"][kind]
    return cities


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (changed(cities=without("tax", "wuxi")), "wuxi: tax"),
        (changed(cities={**CITIES, "wuxi": CITIES["suzhou"]}), "in one city, once"),
        (changed(cities={"suzhou": CITIES["suzhou"]}), "name different parties.*bank:c"),
        (changed(standards={"tax": {"numbers": ["tax_paid_2023"]}}), "credit, guarantor"),
        (changed(cypher="plain"), "did you mean cipher"),
        (run_file(boosting={}, scorecard={}), "leave out .scorecard. and"),
        (run_file(boosting={}, averaging={}), "leave out .scorecard. and"),
        (run_file(horizontal={"aggregation": "shared_key"}), "31 bits"),
        (run_file(hosts=run_file()["hosts"][1:]), "name different parties.*host:credit-suzhou"),
        (run_file(hosts=[{**h, "label": "bad"} for h in run_file()["hosts"]]), "no label"),
        ({k: v for k, v in run_file().items() if k != "hybrid"}, "hosts.. are for"),
        (run_file(hub={}), "one of them"),
        ({**run_file(hub={"sites": list(BANKS)}), "sites": [], "hosts": []}, "names the sites, unless"),
    ],
    ids=lambda told: told if isinstance(told, str) else "",
)
def test_what_does_not_fit_is_said_before_anything_begins(tmp_path: Path, told: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_horizontal(told, tmp_path)


def test_short_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyTooShort):
        parse_horizontal(changed(cipher="paillier", key_bits=1024), tmp_path)


def test_two_banks_are_refused_and_told_why(tmp_path: Path) -> None:
    cities = {"suzhou": CITIES["suzhou"]}
    hosts = [host for host in run_file()["hosts"] if host["party"].endswith("suzhou")]
    told = changed(cities=cities) | {"sites": run_file()["sites"][:2], "hosts": hosts}
    with pytest.raises(LocalProtocolError, match="over 2 sites; 3 are needed") as caught:
        parse_horizontal(told, tmp_path)
    assert caught.value.code == "too_few_sites"


@pytest.mark.parametrize("who", ["bank:b", "host:tax-wuxi"])
def test_a_party_that_does_not_allow_gradients_in_clear_ends_the_run(tmp_path: Path, who: str) -> None:
    """E27: what the file says of the others does not speak for it."""
    write_cities(tmp_path)
    told = run_file()
    for party in (*told["sites"], *told["hosts"]):
        party["insecure_allow_plaintext"] = party["party"] != who
    with pytest.raises(Exception, match=r"does not encrypt|not_encrypting"):
        train_over_sites(parse_horizontal(told, tmp_path), QUIET)
    assert not (tmp_path / "runs" / "memory").exists()


def test_a_data_node_without_a_column_of_its_kind_is_named(tmp_path: Path) -> None:
    write_cities(tmp_path)
    path = tmp_path / "tax-wuxi.csv"
    pd.read_csv(path).drop(columns="tax_arrears_days").to_csv(path, index=False)
    with pytest.raises(Exception, match="host:tax-wuxi"):
        train_over_sites(parse_horizontal(run_file(), tmp_path), QUIET)


def test_a_bank_whose_applicants_its_data_nodes_do_not_know_is_named(tmp_path: Path) -> None:
    write_cities(tmp_path)
    path = tmp_path / "c.csv"
    pd.read_csv(path).assign(id=lambda f: f.id + "-other").to_csv(path, index=False)
    with pytest.raises(Exception, match="bank:c"):
        train_over_sites(parse_horizontal(run_file(), tmp_path), QUIET)


def test_a_file_that_cannot_be_read_stops_the_run_at_once(tmp_path: Path) -> None:
    write_cities(tmp_path)
    (tmp_path / "credit-suzhou.csv").unlink()
    with pytest.raises(DataError, match="host:credit-suzhou"):
        train_over_sites(parse_horizontal(run_file(), tmp_path), QUIET)


def test_a_bank_scores_with_the_data_nodes_of_its_city(run: Run) -> None:
    """As after any joint run: each answers with its half, here in one process."""
    out = run.folder / "scores.csv"
    applicants = str(run.folder / "b.csv")
    done = CliRunner().invoke(app, ["score", str(run.of("bank:b", "")), applicants, "--local", "--out", str(out)])
    assert done.exit_code == 0, done.output
    found = pd.read_csv(out, index_col="id")
    kept = run.scores("bank:b")
    np.testing.assert_allclose(
        found.loc[kept.index, "default_probability"], 1 / (1 + np.exp(-kept["joint"])), rtol=0, atol=1e-12
    )
    strangers = run.frame.index[(run.frame.bank == "bank:b") & ~run.frame.common]
    needed = set(run.model("bank:b").needed_hosts)
    assert "host:credit-suzhou" in needed
    assert found.loc[strangers, "default_probability"].isna().all()
    assert set(found.loc[strangers, "unknown_at"]) == {"host:credit-suzhou"}


@pytest.mark.parametrize("party", ["bank:b", "host:tax-suzhou"])
def test_services_of_one_bank_and_its_data_nodes_say_that_they_are_not_for_it(run: Run, party: str) -> None:
    done = CliRunner().invoke(app, ["serve", str(run.of(party, ""))])
    assert isinstance(done.exception, ModelError)
    assert done.exception.code == "run_of_sites"


def test_a_run_is_shown_and_its_page_written_anew(run: Run) -> None:
    folder = run.folder / "runs" / "memory"
    done = CliRunner().invoke(app, ["report", str(folder)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "host:guarantor-wuxi (guarantor)" in " ".join(done.stdout.split())
    page = (folder / "report.html").read_text("utf-8")
    for said in ("suzhou", "host:tax-wuxi", "gradients were not encrypted", "数据方", run.result["digest"]):
        assert said in page
    assert "tax_paid_2023" not in page
    listed = CliRunner().invoke(app, ["runs", "ls", "--directory", str(folder.parent), "--json"])
    (told,) = json.loads(listed.stdout)
    assert set(told["parties"]) == {"coordinator", *BANKS, *HOSTS}


@pytest.mark.slow
def test_a_run_is_recorded_with_a_child_per_party(run: Run) -> None:
    """All but the model, of which nobody but the coordinator may have all."""
    told = run_file()
    told["run"]["directory"] = "recorded/both"
    result = train_horizontally(parse_horizontal(told, run.folder), QUIET, record=True)
    from mlflow.tracking import MlflowClient  # takes seconds

    store = MlflowClient(result["mlflow"]["tracking_uri"])
    parent = store.get_run(result["mlflow"]["run_id"])
    assert parent.data.metrics["auc"] == result["pooled"]["auc"]["value"]
    children = store.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert {child.data.tags["party"] for child in children} == {"coordinator", *BANKS, *HOSTS}
    assert [a.path for a in store.list_artifacts(parent.info.run_id)] == ["report.html"]
