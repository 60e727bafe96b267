"""A shadow's scores are kept beside what was told: whole lines from several writers, numbers by an outside oracle."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab.serving.answers import answer_of
from lab.serving.publishing.folder import ShelfFolder
from lab.serving.publishing.shadow import ShadowBook

N = 300


@pytest.fixture
def book(tmp_path: Path) -> ShadowBook:
    return ShadowBook(ShelfFolder(tmp_path))


def test_the_comparison_is_that_of_pandas(book: ShadowBook) -> None:
    rng = np.random.default_rng(1)
    told = [answer_of(float(m)) for m in rng.normal(-2.0, 1.0, N)]
    shadow = [answer_of(float(m)) for m in rng.normal(-2.2, 1.0, N)]
    for k, (a, b) in enumerate(zip(told, shadow, strict=True)):
        book.note(f"s-{k}", "v-1", a, b)
    book.note("s-x", "v-0", told[0], shadow[0])  # of an earlier trial
    found = book.compared("v-1")
    assert found
    frame = pd.DataFrame(
        {"told": [a.default_probability for a in told], "shadow": [b.default_probability for b in shadow]}
    )
    assert found.n == N
    assert (found.champion, found.challenger) == pytest.approx((frame["told"].mean(), frame["shadow"].mean()))
    assert found.rank_correlation == pytest.approx(frame["told"].corr(frame["shadow"], method="spearman"))
    assert found.largest == pytest.approx((frame["told"] - frame["shadow"]).abs().max())
    assert found.moved == pytest.approx(np.mean([a.band != b.band for a, b in zip(told, shadow, strict=True)]))
    assert found.safer + found.riskier == pytest.approx(found.moved)
    assert found.safer == pytest.approx(
        np.mean([b.points > a.points and a.band != b.band for a, b in zip(told, shadow, strict=True)])
    )


def test_lines_of_several_writers_do_not_mix(book: ShadowBook) -> None:
    answer = answer_of(-2.0)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: book.note(f"s-{k}", "v-1", answer, answer), range(N)))
    found = book.compared("v-1")
    assert found
    assert (found.n, found.moved, found.rank_correlation) == (N, 0.0, None)


def test_a_torn_line_is_passed_over_and_the_file_is_its_owners(book: ShadowBook, tmp_path: Path) -> None:
    answer = answer_of(-2.0)
    book.note("s-1", "v-1", answer, answer)
    path = tmp_path / "shadow.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("ab") as file:
        file.write(b'{"score":"s-2","ver')
    for score, n in (("s-3", 1), ("s-4", 2)):  # the first is written behind what is torn
        book.note(score, "v-1", answer, answer)
        found = book.compared("v-1")
        assert found
        assert found.n == n


def test_without_a_trial_there_is_nothing_to_compare(book: ShadowBook) -> None:
    assert book.compared("v-1") is None
