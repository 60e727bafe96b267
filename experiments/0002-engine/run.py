"""How fast is the encrypted-sum engine, and how does it grow? `make bench` runs this.

    python experiments/0002-engine/run.py --data FOLDER [--quick] [--full]

Writes runs/bench/engine.json and runs/bench/engine.png, and the table in RESULT.md beside this file. Every figure comes
from the production path: whole runs, one process per party over the relay, CPU seconds of all processes and workers.
`--full` adds 300,000 and 1,000,000 rows and 100 features (about half an hour); `--quick` only shows that it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from joblib import parallel_config
from phe import paillier as phe
from rich.console import Console

from federation.alignment.guest import choose_rows, find_common
from federation.alignment.host import TRANSITIONS, AlignmentHost
from federation.ciphers import paillier
from federation.ciphers.packing import PairPacking
from federation.disclosure import Transcript
from federation.endpoint import Endpoint
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import MemoryWire
from lab.config import parse_config
from lab.result_page import put_lines
from lab.runs import train_run

#: What the page and the figure need.
ENGINE_KEYS = ("cpu_seconds_per_tree", "primitives", "alignment", "scaling")
CREDIT = {"max_depth": 5, "max_bin": 32, "learning_rate": 0.3, "random_state": 0}
SYNTHETIC = {"max_depth": 4, "max_bin": 16, "learning_rate": 0.3, "random_state": 0}


def cpu_of_children() -> float:
    """CPU seconds of all ended child processes, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass
class Trained:
    """One whole run."""

    cpu: float
    wall: float
    result: dict[str, Any]

    @property
    def peak(self) -> dict[str, float]:
        hosts = {name: host["peak_rss_mb"] for name, host in self.result["hosts"].items()}
        return {"bank": self.result["peak_rss_mb"], **hosts}


def train(folder: Path, boosting: dict[str, Any], trees: int, jobs: int) -> Trained:
    """Train on ``bank.csv`` and ``host.csv`` in ``folder``; rows with ``late`` = 1 are held out."""
    config = parse_config(
        {
            "run": {"name": "bench", "directory": "run", "transport": "relay", "n_jobs": jobs},
            "boosting": {**boosting, "n_estimators": trees},
            "split": {"time_column": "late", "holdout_from": 1},
            "guest": {"party": "bank", "data": "bank.parquet", "label": "y"},
            "hosts": [{"party": "host:bureau", "data": "host.parquet"}],
        },
        folder,
    )
    cpu, wall = cpu_of_children(), time.perf_counter()
    result = train_run(config, Console(quiet=True))
    return Trained(cpu_of_children() - cpu, time.perf_counter() - wall, result)


def default_credit(data: Path, folder: Path, most: int | None) -> None:
    """All 30,000 rows to fit (or ``most``); 200 of them once more under other ids to test."""
    for part in ("guest", "host"):
        frame = pd.read_csv(data / f"default_credit_{part}.csv.gz", nrows=most).astype({"id": str})
        again = frame.iloc[:200].assign(id="again" + frame["id"].iloc[:200])
        both = pd.concat([frame.assign(late=0), again.assign(late=1)])
        columns = both if part == "guest" else both.drop(columns="late")
        columns.to_parquet(folder / f"{'bank' if part == 'guest' else 'host'}.parquet")


def synthetic(rows: int, features: int, folder: Path) -> None:
    """Independent features, the worst case for joint cells; the label leans on ten of them."""
    rng = np.random.default_rng(rows + features)
    x = rng.normal(size=(rows + 200, features)).astype(np.float32)
    risk = x[:, : min(10, features)].sum(axis=1)
    ids = np.char.add("a", np.arange(rows + 200).astype(str))
    label = (risk + rng.normal(size=rows + 200) * 3 > 3).astype(int)
    late = (np.arange(rows + 200) >= rows).astype(int)
    own = rng.normal(size=rows + 200)
    pd.DataFrame({"id": ids, "y": label, "late": late, "own": own}).to_parquet(folder / "bank.parquet")
    host = pd.DataFrame(x, columns=[f"x{i}" for i in range(features)])
    host.insert(0, "id", ids)
    host.to_parquet(folder / "host.parquet")


def one_tree(data: Path, trees: int, jobs: int, most: int | None = None) -> dict[str, Any]:
    """Default-credit: what one more tree costs, from runs of ``trees`` and twice as many; phe is timed between them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        default_credit(data, folder, most)
        short = train(folder, CREDIT, trees, jobs)
        phe_encrypt = seconds_of_phe_encryption()
        long = train(folder, CREDIT, 2 * trees, jobs)
    cpu = (long.cpu - short.cpu) / trees
    wall = float(np.median(long.result["tree_seconds"][1:]))
    n_bytes = (sum(long.result["bytes"]["bank"].values()) - sum(short.result["bytes"]["bank"].values())) / trees
    return {
        "phe_encrypt_ms": phe_encrypt * 1e3,
        "cpu_seconds_per_tree": cpu,
        "wall_seconds_per_tree": wall,
        "wall_over_cpu": wall / cpu,
        "ratio_cpu_to_phe_encrypt": cpu / phe_encrypt,
        "bytes_per_tree": n_bytes,
        "peak_rss_mb": long.peak,
        "n_jobs": jobs,
        "forecast_seconds_per_tree": long.result["forecast"]["seconds_per_tree"],
        "forecast_memory_mb": long.result["forecast"]["memory_mb"],
    }


def seconds_of_phe_encryption() -> float:
    key, _ = phe.generate_paillier_keypair(n_length=2048)
    return cpu_seconds(lambda: key.raw_encrypt(12345), 40)


def cpu_seconds(work: Callable[[], object], times: int) -> float:
    """Median CPU seconds of one call."""
    found = []
    for _ in range(times):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return float(np.median(found))


def primitives(expected: int) -> dict[str, float]:
    """Microseconds of one operation, ours and phe's, with the same key, made ready for ``expected`` encryptions."""
    key, secret_key = phe.generate_paillier_keypair(n_length=2048)
    ours = paillier.PaillierSecret(int(secret_key.p), int(secret_key.q), expected=expected)
    packing = PairPacking.for_rows(30_000, 32, ours.public.plaintext_bits)
    numbers = packing.join([5] * 1000, [3] * 1000)
    sent = ours.encrypt(numbers)
    public, ciphertexts = ours.public, ours.public.load(sent)
    a, b = ciphertexts[:2]
    public.rerandomise([a])
    x, y = key.encrypt(5), key.encrypt(7)
    return {
        "encrypt_us": cpu_seconds(lambda: ours.encrypt(numbers), 5) * 1e3,
        "phe_encrypt_us": cpu_seconds(lambda: key.raw_encrypt(numbers[0]), 20) * 1e6,
        "add_us": cpu_seconds(lambda: [public.add(a, b) for _ in range(1000)], 5) * 1e3,
        "phe_add_us": cpu_seconds(lambda: [x + y for _ in range(200)], 5) * 5e3,
        "load_us": cpu_seconds(lambda: public.load(sent), 5) * 1e3,
        "pack_us": cpu_seconds(lambda: public.shift(a, 2 * packing.slot), 20) * 1e6,
        "rerandomise_us": cpu_seconds(lambda: public.rerandomise(ciphertexts[:50]), 5) * 2e4,
        "decrypt_us": cpu_seconds(lambda: ours.decrypt(sent[: 20 * public.ciphertext_bytes]), 5) * 5e4,
        "phe_decrypt_us": cpu_seconds(lambda: secret_key.raw_decrypt(int(a)), 10) * 1e6,
        "pairs_per_ciphertext": packing.pairs,
    }


def alignment(rows: int) -> dict[str, float]:
    """Guest and host of ``rows`` identifiers each, half of them common; CPU of both, in this process."""
    guest_ids = [f"9131{i:014d}" for i in range(rows)]
    host_ids = tuple(f"9131{i:014d}" for i in range(rows // 2, rows + rows // 2))
    allowed = tuple({kind for _, kind in TRANSITIONS})
    host = Endpoint(AlignmentHost(host_ids, HostPolicy()), "bank", allowed)
    transcript = Transcript("bank")
    wire = MemoryWire({"host:a": host.answer})
    with parallel_config(backend="threading", n_jobs=1):
        cpu, wall = time.process_time(), time.perf_counter()
        positions = run(find_common(guest_ids, ["host:a"]), wire, transcript)
        common = np.flatnonzero(positions["host:a"] >= 0)
        run(choose_rows(positions, common), wire, transcript)
    assert len(common) == rows - rows // 2
    return {
        "rows": rows,
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.perf_counter() - wall,
        "bytes": sum(transcript.traffic()["bank"].values()),
    }


def scaling(sizes: list[tuple[int, int]], jobs: int) -> dict[str, Any]:
    """One tree on synthetic rows, with everything a run needs around it."""
    found = []
    for rows, features in sizes:
        with tempfile.TemporaryDirectory() as name:
            synthetic(rows, features, Path(name))
            done = train(Path(name), SYNTHETIC, 1, jobs)
        found.append(
            {
                "rows": rows,
                "features": features,
                "cpu_seconds": done.cpu,
                "wall_seconds": done.wall,
                "tree_seconds": done.result["tree_seconds"][0],
                "peak_rss_mb": done.peak,
                "forecast_memory_mb": done.result["forecast"]["memory_mb"],
                "forecast_tree_seconds": done.result["forecast"]["seconds_per_tree"],
            }
        )
        print(found[-1], flush=True)
    return grown(found)


def grown(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Later points replace earlier ones of the same size; exponents follow."""
    by_size = {(p["rows"], p["features"]): p for p in points}
    found = [by_size[size] for size in sorted(by_size, key=lambda size: (size[1], size[0]))]
    exponents = {
        "tree_seconds ~ rows": exponent(found, "rows", "features", "tree_seconds"),
        "cpu_seconds ~ rows": exponent(found, "rows", "features", "cpu_seconds"),
        "tree_seconds ~ features": exponent(found, "features", "rows", "tree_seconds"),
    }
    return {"scaling": found, "exponents": exponents}


def exponent(found: list[dict[str, Any]], along: str, fixed: str, value: str) -> float | None:
    """Slope of log(value) against log(along), at the value of ``fixed`` with most points, the larger of equals."""
    groups: dict[int, list[dict[str, Any]]] = {}
    for point in found:
        groups.setdefault(point[fixed], []).append(point)
    wide = [group for group in groups.values() if len(group) > 1]
    if not wide:
        return None
    points = max(wide, key=lambda group: (len(group), group[0][fixed]))
    return float(np.polyfit(np.log([p[along] for p in points]), np.log([p[value] for p in points]), 1)[0])


def draw(engine: dict[str, Any], path: Path) -> None:
    """CPU seconds against rows, one line per number of features; peers' CPU per tree beside ours."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.4), layout="constrained")
    colours = {10: "#0072B2", 30: "#009E73", 100: "#D55E00"}
    for features in sorted({p["features"] for p in engine["scaling"]}):
        points = sorted((p["rows"], p["cpu_seconds"]) for p in engine["scaling"] if p["features"] == features)
        label = f"{features} host features"
        if len(points) > 1:
            label += f", rows^{np.polyfit(*np.log(np.array(points)).T, 1)[0]:.2f}"
        left.plot(*zip(*points, strict=True), "o-", color=colours.get(features), label=label)
    whole = "CPU seconds, whole run, all parties\n(one tree, depth 4, 16 bins)"
    left.set(xscale="log", yscale="log", xlabel="rows", ylabel=whole, title="Growth")
    left.legend(frameon=False)
    peers = {
        "Lianmo\nPaillier 2,048": engine["cpu_seconds_per_tree"],
        "SecretFlow SGB\nOU 2,048": 13,
        "SecretFlow SGB\nPaillier 2,048": 79,
        "FATE SecureBoost\nPaillier 2,048": 539,
    }
    bars = right.barh(list(peers), list(peers.values()), color=["#0072B2", "#999999", "#999999", "#999999"])
    right.bar_label(bars, fmt="%.3g s", padding=3)
    right.set(xscale="log", xlim=(1, 3000), xlabel="CPU seconds per tree, all parties", title="UCI default-credit")
    right.invert_yaxis()
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def put_tables(page: Path, engine: dict[str, Any]) -> None:
    """Replace what stands between the two marks; the words around it are written by hand."""
    p = engine["primitives"]
    lines = ["| default-credit, one tree | |", "|---|---|"]
    lines += [
        f"| {name} | {value} |"
        for name, value in (
            ("CPU seconds, all parties", f"{engine['cpu_seconds_per_tree']:.2f}"),
            ("the same in phe encryptions", f"{engine['ratio_cpu_to_phe_encrypt']:.0f}"),
            ("wall seconds, two cores", f"{engine['wall_seconds_per_tree']:.2f}"),
            ("wall / CPU", f"{engine['wall_over_cpu']:.2f}"),
            ("MB", f"{engine['bytes_per_tree'] / 1e6:.1f}"),
            ("forecast, seconds", f"{engine['forecast_seconds_per_tree']:.2f}"),
            ("forecast, memory, MB", ", ".join(f"{k} {v:.0f}" for k, v in engine["forecast_memory_mb"].items())),
            ("peak memory, MB", ", ".join(f"{k} {v:.0f}" for k, v in engine["peak_rss_mb"].items())),
        )
    ]
    lines += ["", "| one operation, µs | ours | phe |", "|---|---|---|"]
    lines += [f"| {n} | {p[n + '_us']:.1f} | {p['phe_' + n + '_us']:.1f} |" for n in ("encrypt", "add", "decrypt")]
    lines += [f"| {n} | {p[n + '_us']:.1f} | |" for n in ("load", "pack", "rerandomise")]
    lines += ["", "| alignment, rows × rows | CPU s | wall s | MB |", "|---|---|---|---|"]
    lines += [
        f"| {a['rows']:,} | {a['cpu_seconds']:.1f} | {a['wall_seconds']:.1f} | {a['bytes'] / 1e6:.1f} |"
        for a in engine["alignment"]
    ]
    lines += ["", "| rows | features | CPU s, whole run | s per tree (forecast) | peak MB, bank and host (forecast) |"]
    lines += ["|---|---|---|---|---|"]
    lines += [
        f"| {s['rows']:,} | {s['features']} | {s['cpu_seconds']:.0f} "
        f"| {s['tree_seconds']:.1f} ({s['forecast_tree_seconds']:.1f}) | "
        + ", ".join(f"{v:.0f} ({s['forecast_memory_mb'][party]:.0f})" for party, v in s["peak_rss_mb"].items())
        + " |"
        for s in engine["scaling"]
    ]
    exponents = ", ".join(f"{name} {value:.2f}" for name, value in engine["exponents"].items() if value is not None)
    lines += ["", f"Fitted exponents: {exponents}."]
    lines += ["", f"Made on {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}."]
    put_lines(page, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", choices=("tree", "primitives", "alignment", "scaling"), help="renew one part")
    arguments = parser.parse_args()
    quick, full = arguments.quick, arguments.full
    sizes = [(2_000, 4)] if quick else [(30_000, 10), (30_000, 30), (100_000, 10), (100_000, 30)]
    if full:
        sizes += [(30_000, 100), (100_000, 100), (300_000, 10), (300_000, 100), (1_000_000, 10), (1_000_000, 100)]
    aligned = [1_000] if quick else [10_000, 100_000, *([700_000] if full else [])]
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "tree": lambda: one_tree(arguments.data, 1, 2, 2_000) if quick else one_tree(arguments.data, 10, 2),
        "primitives": lambda: {"primitives": primitives(3_000 if quick else 300_000)},
        "alignment": lambda: {"alignment": [alignment(n) for n in aligned]},
        "scaling": lambda: scaling(sizes, 2),
    }
    file = arguments.out / "engine.json"
    engine: dict[str, Any] = json.loads(file.read_text()) if arguments.only and file.exists() else {}
    for name in [arguments.only] if arguments.only else parts:
        found = parts[name]()
        if name == "scaling":
            found = grown([*engine.get("scaling", []), *found["scaling"]])
        print(found, flush=True)
        engine |= found
    if quick:
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(engine, indent=1))
    if set(ENGINE_KEYS) <= set(engine):
        draw(engine, arguments.out / "engine.png")
        put_tables(Path(__file__).parent / "RESULT.md", engine)


if __name__ == "__main__":
    main()
