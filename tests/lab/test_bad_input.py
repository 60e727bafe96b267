"""Bad input through the front door: a refusal in two languages that says whose column it is and what to do, or a
fallback that is stated; never a number that is none, in no file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from lab.cli import app
from lab.config import parse_config
from lab.jobs import node_directory
from lab.runs import train_run
from models.bundle import JointModel, load
from models.errors import LianmoError
from models.table import Table
from models.validation import metrics
from models.woe.prebin_json import prebins_from_json
from models.woe.prebins import check_prebins

N = 240
Frames = dict[str, pd.DataFrame]
Settings = dict[str, Any]
Change = Callable[[Frames, Settings], None]
KINDS = ("trees", "scorecard")


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals are not what is looked at here, and most of a tiny run's time."""
    real = metrics._resamples
    monkeypatch.setattr(metrics, "_resamples", lambda label, seed, n: real(label, seed, min(n, 10)))


def frames() -> Frames:
    """A bank and two hosts that know the same applicants."""
    rng = np.random.default_rng(5)
    risk = rng.normal(size=N)
    ids = [f"{i:018d}" for i in range(N)]
    bad = (risk + rng.normal(size=N) > 0.5).astype(int)
    noisy = [np.round(risk + rng.normal(size=N), 2) for _ in range(2)]
    counts = [rng.poisson(np.exp(risk / 2)) for _ in range(2)]
    sector, seized = rng.choice(["trade", "farm", "craft"], N), rng.choice(["no", "yes"], N)
    return {
        "bank": pd.DataFrame({"id": ids, "bad": bad, "amount": noisy[0], "sector": sector}),
        "tax": pd.DataFrame({"id": ids, "paid": noisy[1], "late": counts[0]}),
        "court": pd.DataFrame({"id": ids, "cases": counts[1], "seized": seized}),
    }


def settings(kind: str) -> Settings:
    plain = {"insecure_allow_plaintext": True}
    model: Settings = (
        {"boosting": {"n_estimators": 2, "max_depth": 3, "max_bin": 8, "min_child_samples": 5}}
        if kind == "trees"
        else {"scorecard": {"l2": 1.0, "min_information_value": 0.0}}
    )
    return model | {
        "run": {"directory": "run", "transport": "memory"},
        "cipher": {"name": "plain", **plain},
        "guest": {"party": "bank", "data": "bank.csv", "label": "bad"},
        "hosts": [
            {"party": "host:tax", "data": "tax.csv", **plain},
            {"party": "host:court", "data": "court.csv", **plain},
        ],
    }


def run(folder: Path, kind: str, change: Change) -> dict[str, Any]:
    tables, config = frames(), settings(kind)
    change(tables, config)
    for name, frame in tables.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    return train_run(parse_config(config, folder), Console(quiet=True))


def column(party: str, name: str, values: Any) -> Change:
    """``values``: what stands there, or a function of all frames."""

    def change(tables: Frames, _: Settings) -> None:
        tables[party][name] = values(tables) if callable(values) else values

    return change


def own(party: str, **wishes: Any) -> Change:
    """Keys of one party's section."""

    def change(_: Frames, config: Settings) -> None:
        sections = {"bank": config["guest"], "tax": config["hosts"][0], "court": config["hosts"][1]}
        sections[party].update(wishes)

    return change


def section(name: str, **values: Any) -> Change:
    return lambda _, config: config.setdefault(name, {}).update(values)


def both(*changes: Change) -> Change:
    def change(tables: Frames, config: Settings) -> None:
        for one in changes:
            one(tables, config)

    return change


def first(value: Any) -> Callable[[Any], list[Any]]:
    """A column whose first value is replaced."""
    return lambda values: [value, *values[1:]]


def late(party: str, name: str, early: Any, then: Any) -> Change:
    """One value among the first two thirds, which are fitted, another among the others, which are held out."""
    return both(
        column(party, name, lambda f: np.where(np.arange(N) < 160, early, f[party][name] if then is None else then)),
        out_of_time,
    )


def out_of_time(tables: Frames, config: Settings) -> None:
    tables["bank"]["day"] = np.arange(N)
    config["split"] = {"time_column": "day", "holdout_from": 160}


def nothing(_: Frames, __: Settings) -> None: ...


@dataclass(frozen=True)
class Refusal:
    """``said``: words of the English text, names among them that the Chinese one must have, too."""

    name: str
    change: Change
    code: str
    names: tuple[str, ...]
    advice: str
    kinds: tuple[str, ...] = KINDS


def unknowing(f: Frames) -> Any:
    return f["bank"]["bad"] * 10 + np.random.default_rng(1).normal(size=N)


SCORECARD, TREES = ("scorecard",), ("trees",)
#: Closely related features are not left out beforehand.
UNSCREENED: dict[str, float] = {"max_correlation": 1.0, "max_vif": 1e12}
REFUSALS = (
    Refusal("a constant column", column("tax", "paid", 1.0), "one_value", ("host:tax", "paid"), "drop it"),
    Refusal("a constant text", column("bank", "sector", "farm"), "one_value", ("bank", "sector"), "drop it"),
    Refusal("a column all missing", column("tax", "paid", np.nan), "all_missing", ("host:tax", "paid"), "drop it"),
    Refusal("the bank's all missing", column("bank", "amount", np.nan), "all_missing", ("bank", "amount"), "drop it"),
    Refusal(
        "an infinite value",
        column("tax", "paid", lambda f: first(np.inf)(f["tax"]["paid"])),
        "infinite_values",
        ("host:tax", "paid"),
        "replace them",
    ),
    Refusal(
        "an infinite value of the bank",
        column("bank", "amount", lambda f: first(-np.inf)(f["bank"]["amount"])),
        "infinite_values",
        ("bank", "amount"),
        "replace them",
    ),
    Refusal(
        "a label of text",
        column("bank", "bad", lambda f: np.where(f["bank"]["bad"] == 1, "yes", "no")),
        "label_not_binary",
        ("bank", "bad"),
        "must hold 0 or 1",
    ),
    Refusal("one class", column("bank", "bad", 0), "one_class", ("bank", "bad"), "add rows"),
    Refusal(
        "one class in the held-out part",
        both(column("bank", "bad", lambda f: np.where(np.arange(N) < 160, f["bank"]["bad"], 0)), out_of_time),
        "one_class",
        ("80",),
        "held-out rows lack defaults or non-defaults. Use more rows",
    ),
    Refusal(
        "one class in the fitted part",
        both(column("bank", "bad", lambda f: np.where(np.arange(N) < 160, 1, f["bank"]["bad"])), out_of_time),
        "one_class",
        ("160",),
        "fitted rows lack defaults or non-defaults. Use more rows",
    ),
    Refusal(
        "one class among watching rows",
        both(column("bank", "bad", lambda _: (np.arange(N) < 4).astype(int)), section("split", valid=0.1)),
        "one_class",
        ("[split]",),
        "watching rows lack",
        TREES,
    ),
    Refusal(
        "ids twice",
        column("tax", "id", lambda f: first(f["tax"]["id"][5])(f["tax"]["id"])),
        "duplicate_ids",
        ("host:tax", "id"),
        "keep one row",
    ),
    Refusal(
        "the bank's ids twice",
        column("bank", "id", lambda f: first(f["bank"]["id"][5] + " ")(f["bank"]["id"])),
        "duplicate_ids",
        ("bank", "id"),
        "keep one row",
    ),
    Refusal(
        "ids that meet none",
        column("court", "id", lambda f: "x" + f["court"]["id"]),
        "no_common_applicants",
        ("host:court",),
        "Check that all files use the same kind",
    ),
    Refusal(
        "a table without rows",
        lambda f, _: f.update(tax=f["tax"].head(0)),
        "file_empty",
        ("host:tax", "tax.csv"),
        "give one per applicant",
    ),
    Refusal(
        "the bank without rows",
        lambda f, _: f.update(bank=f["bank"].head(0)),
        "file_empty",
        ("bank", "bank.csv"),
        "give one per applicant",
    ),
    Refusal(
        "a table without features",
        lambda f, _: f.update(tax=f["tax"][["id"]]),
        "no_features",
        ("host:tax",),
        "name some in columns",
    ),
    *(
        Refusal(f"{party}: cut points {what}", own(party, cut_points={name: cuts}), code, (party, name), advice)
        for party, name in (("bank", "amount"), ("tax", "paid"))
        for what, cuts, code, advice in (
            ("outside the data", [1e6, 2e6], "cut_points_part_nothing", "Check their scale"),
            ("not sorted", [1.0, 0.0], "cut_points_not_increasing", "must increase strictly"),
            ("twice", [0.0, 0.0], "cut_points_not_increasing", "must increase strictly"),
            ("not a number", [0.0, math.nan], "cut_points_not_finite", "must be finite"),
            ("infinite", [0.0, math.inf], "cut_points_not_finite", "must be finite"),
            ("of text", ["zero"], "config_wrong", "should be a valid number"),
            ("too many", [k / 100 for k in range(-150, 150)], "too_many_prebins", "at most 253"),
        )
    ),
    Refusal(
        "cut points of a category",
        own("court", cut_points={"seized": [0.0]}),
        "numeric_column_expected",
        ("host:court", "seized"),
        "no numeric column",
    ),
    Refusal(
        "special codes of no column",
        own("court", special_codes={"none": [0.0]}),
        "numeric_column_expected",
        ("host:court", "none"),
        "no numeric column",
    ),
    Refusal(
        "a trend of no column",
        own("tax", trends={"none": "peak"}),
        "trend_unknown",
        ("host:tax", "none"),
        "must have that column",
    ),
    Refusal(
        "a direction of a category",
        own("court", monotone_constraints={"seized": 1}),
        "monotone_constraints",
        ("host:court", "seized"),
        "name such columns only",
        TREES,
    ),
    Refusal(
        "perfect separation without a penalty",
        both(column("bank", "amount", unknowing), section("scorecard", l2=0.0, max_single_auc=1.0)),
        "separated",
        ("l2",),
        "Look for a feature that knows the label",
        SCORECARD,
    ),
    Refusal(
        "two columns of the bank that are one",
        both(column("bank", "twice", lambda f: f["bank"]["amount"] * 2), section("scorecard", l2=0.0, **UNSCREENED)),
        "collinear",
        ("amount", "twice"),
        "Leave some out, or set l2",
        SCORECARD,
    ),
    Refusal(
        "two columns of a host that are one",
        both(column("tax", "twice", lambda f: f["tax"]["paid"] * 2), section("scorecard", l2=0.0, **UNSCREENED)),
        "collinear",
        ("host:tax",),
        "Leave some out, or set l2",
        SCORECARD,
    ),
    Refusal(
        "leaves larger than the table",
        section("boosting", min_child_samples=1000),
        "model_parts_nothing",
        ("min_child_samples",),
        "Allow smaller leaves",
        TREES,
    ),
    Refusal(
        "no feature that says enough",
        section("scorecard", min_information_value=99.0),
        "nothing_selected",
        ("min_information_value",),
        "lower min_information_value",
        SCORECARD,
    ),
    Refusal(
        "too few defaults for a host to be told of",
        column("bank", "bad", (np.arange(N) < 6).astype(int)),
        "too_few_outcomes",
        ("10",),
        "Use more rows",
        SCORECARD,
    ),
)


@pytest.mark.parametrize(("kind", "case"), [pytest.param(k, r, id=f"{k}: {r.name}") for r in REFUSALS for k in r.kinds])
def test_what_cannot_be_used_is_refused_and_nothing_is_left(tmp_path: Path, kind: str, case: Refusal) -> None:
    with pytest.raises(LianmoError) as caught:
        run(tmp_path, kind, case.change)
    error = caught.value
    assert error.code == case.code
    assert case.advice in error.english
    names = [n for n in case.names if case.code != "config_wrong" or n not in {"bank", "tax"}]
    for text in (error.english, error.chinese):
        assert [n for n in names if n not in text] == []
        assert not re.search(r"\d{18}", text)
    assert re.search("[一-鿿]{4}", error.chinese)
    assert not (tmp_path / "run").exists()
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []


# -- fallbacks -----------------------------------------------------------------------------------------------------

Check = Callable[[dict[str, Any], Path], None]


def numbers_in(value: Any) -> Iterable[float]:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from numbers_in(one)
    elif isinstance(value, float):
        yield value


def assert_only_numbers(folder: Path) -> None:
    """No NaN and no infinity in any file of the run, however it is written."""
    files = list(folder.rglob("*.json"))
    assert {"result.json", "half.json", "model.json", "stability.json"} <= {p.name for p in files}
    for path in files:
        assert all(map(math.isfinite, numbers_in(json.loads(path.read_text(encoding="utf-8"))))), path
    scores = pd.read_csv(folder / "nodes" / "bank" / "scores.csv", dtype={"id": str})
    assert np.isfinite(scores[["label", "bank_only", "joint"]].to_numpy()).all()


def reason(party: str, why: str, flag: str = "") -> Check:
    """One feature of the party is left out for this reason, and its binning table says why."""

    def check(result: dict[str, Any], _: Path) -> None:
        out = [f["variable"] for f in result["features"] if f["party"] == party and f["reason"] == why]
        assert len(out) == 1
        [table] = [t for t in result["binning"][party] if t["variable"] == out[0]]
        assert not flag or flag in table["flags"]

    return check


def no_cut(party: str) -> Check:
    """No cut of that party's first feature; nodes number their features in secret, so it is looked up at home."""

    def check(_: dict[str, Any], folder: Path) -> None:
        half = load(node_directory(folder, party) / "half.json")
        assert 0 not in {s["feature"] for s in half["splits"]}

    return check


def all_of(n_used: int) -> Check:
    def check(result: dict[str, Any], _: Path) -> None:
        assert sum(f["reason"] == "" for f in result["features"]) == n_used

    return check


def one_left_out(other: str) -> Check:
    """One of two that are one, by the name of the other."""

    def check(result: dict[str, Any], _: Path) -> None:
        [out] = [f for f in result["features"] if f["reason"] == "correlated"]
        assert out["other"].startswith(other)
        assert out["figure"] > 0.9

    return check


def bank_says_nothing(result: dict[str, Any], folder: Path) -> None:
    scores = pd.read_csv(folder / "nodes" / "bank" / "scores.csv")
    assert scores["bank_only"].nunique() == 1
    assert result["auc"]["bank_only"]["value"] == 0.5


def better_than(least: float) -> Check:
    def check(result: dict[str, Any], _: Path) -> None:
        assert result["auc"]["joint"]["value"] > least

    return check


def noted(*codes: str) -> Check:
    def check(result: dict[str, Any], _: Path) -> None:
        assert set(codes) <= {n["code"] for n in result["validation"]["notes"]}

    return check


rare = (np.arange(N) < 3).astype(int)
FALLBACKS: tuple[tuple[str, str, Change, Check], ...] = (
    ("constant among the fitted", "trees", late("tax", "paid", 1.0, None), no_cut("host:tax")),
    (
        "constant among the fitted",
        "scorecard",
        late("tax", "paid", 1.0, None),
        reason("host:tax", "flagged", "constant"),
    ),
    ("missing among the fitted", "trees", late("tax", "paid", np.nan, None), no_cut("host:tax")),
    (
        "missing among the fitted",
        "scorecard",
        late("tax", "paid", np.nan, None),
        reason("host:tax", "flagged", "all_missing"),
    ),
    ("a level only later", "trees", late("court", "seized", "no", "maybe"), better_than(0.5)),
    ("a level only later", "scorecard", late("bank", "sector", "farm", "mine"), reason("bank", "flagged", "constant")),
    (
        "two defaults",
        "trees",
        column("bank", "bad", (np.arange(N) < 2).astype(int)),
        noted("separated", "too_few_rows"),
    ),
    ("separation", "trees", column("bank", "amount", unknowing), better_than(0.95)),
    ("separation", "scorecard", column("bank", "amount", unknowing), reason("bank", "leak")),
    (
        "separation with l2",
        "scorecard",
        both(column("bank", "amount", unknowing), section("scorecard", max_single_auc=1.0)),
        better_than(0.95),
    ),
    ("separation at a host", "trees", column("tax", "paid", unknowing), better_than(0.95)),
    ("separation at a host", "scorecard", column("tax", "paid", unknowing), reason("host:tax", "leak", "one_bin")),
    ("one column twice", "trees", column("tax", "twice", lambda f: f["tax"]["paid"]), better_than(0.5)),
    ("one column twice", "scorecard", column("tax", "twice", lambda f: f["tax"]["paid"]), one_left_out("host:tax")),
    (
        "one column twice with l2",
        "scorecard",
        both(column("tax", "twice", lambda f: f["tax"]["paid"]), section("scorecard", **UNSCREENED)),
        all_of(7),
    ),
    ("one column at bank and host", "trees", column("tax", "twice", lambda f: f["bank"]["amount"]), better_than(0.5)),
    (
        "one column at bank and host",
        "scorecard",
        both(column("tax", "twice", lambda f: f["bank"]["amount"]), section("scorecard", l2=0.0)),
        all_of(7),
    ),
    (
        "one column at two hosts",
        "scorecard",
        both(column("court", "twice", lambda f: f["tax"]["paid"]), section("scorecard", l2=0.0)),
        one_left_out("host:"),
    ),
    (
        "a trend the data contradict",
        "scorecard",
        own("bank", trends={"amount": "descending"}),
        reason("bank", "flagged", "contradicted"),
    ),
    (
        "a host's trend the data contradict",
        "scorecard",
        own("tax", trends={"paid": "descending"}),
        reason("host:tax", "flagged", "contradicted"),
    ),
    ("a direction the data contradict", "trees", own("tax", monotone_constraints={"paid": -1}), better_than(0.5)),
    ("cut points partly outside", "scorecard", own("tax", cut_points={"paid": [-1e9, 0.0, 1e9]}), all_of(6)),
    ("no cut points", "scorecard", own("tax", cut_points={"paid": []}), reason("host:tax", "flagged")),
    ("numbers near the largest", "trees", column("tax", "paid", lambda f: f["tax"]["paid"] * 1e307), better_than(0.5)),
    ("numbers near the largest", "scorecard", column("tax", "paid", lambda f: f["tax"]["paid"] * 1e307), all_of(6)),
    (
        "a bank that knows nothing",
        "trees",
        both(own("bank", drop=["sector"]), column("bank", "amount", rare)),
        bank_says_nothing,
    ),
    (
        "a bank that knows nothing",
        "scorecard",
        both(own("bank", drop=["sector"]), column("bank", "amount", rare)),
        bank_says_nothing,
    ),
    (
        "a bank alone whose weak columns are one",
        "scorecard",
        both(
            column("bank", "weak", lambda _: np.random.default_rng(2).integers(0, 3, N)),
            column("bank", "weak2", lambda f: f["bank"]["weak"]),
            section("scorecard", l2=0.0, min_information_value=0.3),
        ),
        better_than(0.5),
    ),
)


@pytest.mark.parametrize(
    ("kind", "change", "check"), [pytest.param(k, c, t, id=f"{k}: {name}") for name, k, c, t in FALLBACKS]
)
def test_what_can_be_done_without_is_left_out_and_every_number_is_one(
    tmp_path: Path, kind: str, change: Change, check: Check
) -> None:
    result = run(tmp_path, kind, change)
    assert_only_numbers(tmp_path / "run")
    check(result, tmp_path / "run")


# -- scoring -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored")
    run(folder, "trees", section("boosting", n_estimators=6))
    return folder


def scored(trained: Path, applicants: pd.DataFrame, name: str) -> Any:
    file, out = trained / f"{name}.csv", trained / f"{name}-scores.csv"
    applicants.to_csv(file, index=False)
    bank = str(trained / "run" / "nodes" / "bank")
    done = CliRunner().invoke(app, ["score", bank, str(file), "--local", "--out", str(out)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return pd.read_csv(out, dtype={"id": str})


def test_levels_never_seen_and_missing_values_are_scored(trained: Path) -> None:
    model = JointModel.from_json(load(trained / "run" / "nodes" / "bank" / "model.json"))
    used = {model.own.bins[s.feature].name for s in model.own.splits}
    assert used == {"amount", "sector"}
    some = frames()["bank"].head(30)
    answers = scored(trained, some.assign(sector="mine", amount=np.nan), "unseen")
    assert answers["default_probability"].between(0, 1, inclusive="neither").all()
    assert answers["points"].notna().all()


@pytest.mark.parametrize("then", [{"seized": "maybe"}, {"cases": 0}, {"cases": 9999}], ids=str)
def test_a_hosts_later_table_may_have_one_value_throughout_and_levels_never_seen(
    trained: Path, then: dict[str, Any]
) -> None:
    court = frames()["court"]
    court.assign(**then).to_csv(trained / "court.csv", index=False)
    answers = scored(trained, frames()["bank"].head(30), "later")
    court.to_csv(trained / "court.csv", index=False)
    assert answers["default_probability"].between(0, 1, inclusive="neither").all()
    assert len(answers) == 30


@pytest.mark.parametrize(
    ("change", "code", "names"),
    [
        (lambda f: f.assign(amount=first(np.inf)(f["amount"])), "wrong_column_type", ("amount", "finite")),
        (lambda f: f.assign(amount="much"), "wrong_column_type", ("amount", "finite")),
        (lambda f: f.drop(columns="amount"), "column_missing", ("amount",)),
        (lambda f: f.head(0), "file_empty", ("no rows",)),
    ],
    ids=["infinite", "text", "absent", "no rows"],
)
def test_applicants_that_cannot_be_scored_are_refused(
    trained: Path, change: Callable[[pd.DataFrame], pd.DataFrame], code: str, names: tuple[str, ...]
) -> None:
    with pytest.raises(LianmoError) as caught:
        scored(trained, change(frames()["bank"].head(5)), code)
    assert caught.value.code == code
    assert all(n in caught.value.english for n in names)


# -- a file of cut points ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ('{"cut_points": [1e6, 2e6]}', "cut_points_part_nothing"),
        ('{"cut_points": [1.0, 0.0]}', "cut_points_not_increasing"),
        ('{"cut_points": [0.0, 0.0]}', "cut_points_not_increasing"),
        ('{"cut_points": [0.0, NaN]}', "cut_points_not_finite"),
        ('{"cut_points": [0.0, Infinity]}', "cut_points_not_finite"),
        ('{"cut_points": ["zero"]}', "cut_points_not_finite"),
        ('{"cut_points": [true]}', "cut_points_not_finite"),
        ('{"cut_points": 0.5}', "cut_points_not_finite"),
        ('{"cut_points": null}', "cut_points_not_finite"),
        ('{"cuts": [0.5]}', "prebins_unreadable"),
        ('{"levels": ["a", "b"]}', "prebins_column_type"),
    ],
)
def test_a_file_of_cut_points_that_does_not_fit_is_refused_by_the_name_of_the_column(entry: str, code: str) -> None:
    paid = frames()["tax"]["paid"].to_numpy(dtype=np.float64)
    table = Table(tuple(map(str, range(N))), {"paid": paid})
    with pytest.raises(LianmoError) as caught:
        check_prebins(prebins_from_json(json.loads(f'{{"format": 1, "features": {{"paid": {entry}}}}}')), table)
    assert caught.value.code == code
    assert "paid" in caught.value.english
    assert "paid" in caught.value.chinese
