"""Unequal sites: costs by number of sites, noise, poisoning, and what each site gains.

    python experiments/0024-unequal-sites/run.py --data FOLDER [--part costs|privacy|poisoning|gains|folds] [--quick]

All parties are in one process. ``costs`` are of masked sums; the others add in clear what masks would hide, which
changes no bit. Writes the tables in RESULT.md and the figures beside this file, those of one part with ``--part``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import costs
import figures
import gains
import poisoning
import privacy
from worlds import World, sba, synthetic

from lab.result_page import put_lines

HERE = Path(__file__).parent
PARTS = ("costs", "privacy", "poisoning", "gains", "folds")


def worlds(data: Path, quick: bool) -> list[World]:
    if quick:
        return [sba(data, "State", 16, 8)]
    return [*(synthetic(n) for n in (4, 16, 77)), sba(data, "State", 16), sba(data, "Bank", 77)]


def lines_of(part: str, data: Path, quick: bool) -> list[str]:
    if part == "costs":
        return costs.lines(quick)
    if part == "privacy":
        chosen = worlds(data, True) if quick else [sba(data, "State", 16), synthetic(16)]
        rows, areas = privacy.lines(chosen, 1 if quick else 5)
        if not quick:
            figures.draw_areas(areas, privacy.EPSILONS, HERE / "privacy.svg")
        return rows
    if part == "poisoning":
        titles = ["| " + " | ".join(poisoning.TITLES) + " |", "|" + "---|" * len(poisoning.TITLES)]
        if quick:
            return titles + poisoning.lines(worlds(data, True)[0], 0, poisoning.ATTACKS[:2])
        chosen = [sba(data, "Bank", 77), synthetic(77)]
        return titles + [row for world in chosen for row in poisoning.lines(world, 0)]
    if part == "folds":
        rows = ["| " + " | ".join(gains.TITLES) + " |", "|" + "---|" * len(gains.TITLES)]
        for world in worlds(data, quick=True) if quick else [sba(data, "State", 16)]:
            rows += gains.lines_of(world.name, gains.gains_by_folds(world, 3 if quick else 60, 0))
            print(*rows[-3:], sep="\n", flush=True)
        return rows
    rows, found = ["| " + " | ".join(gains.TITLES) + " |", "|" + "---|" * len(gains.TITLES)], {}
    for world in worlds(data, quick):
        n_trees = 3 if quick else 60
        found[world.name] = gains.gains(world, n_trees, 0)
        rows += gains.lines_of(world.name, found[world.name])
        print(*rows[-3:], sep="\n", flush=True)
    if not quick:
        figures.draw_gains(found, HERE / "gains.svg")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--part", choices=PARTS, action="append", help="default: all")
    parser.add_argument("--quick", action="store_true", help="few rows, nothing written")
    arguments = parser.parse_args()
    for part in arguments.part or PARTS:
        rows = lines_of(part, arguments.data, arguments.quick)
        print(*rows, sep="\n")
        if not arguments.quick:
            put_lines(HERE / "RESULT.md", rows, part)


if __name__ == "__main__":
    main()
