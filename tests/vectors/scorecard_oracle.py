"""Writes ``scorecard_toad.json``: a scorecard, its scores and their KS as toad computes them from raw rows.

The test suite does not run this: toad pins what the project pins otherwise. To write it again, from the root::

    python -m venv other && other/bin/pip install toad
    other/bin/python tests/vectors/scorecard_oracle.py

The rows are those of ``woe_optbinning.json`` without special codes. toad fits scikit-learn's logistic regression.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import toad

FOLDER = Path(__file__).parent
LIBRARIES = ("toad", "numpy", "pandas", "scikit-learn")
SCALE = {"pdo": 40, "rate": 2, "base_odds": 15, "base_score": 650}
INVERSE_PENALTY = 0.5


def main() -> None:
    known = json.loads((FOLDER / "woe_optbinning.json").read_text(encoding="utf-8"))
    rows = known["rows"]
    frame = pd.DataFrame({"x": np.array(rows["x"], dtype=float), "job": rows["job"], "label": rows["label"]})
    frame = frame[frame["x"] != known["special_code"]]
    features, label = frame[["x", "job"]], frame["label"]
    cut_points = known["numeric"][0]["cut_points"]
    levels = sorted(set(frame["job"]))
    combiner = toad.transform.Combiner().load({"x": [*cut_points, np.nan], "job": [[v] for v in levels]})
    binned = combiner.transform(features)
    transformer = toad.transform.WOETransformer().fit(binned, label)
    card = toad.ScoreCard(
        combiner=combiner, transer=transformer, C=INVERSE_PENALTY, tol=1e-12, max_iter=10_000, **SCALE
    )
    card.fit(transformer.transform(binned), label)
    score = card.predict(features)
    content = {
        "made_with": {library: version(library) for library in LIBRARIES},
        "scale": SCALE,
        "l2": 1 / INVERSE_PENALTY,
        "cut_points": cut_points,
        "levels": levels,
        "woe_bad_over_good": {name: card.rules[name]["woes"].tolist() for name in ("x", "job")},
        "coefficients": card.coef_.tolist(),
        "intercept": float(card.intercept_),
        "points": {name: card.rules[name]["scores"].tolist() for name in ("x", "job")},
        "information_value": {name: float(toad.stats.IV(binned[name].astype(str), label)) for name in ("x", "job")},
        "scores": score.tolist(),
        "ks": float(toad.metrics.KS(score, label)),
        "ks_of_feature": float(toad.metrics.KS(frame["x"].dropna(), label[frame["x"].notna()])),
        "auc": float(toad.metrics.AUC(-score, label)),
    }
    text = json.dumps(content, indent=1, allow_nan=False)
    (FOLDER / "scorecard_toad.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
