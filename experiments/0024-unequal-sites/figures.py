"""The figures of this experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from gains import SiteGain

mpl.use("svg")
import matplotlib.pyplot as plt

#: Wider intervals are cut off at the edge, ×1000.
EDGE = 150


def draw_gains(found: Mapping[str, list[SiteGain]], path: Path) -> None:
    """Per site, the smallest first: gain in log-loss over its own model, with 95 % intervals."""
    plt.rcParams["svg.hashsalt"] = path.stem
    figure, axes = plt.subplots(1, len(found), figsize=(3.2 * len(found), 3.4), layout="constrained", sharey=True)
    for one, (name, sites) in zip(np.atleast_1d(axes), found.items(), strict=True):
        ordered = sorted((s for s in sites if len(s.losses["own"])), key=lambda s: s.n_fit)
        for shift, way, colour, title in (
            (-0.2, "common", "tab:grey", "as it is"),
            (0.2, "rule", "tab:blue", "by the rule"),
        ):
            of = [s.gain(way) for s in ordered]
            values = 1000 * np.array([[g.value, g.low, g.high] for g in of if g]).T
            width = [values[0] - values[1], values[2] - values[0]]
            at = np.arange(len(ordered)) + shift
            one.errorbar(at, values[0], width, fmt=".", markersize=4, linewidth=0.7, color=colour, label=title)
        one.axhline(0, color="black", linewidth=0.8)
        one.set(title=name, xlabel="sites, smallest first", ylim=(-EDGE, EDGE))
    np.atleast_1d(axes)[0].set_ylabel("gain in log-loss over own, ×1000")
    np.atleast_1d(axes)[0].legend(loc="lower right")
    figure.savefig(path, metadata={"Date": None})


def draw_areas(found: Mapping[str, list[list[float]]], epsilons: Sequence[float | None], path: Path) -> None:
    """Mean, least and most over seeds."""
    plt.rcParams["svg.hashsalt"] = path.stem
    figure, axes = plt.subplots(1, len(found), figsize=(4.2 * len(found), 3.2), layout="constrained")
    places = np.arange(len(epsilons))
    for one, (name, areas) in zip(np.atleast_1d(axes), found.items(), strict=True):
        values = np.array(areas)
        means = values.mean(axis=1)
        one.errorbar(places, means, [means - values.min(axis=1), values.max(axis=1) - means], fmt="o-", capsize=3)
        one.axhline(0.5, linestyle="--", color="grey")
        one.set_xticks(places, ["none" if e is None else f"{e:g}" for e in epsilons])
        one.set(title=name, xlabel="epsilon of one applicant and run", ylabel="AUC, held out")
    figure.savefig(path, metadata={"Date": None})
