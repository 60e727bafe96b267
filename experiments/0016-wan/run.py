"""What do distance, rate and loss between institutions cost a joint model? And what does a killed process leave?

    python experiments/0016-wan/run.py [--enterprises N] [--trees N] [--quick]      (as root)
    python experiments/0016-wan/run.py --trees 5 --strikes N [--first K] [--seed S] [--only KIND] [--results FILE]

    python experiments/0016-wan/run.py --enterprises 16000 --trees 20 --overhead PAIRS

Hub, bank, credit centre, tax and guarantor are processes in network namespaces of their own. The first writes the
tables in RESULT.md beside this file; the second prints what became of the runs K to K + N - 1 of a seed, each with a
kill -9, and adds them to FILE: so they can be had in portions. The third needs no root: the same training by the same
processes over plaintext sockets, a relay in clear and a hub, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from chaos import HEAD, VICTIMS, Struck, at_rest, strike
from network import HUB, LINKS, PARTIES, PORT, Link, Network, missing, network
from overhead import WAYS, Measured, setting
from sessions import City, Federation, federation

from lab.result_page import put_lines

#: As SecretFlow publishes for its boosting: slow-down against its own LAN.
THEIRS = {LINKS[1].name: "1.5", LINKS[2].name: "4.4"}


def predicted(link: Link, result: dict[str, Any]) -> float:
    """Seconds per tree that the link adds: a round trip between parties per message to a host, and the bank's bytes."""
    trees = result["trees"]
    asked: dict[str, int] = {}
    for row in result["disclosures"]:
        if row["sender"] == "bank":
            asked[row["receiver"]] = asked.get(row["receiver"], 0) + row["count"]
    rounds = max(asked.values()) / trees
    rate = 8 * bank_bytes(result) / (link.mbit * 1e6) if link.mbit else 0.0
    return float(rounds * 4 * link.one_way / 1000 + rate)


def bank_bytes(result: dict[str, Any]) -> float:
    return float(sum(result["bytes"]["bank"].values()) / result["trees"])


def row(link: Link, result: dict[str, Any], lan: float, right: bool) -> str:
    seconds = median(result["tree_seconds"])
    return (
        f"| {link.name} | {seconds:.2f} | {bank_bytes(result) / 1e6:.2f} | {seconds / lan:.2f} | "
        f"{THEIRS.get(link.name, '–')} | {seconds - lan:+.2f} | {predicted(link, result):.2f} | {right} |"
    )


def check_closed(net: Network) -> None:
    """Only the hub's port listens outside, and no party reaches another."""
    assert {at.rpartition(":")[2] for at in net.listening(HUB)} == {str(PORT)}
    for party in PARTIES:
        assert not net.listening(party)
        assert net.reaches(party, net.address(HUB), PORT)
        assert not any(net.reaches(party, net.address(other), PORT) for other in PARTIES if other != party)


def strikes(made: Federation, told: argparse.Namespace) -> None:
    """Runs with a kill, one after the other in the same federation; each as a line, all of them in ``told.results``."""
    began = time.monotonic()
    made.train("undisturbed")
    seconds = time.monotonic() - began
    assert same(made.city, "undisturbed")
    before = at_rest(made)
    victims = [one for one in VICTIMS if re.search(told.only, one)]
    print(f"an undisturbed run: {seconds:.1f} s\n{HEAD}", flush=True)
    for number in range(told.first, told.first + told.strikes):
        struck = strike(made, number, told.seed, seconds, before, victims, told.growing)
        print(struck.row(), flush=True)
        every = json.loads(told.results.read_text("utf-8")) if told.results.exists() else {}
        every[struck.seed] = asdict(struck)
        told.results.write_text(json.dumps(every, ensure_ascii=False, indent=1), "utf-8")
    account([Struck(**one) for one in every.values()])


def account(every: Sequence[Struck]) -> None:
    """What became of strikes, all together."""
    wrong, left = sum(not one.right for one in every), sum(len(one.orphans) for one in every)
    ports, files = sum(len(one.ports) for one in every), sum(len(one.files) for one in every)
    hit = len({one.victim for one in every if one.killed})
    print(
        f"\n{len(every)} strikes so far, {sum(one.killed for one in every)} of them hit, {hit} of "
        f"{len(VICTIMS)} kinds of process. Wrong or lost: {wrong}. Processes left: {left}. Ports: {ports}. "
        f"Files: {files}.",
        flush=True,
    )
    assert not wrong + left + ports + files


def compared(city: City, rounds: int) -> None:
    """Rounds of one training each way, in an order that turns; ratios of each round."""
    done: dict[str, list[Measured]] = {way: [] for way in WAYS}
    print("| round | way | s | CPU s | of it between parties |\n|---|---|---|---|---|")
    with setting(city) as measure:
        for number in range(rounds):
            for way in WAYS[number % 3 :] + WAYS[: number % 3]:
                done[way].append(one := measure(way, f"{way}{number}"))
                assert same(city, f"{way}{number}")
                print(f"| {number} | {way} | {one.wall:.2f} | {one.cpu:.2f} | {one.between:.2f} |", flush=True)
    print("\n| against | s | CPU s |\n|---|---|---|")
    for base in WAYS[:-1]:
        pairs = list(zip(done["hub"], done[base], strict=True))
        shown = []
        for what in ("wall", "cpu"):
            ratios = sorted(getattr(hub, what) / getattr(other, what) for hub, other in pairs)
            shown.append(f"{median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")
        print(f"| hub / {base} | {shown[0]} | {shown[1]} |")


def same(city: City, name: str) -> bool:
    return city.model(name) == city.model("memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="not used: the city is drawn")
    parser.add_argument("--enterprises", type=int, default=4000)
    parser.add_argument("--trees", type=int, default=3)
    parser.add_argument("--strikes", type=int, default=0)
    parser.add_argument("--overhead", type=int, default=0, metavar="PAIRS")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=16)
    parser.add_argument("--only", default="", help='kinds of process to kill, a regular expression; "": all')
    parser.add_argument("--growing", action="store_true", help="strike only once there are trees")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "strikes.json")
    parser.add_argument("--quick", action="store_true", help="LAN, one tree, no RESULT.md: to see that it runs")
    a = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that networks and processes are taken down
    if a.overhead:
        with tempfile.TemporaryDirectory() as place:
            city = City(Path(place), a.enterprises, a.trees)
            city.draw()
            city.train_here("memory")
            compared(city, a.overhead)
        return
    if why := missing():
        print(
            f"Not run: {why[0]}. Root, Linux and iproute2 are needed.\n未运行：{why[1]}，需要 root、Linux 与 iproute2。"
        )
        sys.exit(0 if a.quick else 1)
    links = LINKS[:1] if a.quick or a.strikes else LINKS
    lines = [
        "| links | s/tree | MB/tree at the bank | ratio to LAN | SecretFlow's | added s | predicted s | same model |",
        "|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as place:
        city = City(Path(place), a.enterprises, 1 if a.quick else a.trees)
        city.draw()
        ways = ("memory",) if a.strikes else ("memory", "relay")
        alone = {way: median(city.train_here(way)["tree_seconds"]) for way in ways}
        print(alone, flush=True)
        lan = 0.0
        for number, link in enumerate(links):
            with network(link) as net:
                with federation(city, net, f"f{number}") as made:
                    check_closed(net)
                    if a.strikes:
                        strikes(made, a)
                        continue
                    result = made.train(f"r{number}")
                    lan = lan or median(result["tree_seconds"])
                    lines.append(row(link, result, lan, same(city, f"r{number}")))
                    print(lines[-1], flush=True)
                assert not made.left_over()
                assert not any(net.listening(space) for space in (HUB, *PARTIES))
    if a.strikes:
        return
    lines += [
        "",
        "| one machine, in clear | s/tree | LAN, TLS and seals against it |",
        "|---|---|---|",
        *(f"| {way} | {seconds:.2f} | {lan / seconds:.2f} |" for way, seconds in alone.items()),
        "",
        f"Delay and loss by the {net.by}; {os.cpu_count()} cores for all processes.",
    ]
    print("\n".join(lines))
    if not a.quick:
        put_lines(Path(__file__).parent / "RESULT.md", lines)


if __name__ == "__main__":
    main()
