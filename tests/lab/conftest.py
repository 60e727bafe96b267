"""A small run's files: a bank and two hosts, 400 applicants, categories and missing values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

Write = Callable[..., Path]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """``bank.csv``, ``tax.csv``, ``court.csv`` in a folder of their own."""
    rng = np.random.default_rng(5)
    n = 400
    risk = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "id": [f"{i:018d}" for i in range(n)],
            "bad": (risk + rng.normal(size=n) > 0.8).astype(int),
            "amount": np.round(rng.normal(100, 20, n)),
            "sector": rng.choice(["trade", "farm", "craft"], n),
            "tax, 元": np.where(rng.random(n) < 0.1, np.nan, risk + rng.normal(size=n)),
            "late": rng.poisson(1 + np.exp(risk / 2)),
            "seized": rng.choice(["no", "yes", None], n, p=[0.7, 0.2, 0.1]),
            "cases": rng.poisson(np.exp(risk / 2)),
        }
    )
    for name, columns, share in (
        ("bank", ["id", "bad", "amount", "sector"], 1.0),
        ("tax", ["id", "tax, 元", "late"], 0.95),
        ("court", ["id", "seized", "cases"], 0.95),
    ):
        frame[columns].sample(frac=share, random_state=len(name)).to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


@pytest.fixture
def write_config(files: Path) -> Write:
    """Writes ``run.toml`` beside the files: plain cipher in memory unless the arguments say otherwise."""

    def write(
        transport: str = "memory", cipher: str = "plain", boosting: str = "", extra: str = "", **parties: Any
    ) -> Path:
        insecure = "insecure_allow_plaintext = true" if cipher == "plain" else ""
        text = f"""
[run]
name = "small"
directory = "runs/small"
transport = "{transport}"
party_seconds = 20
answer_seconds = 60
[boosting]
n_estimators = 3
max_depth = 3
max_bin = 8
min_child_samples = 5
{boosting}
[cipher]
name = "{cipher}"
{insecure}
[guest]
party = "bank"
data = "{parties.get("bank", "bank.csv")}"
label = "{parties.get("label", "bad")}"
[[hosts]]
party = "host:tax"
data = "{parties.get("tax", "tax.csv")}"
{insecure}
[[hosts]]
party = "host:court"
data = "{parties.get("court", "court.csv")}"
{insecure}
{extra}
"""
        path = files / "run.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
