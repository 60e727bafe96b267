"""A project learns counts with noise, and no more of them than its total of epsilon allows."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine, func, select

from federation.policy import HostPolicy
from federation.vertical.binning.host import BinningHost
from federation.vertical.host import TrainingHost
from lab.config import load_config
from lab.data.sources import read_table
from lab.errors import GovernanceError
from lab.governance.admission import admitted
from lab.governance.learnt import would_learn
from lab.governance.policy import PolicyBook, Terms, terms_text
from lab.governance.privacy import PrivacyBook
from lab.governance.tables import NOISE_SPENT
from models.errors import LianmoError
from tests.lab.conftest import Write
from tests.lab.governance.test_admission import CITATIONS, START, Node, governed, replace_in, train
from tests.lab.governance.test_policy import NOW, book, terms
from tests.lab.governance.test_session_record import Parties, parties  # noqa: F401 - a fixture

SCORECARD = "[scorecard]\nmin_information_value = 0.0\n"


def purse(store: Engine, **changes: Any) -> tuple[PrivacyBook, Terms]:
    made = book(store, **{"epsilon": 0.5, "epsilon_total": 4.0, "period_days": 10, **changes})
    return PrivacyBook(store), made.terms("p")


def booked(store: Engine) -> int:
    with store.connect() as connection:
        return int(connection.execute(select(func.count(NOISE_SPENT.c.release))).scalar_one())


def refused(found: PrivacyBook, agreed: Terms, n_features: int) -> str:
    with pytest.raises(GovernanceError) as caught:
        found.spend("p", agreed, n_features, NOW)
    tried = found.dry_run("p", agreed, n_features, NOW)
    assert tried is not None
    assert tried.english == caught.value.english
    assert re.search("[\u4e00-\u9fff]", tried.chinese)
    return caught.value.code


def test_releases_add_up_until_the_total_is_spent(store: Engine) -> None:
    found, agreed = purse(store)
    first = found.spend("p", agreed, 5, NOW)
    assert (first.n_features, first.epsilon, first.in_period) == (5, 2.5, 2.5)
    assert refused(found, agreed, 4) == "epsilon_spent"
    assert found.left("p", agreed, NOW) == 1.5
    assert found.dry_run("p", agreed, 3, NOW) is None
    assert booked(store) == 1
    assert found.spend("p", agreed, 3, NOW).in_period == 4.0
    assert found.left("p", agreed, NOW) == 0
    assert refused(found, agreed, 1) == "epsilon_spent"
    assert booked(store) == 2


def test_what_was_released_before_the_period_counts_no_more(store: Engine) -> None:
    found, agreed = purse(store)
    found.spend("p", agreed, 8, NOW)
    assert found.spend("p", agreed, 8, NOW + timedelta(days=10)).in_period == 4.0


def test_rounding_is_no_reason_to_refuse(store: Engine) -> None:
    found, agreed = purse(store, epsilon=0.1, epsilon_total=1.0)
    for _ in range(10):
        found.spend("p", agreed, 1, NOW)
    assert refused(found, agreed, 1) == "epsilon_spent"


def test_two_that_ask_at_once_do_not_share_the_last_of_it(store: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has noted its release and waits for another to have done so before it adds up: none can."""
    found, agreed = purse(store)
    together, real = Barrier(2), PrivacyBook._spent

    def spent(*arguments: Any) -> float:
        with suppress(BrokenBarrierError):
            together.wait(0.2)
        return real(*arguments)

    monkeypatch.setattr(PrivacyBook, "_spent", staticmethod(spent))

    def ask(_: int) -> bool:
        try:
            found.spend("p", agreed, 5, NOW)
        except GovernanceError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(ask, range(4))) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon": 1.0},
        {"epsilon_total": 1.0},
        {"epsilon": 0.05, "epsilon_total": 1.0},
        {"epsilon": 21.0, "epsilon_total": 100.0},
        {"epsilon": 1.0, "epsilon_total": 0.0},
        {"epsilon": float("nan"), "epsilon_total": 1.0},
        {"epsilon": 1.0, "epsilon_total": float("inf")},
    ],
    ids=str,
)
def test_terms_that_are_none_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        terms(**changes)


def test_terms_without_noise_keep_their_digest() -> None:
    assert b"epsilon" not in terms_text("p", terms())
    assert b'"epsilon":1.0,"epsilon_total":9.0' in terms_text("p", terms(epsilon=1.0, epsilon_total=9.0))


def test_what_a_project_would_learn_says_the_noise() -> None:
    exact = {kind: (english, chinese) for kind, english, chinese in would_learn("scorecard")}
    noisy = {kind: (english, chinese) for kind, english, chinese in would_learn("scorecard", 0.5)}
    assert set(exact) - set(noisy) == {"stability.shifts"}
    assert {kind for kind in noisy if noisy[kind] != exact[kind]} == {"binning.prebin_sums"}
    assert noisy["binning.prebin_sums"][0].endswith("Noise of epsilon 0.5 per feature.")
    assert noisy["binning.prebin_sums"][1].endswith("每个特征加噪声，ε 为 0.5。")


# -- whole runs --------------------------------------------------------------------------------------------------


def agree(book: PolicyBook, epsilon_total: float) -> None:
    agreed = Terms(
        parties=["bank"],
        purposes=["loan_model"],
        algorithms=["scorecard", "boosting"],
        epsilon=1.0,
        epsilon_total=epsilon_total,
    )
    book.propose("cards", agreed, "Li", START)
    book.decide("cards", "approved", "Wang", START)


def noisy_run(files: Path, write: Write, epsilon_total: float) -> tuple[Node, Path]:
    node = Node(files, CITATIONS)
    agree(node.book, epsilon_total)
    path = governed(write, extra=SCORECARD)
    path.write_text(path.read_text("utf-8").replace('project = "loans"', 'project = "cards"'), "utf-8")
    return node, path


def test_a_run_says_what_noise_it_met_and_the_next_one_finds_nothing_left(
    files: Path, write_config: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, path = noisy_run(files, write_config, 3.0)
    result = train(path)
    told = {(row["sender"], row["message"]): row for row in result["disclosures"]}
    assert "Noise of epsilon 1 per feature." in told["host:tax", "binning.prebin_sums"]["reveals"]
    assert "ε 为 1" in told["host:tax", "binning.prebin_sums"]["reveals_zh"]
    assert "Noise of" not in told["host:court", "binning.prebin_sums"]["reveals"]
    assert ("host:tax", "stability.withheld") in told
    assert ("host:tax", "stability.shifts") not in told
    assert ("host:court", "stability.shifts") in told
    assert PrivacyBook(node.engine).left("cards", node.book.terms("cards"), datetime.now(UTC)) == 1.0  # two features
    assert booked(node.engine) == 1

    shown: list[str] = []
    real = BinningHost._build
    monkeypatch.setattr(BinningHost, "_build", lambda *a: (shown.append(a[0].party), real(*a))[1])
    with pytest.raises(LianmoError) as caught:
        train(path)
    assert caught.value.code == "epsilon_spent"
    assert "host:tax" not in shown
    assert booked(node.engine) == 1


def test_what_was_spent_stands_in_the_audit_log_before_anything_is_shown(parties: Parties) -> None:  # noqa: F811
    for node in (parties.tax, parties.court):
        agree(node.book, 2.5)
    parties.project = "cards"
    parties.train(extra=SCORECARD)
    kinds = parties.kinds("host:tax")
    assert kinds.index("rows_admitted") < kinds.index("noise_spent") < kinds.index("model_sealed")
    [said] = parties.said("host:tax", "noise_spent")
    numbers = {name: value for name, value in said.references.items() if name != "session"}
    assert numbers == {"n_features": 2, "epsilon_millionths": 2_000_000, "spent_millionths": 2_000_000}
    with pytest.raises(LianmoError):
        parties.train(extra=SCORECARD)
    assert [entry.references["code"] for entry in parties.said("host:tax", "refused")] == ["epsilon_spent"]


def test_what_the_log_cannot_note_is_not_released(files: Path, write_config: Write) -> None:
    _, path = noisy_run(files, write_config, 3.0)
    party = replace_in(load_config(path), "host:tax")

    def broken(_: object) -> None:
        raise OSError

    found = admitted(party, read_table(party), "bank", "scorecard", noted=broken)
    assert found.policy.noise is not None
    with pytest.raises(OSError):
        found.policy.noise.spend(1)


def test_without_epsilon_in_the_terms_there_is_no_noise(
    files: Path, write_config: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[HostPolicy] = []
    init = TrainingHost.__post_init__
    monkeypatch.setattr(TrainingHost, "__post_init__", lambda self: (seen.append(self.policy), init(self))[1])
    Node(files, CITATIONS)
    result = train(governed(write_config))
    assert [policy.noise for policy in seen] == [None, None]
    assert "Noise of" not in json.dumps(result["disclosures"])
