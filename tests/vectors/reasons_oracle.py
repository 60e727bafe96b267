"""Writes ``reasons_shap.json``: what each feature adds to the margins of a model, as shap's ``TreeExplainer`` sees it.

The test suite does not run this: shap is no dependency of the project. To write the file again, from the root, first
the model with the project's own environment, then its values with another one::

    python -m tests.vectors.reasons_oracle
    python -m venv other && other/bin/pip install shap
    other/bin/python tests/vectors/reasons_oracle.py

The model is fitted on synthetic rows with missing values and categories. Of a cut the file holds which codes of its
feature go left, so it does not depend on how the project stores cuts.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).parent / "reasons_shap.json"
LIBRARIES = ("shap", "numpy")


def write_model() -> None:
    """The pooled twin of a joint model, all rows of its problem as codes; no values yet."""
    from models.boosting.parameters import BoostingParameters
    from models.boosting.splits import goes_left
    from tests.builders import fit_aligned, vertical_problem

    problem = vertical_problem(300, seed=11)
    n_fit = 200
    p = BoostingParameters(n_estimators=5, max_depth=5, min_child_samples=3, max_bin=12)
    model = fit_aligned([problem.whole], problem.label, n_fit, p).model
    bins = model.own.bins

    def cut(handle: int) -> dict[str, Any]:
        split = model.own.splits[handle]
        feature = bins[split.feature]
        codes = np.arange(feature.n_regular + 2, dtype=np.uint8)
        left = codes[goes_left(split, feature, codes)]
        return {"feature": split.feature, "left_codes": left.tolist()}

    content = {
        "base_margin": model.base_margin,
        "features": [
            {"name": b.name, "category": b.category, "n_codes": b.n_regular + 2, "missing_code": b.missing_code}
            for b in bins
        ],
        "trees": [
            [
                {"n_rows": n.n_rows, "value": n.value}
                | ({"left": n.left, "right": n.right, **cut(n.handle)} if n.owner else {})
                for n in tree
            ]
            for tree in model.trees
        ],
        "codes": [b.encode(problem.whole.columns[b.name]).tolist() for b in bins],
    }
    FILE.write_text(json.dumps(content) + "\n", encoding="utf-8")


class ShapTree:
    """A tree in the arrays that shap reads: numbers against thresholds, missing ones by each node's default.

    A cut of a category sends runs of codes left or right: it becomes a chain of thresholds on the same feature, with a
    copy of a subtree behind each run. The rows of a side are shared out among its runs: whoever does not know the
    feature still goes left and right as often, and a chain on one feature is one player, so the game is the same.
    """

    def __init__(self, nodes: list[dict[str, Any]], features: list[dict[str, Any]]) -> None:
        self._nodes, self._features = nodes, features
        self.rows: list[list[float]] = []  # left, right, default, feature, threshold, value, weight
        self._emit(0, 1.0)

    def arrays(self) -> dict[str, np.ndarray]:
        left, right, default, feature, threshold, value, weight = np.array(self.rows).T
        return {
            "children_left": left,
            "children_right": right,
            "children_default": default,
            "feature": feature,
            "threshold": threshold,
            "value": value[:, None],
            "node_sample_weight": weight,
        }

    def _emit(self, k: int, scale: float) -> int:
        node = self._nodes[k]
        if "feature" not in node:
            self.rows.append([-1, -1, -1, -1, -1, node["value"], scale * node["n_rows"]])
            return len(self.rows) - 1
        feature, left_codes = self._features[node["feature"]], set(node["left_codes"])
        if feature["category"]:
            sides = [code in left_codes for code in range(feature["n_codes"])]
            runs = [(goes_left, len(list(run))) for goes_left, run in groupby(sides)]
            return self._chain(node, runs, 0, scale, {side: sides.count(side) for side in (True, False)})
        regular = sorted(left_codes - {feature["missing_code"]})
        assert regular == list(range(len(regular)))
        at = self._node(node, len(regular) - 0.5, scale * node["n_rows"])
        left, right = self._emit(node["left"], scale), self._emit(node["right"], scale)
        self.rows[at][:3] = [left, right, left if feature["missing_code"] in left_codes else right]
        return at

    def _chain(
        self, node: dict[str, Any], runs: list[tuple[bool, int]], passed: int, scale: float, of_side: dict[bool, int]
    ) -> int:
        (goes_left, n_codes), *rest = runs
        child = node["left"] if goes_left else node["right"]
        share = scale * n_codes / of_side[goes_left]
        if not rest:
            return self._emit(child, share)
        at = self._node(node, passed + n_codes - 0.5, 0.0)
        left, right = self._emit(child, share), self._chain(node, rest, passed + n_codes, scale, of_side)
        self.rows[at] = [left, right, left, *self.rows[at][3:6], self.rows[left][6] + self.rows[right][6]]
        return at

    def _node(self, node: dict[str, Any], threshold: float, weight: float) -> int:
        self.rows.append([-1, -1, -1, node["feature"], threshold, 0.0, weight])
        return len(self.rows) - 1


def write_values() -> None:
    """What shap says of the model in the file, row by row."""
    import shap

    content = json.loads(FILE.read_text(encoding="utf-8"))
    x = np.array(content["codes"], dtype=np.float64).T
    for column, feature in zip(x.T, content["features"], strict=True):
        if not feature["category"]:
            column[column == feature["missing_code"]] = np.nan
    model = {
        "trees": [ShapTree(tree, content["features"]).arrays() for tree in content["trees"]],
        "base_offset": content["base_margin"],
        "tree_output": "raw_value",
        "input_dtype": np.float64,
        "internal_dtype": np.float64,
    }
    explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
    values = explainer.shap_values(x, check_additivity=False)
    content |= {
        "made_with": {library: version(library) for library in LIBRARIES},
        "average": float(np.ravel(explainer.expected_value)[0]),
        "values": values.tolist(),
    }
    FILE.write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if find_spec("shap"):
        write_values()
    else:
        write_model()
