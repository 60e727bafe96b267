"""What does governance cost a training run? The synthetic city through its nodes, and the same rows without them.

    python experiments/0012-governance-overhead/run.py [--enterprises N] [--trees N] [--repeats N] [--quick]

The run without nodes trains on the tables that the gates let through, so both do the same encrypted work (Paillier,
2,048 bits, memory transport): the models must be equal. CPU seconds of training, each run in a fresh process, so that
each pays for opening its keys; alternating, medians. Adds a row to the table in RESULT.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import pandas as pd
from rich.console import Console

from lab.config import load_config
from lab.data.sources import read_table
from lab.data.synthetic.nodes import write_nodes
from lab.data.synthetic.state import Settings
from lab.data.synthetic.writing import write_population
from lab.governance.admission import admitted
from lab.governance.protection import PASSPHRASE
from lab.result_page import put_lines
from lab.runs import train_run


def prepare(city: Path, n_enterprises: int, n_trees: int) -> dict[str, Path]:
    """The run through the nodes, and one on the rows they let through."""
    write_population(city, Settings(n_enterprises=n_enterprises, seed=1, default_rate=0.045))
    governed = write_nodes(city, passphrase=os.environ[PASSPHRASE])
    text = governed.read_text("utf-8").replace("n_estimators = 80", f"n_estimators = {n_trees}")
    text = text.replace("[run]\n", '[run]\ntransport = "memory"\n', 1)
    governed.write_text(text, "utf-8")
    lines = [line for line in text.splitlines() if not line.startswith(("node =", "project ="))]
    for host in load_config(governed).hosts:
        table = admitted(host, read_table(host), "bank", "boosting").table
        path = city / f"{host.party.removeprefix('host:')}-admitted.parquet"
        pd.DataFrame({"subject": table.ids, **table.columns}).to_parquet(path)
        at = lines.index(f'party = "{host.party}"')
        lines[at + 1] = f'data = "{path.name}"'
        lines[at + 3] = "drop = []"
    free = city / "free.toml"
    free.write_text("\n".join(lines).replace("city-runs/governed", "city-runs/free"), "utf-8")
    return {"without nodes": free, "through nodes": governed}


def trained(path: Path) -> tuple[float, int, float]:
    """CPU seconds of a run, its rows, and its AUC to the last bit. For a process of its own."""
    started = time.process_time()
    result = train_run(load_config(path), Console(quiet=True))
    return time.process_time() - started, result["rows"]["common"], result["auc"]["joint"]["value"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--enterprises", type=int, default=5000)
    parser.add_argument("--trees", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a small city, no RESULT.md: to see that it runs")
    parser.add_argument("--data", type=Path, help="not used: the city is drawn")
    arguments = parser.parse_args()
    size = (2500, 1, 1) if arguments.quick else (arguments.enterprises, arguments.trees, arguments.repeats)
    os.environ.setdefault(PASSPHRASE, "correct horse battery staple")
    spent: dict[str, list[float]] = {}
    told = set()
    with tempfile.TemporaryDirectory() as folder:
        runs = prepare(Path(folder) / "city", size[0], size[1])
        for _ in range(size[2]):
            for name, path in runs.items():
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                    seconds, *model = process.submit(trained, path).result()
                print(f"{name}: {seconds:.1f} CPU s", flush=True)
                spent.setdefault(name, []).append(seconds)
                told.add(tuple(model))
    assert len(told) == 1, "the two runs are not the same"
    free, governed = median(spent["without nodes"]), median(spent["through nodes"])
    rows = ["| enterprises | rows fitted and tested | trees | without nodes, CPU s | through nodes, CPU s | overhead |"]
    rows += ["|---|---|---|---|---|---|"]
    [(n_rows, _)] = told
    rows += [f"| {size[0]:,} | {n_rows:,} | {size[1]} | {free:.1f} | {governed:.1f} | {governed / free - 1:+.1%} |"]
    print("\n".join(rows))
    if not arguments.quick:
        put_lines(Path(__file__).parent / "RESULT.md", rows)


if __name__ == "__main__":
    main()
