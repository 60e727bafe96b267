"""The figure of the serving bench: latency and throughput, scenario by scenario."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import StrMethodFormatter

TITLES = {
    "bank_only": "bank only",
    "joint_two_hosts": "joint, two hosts",
    "joint_with_reasons": "joint, five reasons",
    "joint_one_host_dead": "joint, one host dead",
    "batch_1000": "batch of 1,000",
    "mlflow_models_serve": "mlflow models serve",
}


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Bars of p50, p95 and p99 on a logarithmic axis, and requests per second beside their names."""
    names = [name for name in TITLES if name in found]
    figure, axis = plt.subplots(figsize=(9, 0.8 * len(names) + 1.4))
    for k, (quantile, colour) in enumerate((("p50_ms", "#9ecae1"), ("p95_ms", "#4292c6"), ("p99_ms", "#084594"))):
        at = [row + (k - 1) * 0.26 for row in range(len(names))]
        values = [found[name][quantile] for name in names]
        axis.barh(at, values, height=0.24, color=colour, label=quantile[:-3])
        for y, value in zip(at, values, strict=True):
            axis.text(value * 1.05, y, f"{value:,.1f}", va="center", fontsize=8)
    rates = [found[name]["requests_per_second"] for name in names]
    axis.set_yticks(
        range(len(names)), [f"{TITLES[n]}\n{rate:,.0f} requests/s" for n, rate in zip(names, rates, strict=True)]
    )
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.set_xlim(1.0, 1.6 * max(found[name]["p99_ms"] for name in names))
    axis.set_xlabel("milliseconds")
    axis.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
