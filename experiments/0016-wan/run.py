"""What do distance, rate and loss between institutions cost a joint model? And what does a killed process leave?

    python experiments/0016-wan/run.py [--enterprises N] [--trees N] [--quick]      (as root)
    python experiments/0016-wan/run.py --strikes N

Hub, bank, credit centre, tax and guarantor are processes in network namespaces of their own. The first writes the
tables in RESULT.md beside this file; the second prints what became of N runs with a kill -9.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from chaos import VICTIMS, same, strike
from network import HUB, LINKS, PARTIES, PORT, Link, Network, missing, network
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


def strikes(made: Federation, n: int) -> None:
    """``n`` runs with a kill, and one without after each, as lines of a table."""
    chance = random.Random(16)
    for number in range(n):
        victim = list(VICTIMS)[number % len(VICTIMS)]
        struck = strike(made, victim, f"struck{number}", chance)
        made.train(f"next{number}")
        right = same(made.city, f"next{number}")
        told = struck.said or f"finished, equal: {struck.right}"
        print(f"| {victim} | {struck.killed} | {struck.after:.1f} | {told} | {right} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="not used: the city is drawn")
    parser.add_argument("--enterprises", type=int, default=4000)
    parser.add_argument("--trees", type=int, default=3)
    parser.add_argument("--strikes", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="LAN, one tree, no RESULT.md: to see that it runs")
    a = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that networks and processes are taken down
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
        alone = {way: median(city.train_here(way)["tree_seconds"]) for way in ("memory", "relay")}
        print(alone, flush=True)
        lan = 0.0
        for number, link in enumerate(links):
            with network(link) as net:
                with federation(city, net, f"f{number}") as made:
                    check_closed(net)
                    result = made.train(f"r{number}")
                    lan = lan or median(result["tree_seconds"])
                    lines.append(row(link, result, lan, same(city, f"r{number}")))
                    print(lines[-1], flush=True)
                    strikes(made, a.strikes)
                assert not made.left_over()
                assert not any(net.listening(space) for space in (HUB, *PARTIES))
    lines += [
        "",
        "| one machine, in clear | s/tree | LAN, TLS and seals against it |",
        "|---|---|---|",
        *(f"| {way} | {seconds:.2f} | {lan / seconds:.2f} |" for way, seconds in alone.items()),
        "",
        f"Delay and loss by the {net.by}; {os.cpu_count()} cores for all processes.",
    ]
    print("\n".join(lines))
    if not (a.quick or a.strikes):
        put_lines(Path(__file__).parent / "RESULT.md", lines)


if __name__ == "__main__":
    main()
