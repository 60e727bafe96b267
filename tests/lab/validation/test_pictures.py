"""Figures show the numbers of the pack, each with a line in two languages; what is not there is not drawn."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from lab.party_value import party_values
from lab.validation.pack import validate
from lab.validation.pack_figures import draw_grades, draw_swap
from lab.validation.pictures import pictures_of
from lab.validation.sample import ValidationRules
from lab.validation.score_figures import draw_deciles, points_of
from models.scale import points
from tests.lab.validation.samples import scored

RULES = ValidationRules(n_resamples=20)


def pack_and_scores(**extra: Any) -> tuple[dict[str, Any], pd.DataFrame]:
    sample, challenger = scored(dated=True)
    columns = {"part": sample.part, "label": sample.label, "bank_only": challenger, "joint": sample.margin}
    return validate(sample, rules=RULES, seed=1, **extra).to_json(), pd.DataFrame(columns)


def test_every_part_has_its_picture_and_a_line_in_two_languages() -> None:
    _, challenger = scored(dated=True)
    groups = np.where(np.arange(4000) % 3 == 0, "甲", "women")
    pack, scores = pack_and_scores(challenger=challenger, groups=groups)
    value = party_values(scores["label"][:500], ["host:tax"], lambda c: scores["joint"][:500] * len(c), seed=1)
    made = pictures_of(pack, scores, json.loads(json.dumps(value.to_json())))
    assert set(made) == {
        "separation", "deciles", "reliability", "spread", "grades", "swap", "vintages", "groups", "value"
    }  # fmt: skip
    for picture in made.values():
        assert ET.fromstring(picture.svg).tag.endswith("svg")
        assert picture.english.endswith(".")
        assert picture.chinese.endswith("。")
        assert any("\u4e00" <= c <= "\u9fff" for c in picture.chinese)
        assert not any("\u4e00" <= c <= "\u9fff" for c in picture.english)


def test_without_a_challenger_periods_or_groups_there_is_less_to_draw() -> None:
    sample, _ = scored()
    pack = validate(sample, rules=RULES, seed=1).to_json()
    scores = pd.DataFrame({"part": sample.part, "label": sample.label, "joint": sample.margin})
    made = pictures_of(pack, scores)
    assert set(made) == {"separation", "deciles", "reliability", "spread", "grades"}
    assert "bank" not in made["separation"].english


def test_bars_and_quadrants_are_the_numbers_of_the_pack() -> None:
    _, challenger = scored(dated=True)
    pack, scores = pack_and_scores(challenger=challenger)
    left = draw_deciles(scores, pack["deciles"]).axes[0]
    assert [bar.get_height() for bar in left.patches] == [d["default_rate"] for d in pack["deciles"]]
    stated = draw_grades(pack["grades"]).axes[0].patches
    assert [bar.get_height() for bar in stated] == [g["default_probability"] for g in pack["grades"]["rows"]]
    swap = pack["comparison"]["swap_set"]
    texts = [text.get_text() for text in draw_swap(swap).axes[0].texts]
    assert f"{swap['swapped_in']['default_rate']:.1%} default" in texts


def test_an_empty_quadrant_and_equal_scores_are_drawn() -> None:
    pack, scores = pack_and_scores(challenger=scored(dated=True)[0].margin)
    assert pack["comparison"]["swap_set"]["swapped_in"]["n_rows"] == 0
    assert "same applicants" in pictures_of(pack, scores)["swap"].english


def test_points_are_those_of_the_scale() -> None:
    margins = np.linspace(-6, 4, 21)
    assert [points(m) for m in margins] == pytest.approx(points_of(margins), abs=0.5)


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    before = dict(mpl.rcParams)
    pack, scores = pack_and_scores()
    first = pictures_of(pack, scores)
    assert dict(mpl.rcParams) == before
    assert pictures_of(pack, scores) == first
