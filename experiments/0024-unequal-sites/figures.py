"""The figures of this experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from gains import SiteGain

mpl.use("svg")
import matplotlib.pyplot as plt

#: Gains beyond are drawn at the edge, ×1000.
EDGE = 500
#: Below this the scale is linear.
LINEAR = 20


def draw_gains(found: Mapping[str, list[SiteGain]], path: Path) -> None:
    """Of each world all sites, sorted: gain in log-loss over their own model, as it is and by the rule."""
    plt.rcParams["svg.hashsalt"] = path.stem
    figure, axes = plt.subplots(1, len(found), figsize=(2.6 * len(found), 3.6), layout="constrained", sharey=True)
    for one, (name, sites) in zip(np.atleast_1d(axes), found.items(), strict=True):
        for way, colour, marker, title in (
            ("common", "tab:orange", "o", "as it is"),
            ("rule", "tab:blue", "s", "by the rule"),
        ):
            values = np.sort([1000 * g.value for s in sites if (g := s.gain(way))])
            at = (np.arange(len(values)) + 0.5) / len(values)
            one.plot(at, np.clip(values, -EDGE, EDGE), marker, markersize=3.5, color=colour, label=title)
        one.axhline(0, color="black", linewidth=0.8)
        one.set_yscale("symlog", linthresh=LINEAR)
        ticks = [-500, -100, -20, 0, 20, 100, 500]
        one.set_yticks(ticks, [f"{t:+d}" if t else "0" for t in ticks])
        one.set_ylim(-1.2 * EDGE, 1.2 * EDGE)
        one.set_xticks([0, 0.5, 1], ["worst", "median", "best"])
        one.grid(axis="y", linewidth=0.3)
        one.set(title=name, xlabel="sites, sorted by gain")
    np.atleast_1d(axes)[0].set_ylabel("gain in log-loss over own, ×1000")
    np.atleast_1d(axes)[0].legend(loc="lower right")
    figure.savefig(path, metadata={"Date": None})


def draw_areas(found: Mapping[str, list[list[float]]], epsilons: Sequence[float | None], path: Path) -> None:
    """Mean, least and most over seeds."""
    plt.rcParams["svg.hashsalt"] = path.stem
    figure, axes = plt.subplots(1, len(found), figsize=(4.2 * len(found), 3.2), layout="constrained", sharey=True)
    places = np.arange(len(epsilons))
    for one, (name, areas) in zip(np.atleast_1d(axes), found.items(), strict=True):
        values = np.array(areas)
        means = values.mean(axis=1)
        one.errorbar(places, means, [means - values.min(axis=1), values.max(axis=1) - means], fmt="o-", capsize=3)
        one.axhline(0.5, linestyle="--", color="grey")
        one.set_xticks(places, ["none" if e is None else f"{e:g}" for e in epsilons])
        one.set(title=name, xlabel="epsilon of one applicant and run", ylabel="AUC, held out")
    figure.savefig(path, metadata={"Date": None})
