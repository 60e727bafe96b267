"""A shadow's scores are kept beside what was told: whole lines from several writers, numbers by an outside oracle."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn.metrics import confusion_matrix

from lab.serving.answers import Answer, answer_of
from lab.serving.publishing.folder import ShelfFolder
from lab.serving.publishing.shadow import FILE, Comparison, Line, ShadowBook, Told
from lab.serving.publishing.shadow_view import draw, show
from models.bundle import save

N = 300
CHAMPION, TRIAL = "aaaa", "bbbb"


@pytest.fixture
def book(tmp_path: Path) -> ShadowBook:
    folder = ShelfFolder(tmp_path)
    for version in (CHAMPION, TRIAL):
        folder.folder(version).mkdir(parents=True)
    save(folder.folder(CHAMPION) / "selftest.json", {"digest": "d-1"})
    return ShadowBook(folder)


def line(k: int, told: Answer, shadow: Answer, mode: Told = "joint", against: str = "d-1") -> Line:
    return Line(f"s-{k}", against, mode, told, shadow)


def compared(book: ShadowBook, mode: Told = "joint") -> Comparison:
    return book.pairs(TRIAL, CHAMPION)[mode].compared()


def answers(seed: int, mean: float) -> list[Answer]:
    return [answer_of(float(m)) for m in np.random.default_rng(seed).normal(mean, 1.0, N)]


def test_the_comparison_is_that_of_pandas_and_scikit_learn(book: ShadowBook) -> None:
    told, shadow = answers(1, -2.0), answers(2, -2.3)
    book.note(TRIAL, [line(k, a, b) for k, (a, b) in enumerate(zip(told, shadow, strict=True))])
    found = compared(book)
    frame = pd.DataFrame(
        {
            "told": [a.default_probability for a in told],
            "shadow": [b.default_probability for b in shadow],
            "told_band": [a.band for a in told],
            "shadow_band": [b.band for b in shadow],
        }
    )
    assert found.n == N
    assert (found.champion, found.challenger) == pytest.approx((frame["told"].mean(), frame["shadow"].mean()))
    assert found.rank_correlation == pytest.approx(frame["told"].corr(frame["shadow"], method="spearman"))
    assert found.largest == pytest.approx((frame["told"] - frame["shadow"]).abs().max())
    moves = confusion_matrix(frame["told_band"], frame["shadow_band"], labels=list(found.bands))
    assert np.array_equal(found.moves, moves)
    assert found.agreement == pytest.approx((frame["told_band"] == frame["shadow_band"]).mean())
    assert found.safer == pytest.approx((frame["shadow_band"] < frame["told_band"]).mean())
    assert found.riskier == pytest.approx((frame["shadow_band"] > frame["told_band"]).mean())
    shares = [frame[column].value_counts(normalize=True) for column in ("told_band", "shadow_band")]
    expected, actual = (share.reindex(found.bands).to_numpy() for share in shares)
    assert found.stability_index == pytest.approx(np.sum((actual - expected) * np.log(actual / expected)))


def test_only_answers_of_the_present_champion_are_compared_and_like_with_like(book: ShadowBook) -> None:
    told, shadow = answer_of(-2.0), answer_of(-3.0)
    book.note(TRIAL, [line(0, told, shadow, against="of a champion before"), line(1, told, shadow)])
    book.note(TRIAL, [line(2, told, told, mode="bank_only")])
    assert [compared(book, mode).n for mode in ("joint", "bank_only")] == [1, 1]
    assert [compared(book, mode).agreement for mode in ("joint", "bank_only")] == [0.0, 1.0]


def test_lines_of_several_writers_do_not_mix(book: ShadowBook) -> None:
    answer = answer_of(-2.0)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: book.note(TRIAL, [line(k, answer, answer)] * 3), range(N)))
    found = compared(book)
    assert (found.n, found.agreement, found.rank_correlation) == (3 * N, 1.0, None)


def test_a_torn_line_is_passed_over_and_the_file_is_its_owners(book: ShadowBook) -> None:
    answer = answer_of(-2.0)
    book.note(TRIAL, [line(1, answer, answer)])
    path = book.folder.folder(TRIAL) / FILE
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("ab") as file:
        file.write(b'{"score":"s-2","aga')
    for k, n in ((3, 1), (4, 2)):  # the first is written behind what is torn
        book.note(TRIAL, [line(k, answer, answer)])
        assert compared(book).n == n


def test_without_a_trial_there_is_nothing_to_compare_and_nothing_is_kept(book: ShadowBook) -> None:
    assert book.pairs(TRIAL, CHAMPION) == {}
    with pytest.raises(FileNotFoundError):
        book.note("cccc", [line(1, answer_of(0.0), answer_of(0.0))])


def test_people_see_tables_in_both_languages_and_a_figure(book: ShadowBook, tmp_path: Path) -> None:
    told, shadow = answers(1, -2.0), answers(2, -2.3)
    for mode in ("joint", "bank_only"):
        book.note(TRIAL, [line(k, a, b, mode) for k, (a, b) in enumerate(zip(told, shadow, strict=True))])
    pairs = book.pairs(TRIAL, CHAMPION)
    console = Console(record=True, width=120, quiet=False, file=(tmp_path / "out").open("w"))
    for mode, both in pairs.items():
        show(console, mode, both.compared())
    said = console.export_text()
    for word in ("等级一致", "same band", "PSI over bands", f"{N:,} applications", "Answers by the bank alone"):
        assert word in said
    path = tmp_path / "moves.svg"
    draw(pairs).savefig(path)
    drawn = path.read_text("utf-8")
    assert drawn.count("<use") > 2 * N  # a point for each
    assert f"n = {2 * N}" in drawn
