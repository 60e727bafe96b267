"""Whole runs over sites in one process: what comes of them, what passes, who is refused, who may leave."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn.metrics import log_loss, roc_auc_score

from federation.codec import decode
from federation.endpoint import Endpoint
from federation.errors import LocalProtocolError, PartyId
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.averaging.messages import Train
from federation.horizontal.boosting.messages import Grow, LabelsWanted
from federation.horizontal.scorecard.messages import Step
from federation.messages import Message
from federation.transports.memory import MemoryWire
from lab.errors import ConfigError
from lab.horizontal import runs
from lab.horizontal.config import HorizontalConfig, parse_horizontal
from lab.horizontal.coordinator import coordinate
from lab.horizontal.jobs import jobs_of, keep_job, read_job
from lab.horizontal.party import signing_of
from lab.horizontal.runs import train_over_sites
from lab.horizontal.scores import site_scores
from lab.horizontal.site import keep_site, open_site
from models.bundle import load
from models.errors import DataError
from tests.lab.horizontal.cities import AVERAGE, SCORECARD, SITES, TREES, run_file, write_sites

QUIET = Console(quiet=True)
KINDS = {"trees": TREES, "scorecard": SCORECARD, "averaged": AVERAGE}


@dataclass
class Run:
    folder: Path
    result: dict[str, Any]
    passed: list[tuple[PartyId, Message, Message]] = field(default_factory=list)

    def of(self, party: str, name: str) -> Path:
        return self.folder / "runs" / "memory" / "nodes" / party.replace(":", "-") / name


class Noting(MemoryWire):
    """Keeps all that passes."""

    passed: list[tuple[PartyId, Message, Message]] = []  # noqa: RUF012

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        replies = super().exchange(frames)
        for party, frame in frames.items():
            self.passed.append((party, decode(frame, "coordinator"), decode(replies[party], party)))
        return replies


@pytest.fixture(scope="module", params=list(KINDS))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp(request.param)
    write_sites(folder)
    with pytest.MonkeyPatch.context() as patch:
        Noting.passed = []
        patch.setattr(runs, "MemoryWire", Noting)
        result = train_over_sites(parse_horizontal(run_file(**KINDS[request.param]), folder), QUIET)
    return Run(folder, result, Noting.passed)


def test_every_site_has_the_model_and_knows_what_it_is_worth_there(run: Run) -> None:
    model = load(run.of("coordinator", "model.json"))
    assert run.result["contributors"] == list(SITES)
    assert run.result["left"] == []
    for site in SITES:
        assert load(run.of(site, "model.json")) == model
        scores = pd.read_csv(run.of(site, "scores.csv"))
        told = run.result["sites"][site]
        assert told["n_rows"]["holdout"] == len(scores)
        for who in ("joint", "alone"):
            found = told["auc"][who]
            assert found["value"] == pytest.approx(roc_auc_score(scores["label"], scores[who]), abs=1e-12)
            assert found["low"] <= found["value"] <= found["high"]
        assert told["gain"]["auc"]["low"] < told["gain"]["auc"]["high"]


def test_what_is_told_of_all_sites_together_is_what_their_scores_give(run: Run) -> None:
    scores = pd.concat([pd.read_csv(run.of(site, "scores.csv")) for site in SITES])
    pooled = run.result["pooled"]
    assert (pooled["rows"], pooled["defaults"], pooled["sites"]) == (len(scores), scores["label"].sum(), 4)
    # Bands are 1/32 wide.
    assert pooled["auc"]["value"] == pytest.approx(roc_auc_score(scores["label"], scores["joint"]), abs=0.01)
    banded = np.floor(scores["joint"] * 32)
    assert pooled["auc"]["value"] == pytest.approx(roc_auc_score(scores["label"], banded), abs=1e-12)


def test_the_coordinator_gets_contributions_and_nothing_else_of_rows(run: Run) -> None:
    """All that comes from sites: keys, shares and consent to open sums; and contributions, one of each site to each
    sum, of at least three."""
    kinds = {type(reply).__name__ for *_, reply in run.passed}
    bare = {"Keys", "SealedShares", "Ready", "Agreed", "Unmasked", "Contribution"}
    empty = {"Opened", "Started", "Finished", "Taken", "Goodbye"}
    assert kinds <= bare | empty
    for *_, reply in run.passed:
        if type(reply).__name__ in empty:
            assert [getattr(reply, f.name) for f in fields(reply)] in ([], [""])
    asked: dict[Message, set[PartyId]] = {}
    for party, request, reply in run.passed:
        if isinstance(reply, Contribution):
            asked.setdefault(request, set()).add(party)
    assert len(asked) > 5
    assert all(len(parties) >= 3 for parties in asked.values())
    # The list of sums that people are shown is of these, whole.
    told = {row["asked"]: row for row in run.result["sums"]}
    assert {kind: row["times"] for kind, row in told.items()} == Counter(request.kind for request in asked)
    assert all(row["fewest_sites"] == 4 and row["numbers"] > 0 for row in told.values())


def test_nothing_of_a_site_is_in_what_the_coordinator_keeps(run: Run) -> None:
    secret = pd.read_csv(run.folder / "a.csv")["id"][0]
    for path in run.of("coordinator", "").rglob("*"):
        assert secret not in path.read_text()
    assert secret not in json.dumps(run.result)
    for site in ("coordinator", *SITES):  # ticket and keys are spent
        job = read_job(run.of(site, "job.json"))
        assert job.link is None
        assert not getattr(job, "keys", None)


def test_any_site_scores_by_itself(run: Run) -> None:
    frame = pd.read_csv(run.folder / "b.csv")
    found = site_scores(run.of("site:a", "").parent / "site-a", frame, "id")
    kept = pd.read_csv(run.of("site:b", "scores.csv")).set_index("id")["joint"]
    held_out = found.set_index("id").loc[kept.index, "default_probability"]
    np.testing.assert_allclose(held_out, 1 / (1 + np.exp(-kept)), atol=1e-12)


@pytest.fixture(scope="module")
def choosing(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose sites keep rows to choose by; one of them has another level, one few rows."""
    folder = tmp_path_factory.mktemp("choosing")
    write_sites(folder, 4000)
    other = pd.read_csv(folder / "b.csv")
    rng = np.random.default_rng(5)
    other.assign(bad=np.where(rng.random(len(other)) < 0.5, 1, other["bad"])).to_csv(folder / "b.csv", index=False)
    pd.read_csv(folder / "c.csv").head(60).to_csv(folder / "c.csv", index=False)
    told = run_file(**TREES, split={"valid": 0.4})
    told["sites"][2]["min_rows"] = 20
    result = train_over_sites(parse_horizontal(told, folder), QUIET)
    return Run(folder, result)


def test_a_site_says_what_it_would_use_by_rows_that_nothing_was_fitted_on(choosing: Run) -> None:
    told = choosing.result["sites"]
    for site, own in told.items():
        n = len(pd.read_csv(choosing.folder / f"{site[-1]}.csv"))
        assert sum(own["n_rows"].values()) == n
        assert own["n_rows"]["choose"] == pytest.approx(0.28 * n, abs=3)
        assert own["choice"]["decided"] == (site != "site:c")
        for gain in own["choice"]["gains"].values():
            assert gain["low"] <= gain["value"] <= gain["high"]
            assert gain["least"] < gain["value"]


def test_a_site_of_another_level_scores_on_its_own_scale(choosing: Run) -> None:
    """What calibrates is kept in its folder; the others, and the coordinator, score as it is."""
    kept = {site for site in SITES if (choosing.of(site, "calibration.json")).exists()}
    assert "site:b" in kept
    assert "site:c" not in kept
    assert {site for site, own in choosing.result["sites"].items() if own["calibration"]["used"]} == kept
    assert not choosing.of("coordinator", "calibration.json").exists()
    frame = pd.read_csv(choosing.folder / "b.csv")
    column = "default_probability"
    scored, plain = (
        site_scores(choosing.of(party, "").parent / party.replace(":", "-"), frame, "id").set_index("id")[column]
        for party in ("site:b", "coordinator")
    )
    held_out = pd.read_csv(choosing.of("site:b", "scores.csv")).set_index("id")
    label = held_out["label"].to_numpy()
    after, before = (log_loss(label, found.loc[held_out.index]) for found in (scored, plain))
    assert after < before
    assert scored.loc[held_out.index].mean() == pytest.approx(label.mean(), abs=0.05)


def test_without_rows_to_choose_by_nothing_is_said(run: Run) -> None:
    assert not {"choice", "calibration"} & {key for own in run.result["sites"].values() for key in own}
    assert not list((run.folder / "runs").rglob("calibration.json"))


def config_of(folder: Path, n_sites: int = 4, **sections: Any) -> HorizontalConfig:
    sites = SITES[:n_sites]
    write_sites(folder, sites=sites)
    return parse_horizontal(run_file(sites=sites, **sections), folder)


def test_two_sites_are_refused_and_told_why(tmp_path: Path) -> None:
    with pytest.raises(LocalProtocolError, match="over 2 sites; 3 are needed, so that no site's numbers"):
        config_of(tmp_path, 2, **TREES)


def test_both_ways_of_adding_up_give_the_same_average(tmp_path: Path) -> None:
    """Under a shared key numbers are encrypted one by one: three sites, few bins."""
    small = {"averaging": {"rounds": 2, "max_bin": 4}, "standard": {"levels": {"c": ["none", "own", "rent"]}}}
    found = []
    for way in ("masked", "shared_key"):
        config = config_of(tmp_path, 3, **small, horizontal={"aggregation": way})
        train_over_sites(config, QUIET)
        found.append(load(config.run.directory / "nodes" / "coordinator" / "model.json")["parameters"])
    assert found[0] == found[1]
    assert max(map(abs, found[0])) > 0.1


@dataclass
class Losing:
    """Sites in this process, of which some are lost for good at a request."""

    wire: MemoryWire
    lost_at: Mapping[PartyId, type[Message]]
    after: int = 0
    seen: dict[PartyId, int] = field(default_factory=dict)
    lost: set[PartyId] = field(default_factory=set)

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        for party, frame in frames.items():
            if isinstance(decode(frame, "coordinator"), self.lost_at.get(party, type(None))):
                self.seen[party] = self.seen.get(party, 0) + 1
                if self.seen[party] > self.after:
                    self.lost.add(party)
        return self.wire.exchange({party: frame for party, frame in frames.items() if party not in self.lost})


def led(config: HorizontalConfig, lost_at: Mapping[PartyId, type[Message]], after: int) -> dict[str, Any]:
    coordinator, sites, _ = jobs_of(config, "m-1", config.run.directory)
    keep_job(coordinator)
    parts = [open_site(job, signing_of(job)) for job in sites]
    wire = MemoryWire({p.job.party.party: Endpoint(p, config.lead, p.allowed).answer for p in parts})
    outcome = coordinate(coordinator, Losing(wire, lost_at, after))
    for part in parts:
        keep_site(part)
    return outcome


def test_trees_that_there_are_stand_where_a_site_leaves(tmp_path: Path) -> None:
    """Of four no later sum tells nobody's numbers. Without checkpoints to wait by, the trees that all made stand, and
    the others get them."""
    run = {"directory": "runs/memory", "transport": "memory", "checkpoint_share": 0}
    config = config_of(tmp_path, run=run, **TREES)
    outcome = led(config, {"site:d": Grow}, after=4)
    assert outcome["left"] == ["site:d"]
    assert outcome["takers"] == list(SITES[:3])
    assert outcome["contributors_per_tree"] == [4, 4]
    assert not outcome["complete"]
    nodes = config.run.directory / "nodes"
    assert (nodes / "site-a" / "model.json").exists()
    assert not (nodes / "site-d" / "model.json").exists()


def test_too_few_sites_left_end_the_run(tmp_path: Path) -> None:
    config = config_of(tmp_path, **TREES)
    with pytest.raises(LocalProtocolError, match="are needed") as caught:
        led(config, {"site:c": LabelsWanted, "site:d": LabelsWanted}, after=0)
    assert caught.value.code == "too_few_sites"
    assert not (config.run.directory / "nodes" / "coordinator" / "model.json").exists()


@pytest.mark.parametrize("weights", ["rows", "equal"])
def test_averages_of_four_end_where_a_site_leaves(tmp_path: Path, weights: str) -> None:
    """Of four no later mean tells nobody's parameters: the last one that all made stands."""
    config = config_of(tmp_path, averaging={"rounds": 4, "weights": weights})
    outcome = led(config, {"site:d": Train}, after=2)
    assert (outcome["rounds"], outcome["contributors"], outcome["takers"]) == (2, list(SITES), list(SITES[:3]))


def test_a_scorecard_that_is_nearly_there_stands_where_a_site_leaves(tmp_path: Path) -> None:
    config = config_of(tmp_path, **SCORECARD)
    whole = led(config, {}, 0)
    config = config_of(tmp_path / "left", **SCORECARD)
    outcome = led(config, {"site:d": Step}, after=whole["sums"][-2]["times"] - 1)
    assert (outcome["contributors"], outcome["takers"], outcome["pooled"]) == (list(SITES), list(SITES[:3]), None)


def test_a_site_with_one_class_takes_part(tmp_path: Path) -> None:
    config = config_of(tmp_path, **TREES)
    frame = pd.read_csv(tmp_path / "b.csv").assign(bad=0)
    frame.to_csv(tmp_path / "b.csv", index=False)
    result = train_over_sites(config, QUIET)
    assert result["contributors"] == list(SITES)
    assert "auc" not in result["sites"]["site:b"]


def test_a_site_without_a_column_of_the_standard_is_named(tmp_path: Path) -> None:
    config = config_of(tmp_path, **TREES)
    pd.read_csv(tmp_path / "b.csv").drop(columns="c").to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(DataError, match=r"site:b.*'c'"):
        train_over_sites(config, QUIET)
    assert not config.run.directory.exists()


def test_small_sites_stay_out_by_their_own_floor(tmp_path: Path) -> None:
    write_sites(tmp_path)
    told = run_file(**TREES)
    told["sites"][0]["min_rows"] = 5000
    with pytest.raises(LocalProtocolError, match="minimum is 5000"):
        train_over_sites(parse_horizontal(told, tmp_path), QUIET)


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"boosting": {"min_child_samples": 5}}, "min_child_samples"),
        ({"boosting": {"objective": "poisson"}}, "objective"),
        ({"boosting": {"bagging_fraction": 0.5}}, "bagging_fraction"),
        ({"horizontal": {"agregation": "masked"}}, "did you mean aggregation"),
        ({"horizontal": {"min_sites": 2}}, "Set min_sites to 3"),
        ({"horizontal": {"aggregation": "shared_key"}}, "31 bits"),
        ({"averaging": {"model": "RandomForestClassifier"}}, "RandomForestClassifier"),
        ({"averaging": {"strategy": "Krum"}}, "only sums are known"),
        ({"averaging": {}, "scorecard": {}}, "one of them"),
        ({"scorecard": {"max_stability_index": 0.25}}, "max_stability_index"),
        ({"standard": {"numbers": []}}, "name each column once"),
        ({"hub": {"sites": ["site:a", "site:b", "site:c"]}}, "one of them"),
        ({"run": {"transport": "hub"}}, "transport"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_begins(tmp_path: Path, sections: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_horizontal({**run_file(), **sections}, tmp_path)
