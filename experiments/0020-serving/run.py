"""How fast does the bank's service answer, and does it always? Beside ``mlflow models serve`` of the same model.

    python experiments/0020-serving/run.py [--out FOLDER] [--seconds S] [--soak-seconds S] [--workers N] [--quick]

Processes on loopback: the bank's service with its store and audit log, two data nodes, the load. ``bank_only`` and
``mlflow_models_serve``: wrk, every connection asks again at once. ``joint_*``: arrivals at a rate that waits for no
answer, latency from when a request was due. ``joint_one_host_dead``: one node takes calls and answers none.
``batch_1000``: one after the other. Writes ``serving.json``, ``serving_more.json`` (scenarios of our own, conditions)
and ``serving.svg``, and the table in RESULT.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from figure import draw
from load import WRK_MISSING, Check, closed_loop, has_wrk, paced
from services import Bank, Process, free_port, start_bank, start_serving
from soak import soak
from world import HOSTS, PHRASE, World, bodies_file, make_world, write_data

from lab.governance.protection import PASSPHRASE
from lab.result_page import put_lines
from lab.serving.rules import ServiceRules

HERE = Path(__file__).parent
#: What ``serving.json`` holds, besides the soak.
SCENARIOS = (
    "bank_only",
    "joint_two_hosts",
    "joint_one_host_dead",
    "joint_with_reasons",
    "batch_1000",
    "mlflow_models_serve",
)
DEADLINE_SECONDS = 0.25


def good(mode: str) -> Check:
    """Every answer is one, and of this mode."""
    return lambda _, status, answer: status == 200 and answer["mode"] == mode


def answered(_: int, status: int, answer: Any) -> bool:
    return status == 200 and answer["default_probability"] is not None


class Bench:
    def __init__(self, place: Path, world: World, a: argparse.Namespace) -> None:
        self.place, self.world, self.a = place, world, a
        self.log = place / "log.txt"
        self.cpu: dict[str, float] = {}
        self.bodies = [world.body(row) for row in range(len(world.table))]

    def bank(self, urls: dict[str, str], **given: Any) -> Bank:
        store = f"sqlite:///{self.place / 'answers.db'}"
        rules = ServiceRules(deadline_seconds=DEADLINE_SECONDS)
        return Bank(self.world.bank, urls, store, rules=rules, **given)

    def start(self, bank: Bank, workers: int = 1) -> Process:
        return start_bank(bank, self.log, PHRASE, workers=workers)

    def bank_only(self) -> dict[str, Any]:
        """With and without the audit log, and how much of each second the log took."""
        path = self.place / "bodies.txt"
        bodies_file(self.world, path)
        found: dict[str, Any] = {}
        for audited in (True, False):
            with self.start(self.bank({}, alone=True, audited=audited), self.a.workers) as service:
                name = "bank_only" if audited else "bank_only_without_audit"
                found[name] = self.loaded(service, "/v1/scores", path, name)
        return found

    def mlflow(self) -> dict[str, Any]:
        path = self.place / "mlflow-bodies.txt"
        lines = []
        for body in self.bodies[:2000]:
            record = {"id": body["applicant_id"], **body["features"]}
            lines.append(json.dumps({"dataframe_records": [record]}, default=float))
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        model = self.place / "mlflow-model"
        _save_pyfunc(model, self.world.bank / "bank_only.json")
        port = free_port()
        command = [str(Path(sys.executable).parent / "mlflow"), "models", "serve", "--model-uri", str(model)]
        command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", str(self.a.mlflow_workers)] if self.a.mlflow_workers else []
        environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": os.pathsep.join(sys.path)}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with Process(command, port, self.log, "/ping", **environment) as service:
            url = f"{service.url}/invocations"
            first = json.loads(lines[0])
            told = httpx.post(url, json=first, timeout=60, trust_env=False).json()["predictions"][0]
            assert 0 < told["default_probability"] < 1
            return self.loaded(service, "/invocations", path, "mlflow_models_serve")

    def loaded(self, service: Process, path: str, bodies: Path, name: str) -> dict[str, Any]:
        """Under full load; and the CPU that a request takes, which other work on the machine changes less."""
        url, connections = service.url + path, self.a.connections
        closed_loop(url, bodies, min(2.0, self.a.seconds), connections)
        before = service.cpu_seconds()
        found = closed_loop(url, bodies, self.a.seconds, connections)
        spent = service.cpu_seconds() - before
        self.cpu[name] = round(spent * 1000 / max(1.0, found["requests_per_second"] * self.a.seconds), 3)
        return found

    def joint(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        hosts = {party: start_serving(self.world.host(party), self.log) for party in HOSTS}
        urls = {party: host.url for party, host in hosts.items()}
        try:
            with self.start(self.bank(urls)) as service:
                found["joint_two_hosts"] = self.paced(service, good("joint"))
                found["joint_with_reasons"] = self.paced(service, good("joint"), reasons=5)
                found["batch_1000"] = self.batches(service)
            if has_wrk():
                with self.start(self.bank(urls)) as service:
                    path = self.place / "bodies.txt"
                    found["joint_closed_loop"] = closed_loop(f"{service.url}/v1/scores", path, self.a.seconds, 8)
            with self.start(self.bank(urls)) as service:
                hosts[HOSTS[0]].freeze()
                found["joint_one_host_dead"] = self.paced(service, answered, warm=False)
        finally:
            for host in hosts.values():
                host.stop()
        return found

    def paced(self, service: Process, check: Check, reasons: int = 0, *, warm: bool = True) -> dict[str, Any]:
        bodies = [body | {"reasons": reasons} for body in self.bodies]
        url, rate = f"{service.url}/v1/scores", self.a.rate
        if warm:
            asyncio.run(paced(url, bodies, rate, min(2.0, self.a.seconds), lambda *_: True))
        return asyncio.run(paced(url, bodies, rate, self.a.seconds, check)).summary(rate)

    def batches(self, service: Process) -> dict[str, Any]:
        size = min(1000, len(self.bodies))
        spent: list[float] = []
        errors = 0
        begun = time.perf_counter()
        with httpx.Client(timeout=120, trust_env=False) as caller:
            while not spent or time.perf_counter() - begun < self.a.seconds:
                at = time.perf_counter()
                answer = caller.post(
                    f"{service.url}/v1/scores:batch",
                    content=json.dumps({"applications": self.bodies[:size]}, default=float),
                    headers={"content-type": "application/json"},
                )
                spent.append(time.perf_counter() - at)
                modes = {item["score"]["mode"] for item in answer.json()["items"]}
                errors += answer.status_code != 200 or modes != {"joint"}
        took = time.perf_counter() - begun
        at_quantiles = np.percentile(np.array(spent) * 1000, [50, 95, 99]).round(1).tolist()
        names = dict(zip(("p50_ms", "p95_ms", "p99_ms"), at_quantiles, strict=True))
        rate = round(len(spent) / took, 3)
        return {**names, "requests_per_second": rate, "offered_per_second": None, "errors": errors}


def _save_pyfunc(path: Path, bundle: Path) -> None:
    import mlflow.pyfunc

    mlflow.pyfunc.save_model(
        path, python_model=str(HERE / "bank_model.py"), artifacts={"bundle": str(bundle)}, pip_requirements=["pandas"]
    )


def table_of(found: dict[str, Any], more: dict[str, Any]) -> list[str]:
    lines = [
        "| scenario | p50 ms | p95 ms | p99 ms | requests/s | offered/s | errors |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in found.items():
        if "p50_ms" in row:
            offered = "as answered" if row["offered_per_second"] is None else f"{row['offered_per_second']:g}"
            lines.append(
                f"| {name} | {row['p50_ms']:.1f} | {row['p95_ms']:.1f} | {row['p99_ms']:.1f} | "
                f"{row['requests_per_second']:,.1f} | {offered} | {row['errors']} |"
            )
    lines += ["", "CPU ms per request: " + ", ".join(f"{k} {v:.2f}" for k, v in more["cpu_ms_per_request"].items())]
    s, d = found["soak"], more["soak_in_detail"]
    lines += [
        "",
        f"Soak: {s['requests']:,} requests, {s['wrong']} wrong, {s['lost']} lost, {s['rss_growth_mb']} MB grown, "
        f"{d['rss_growth_second_half_mb']} of it in the second half; "
        f"{d['modes'].get('joint', 0):,} by all parties, {d['n_models']} models answered; {d['published']} changes of "
        f"what is in force, {d['refused']} kept from it by a dead host; {d['host_kills']} hosts killed; "
        f"{d['shadow_scores']:,} scores in the shadow.",
    ]
    return [*lines, "", f"Made on {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}."]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="not used: the data is a package's")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    parser.add_argument("--seconds", type=float, default=20.0, help="of each scenario")
    parser.add_argument("--soak-seconds", type=float, default=120.0)
    parser.add_argument("--rate", type=float, default=50.0, help="arrivals per second")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="of bank_only")
    parser.add_argument("--mlflow-workers", type=int, default=0, help="0: as many as MLflow starts by itself")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--trees", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="seconds each, no RESULT.md: to see that it runs")
    a = parser.parse_args()
    if a.quick:
        a.seconds, a.soak_seconds, a.trees, a.rate, a.workers = 1.0, 6.0, 6, 10.0, 1
    os.environ[PASSPHRASE] = PHRASE
    with tempfile.TemporaryDirectory(prefix="lianmo-serving-") as folder:
        place = Path(folder)
        say("training three small models 训练三个小模型")
        write_data(place)
        sizes = {"first": a.trees, "second": max(2, a.trees // 2), "third": max(3, a.trees // 3)}
        worlds = [make_world(place, name, trees) for name, trees in sizes.items()]
        bench = Bench(place, worlds[0], a)
        found: dict[str, Any] = {}
        more: dict[str, Any] = {}
        if has_wrk():
            say("bank only 仅银行模型")
            found |= bench.bank_only()
            say("mlflow models serve")
            found["mlflow_models_serve"] = bench.mlflow()
        else:
            print(WRK_MISSING, file=sys.stderr)
        say("joint 联合评分")
        found |= bench.joint()
        say(f"soak 持续压测 {a.soak_seconds:g} s")
        found["soak"], more["soak_in_detail"] = soak(worlds, a.soak_seconds, a.rate, place, bench.log)
        tail = bench.log.read_text(encoding="utf-8", errors="replace").splitlines()
    more["cpu_ms_per_request"] = bench.cpu
    more["conditions"] = {
        "deadline_ms": DEADLINE_SECONDS * 1000,
        "workers": a.workers,
        "mlflow_workers": a.mlflow_workers or "its default",
        "connections": a.connections,
        "trees": a.trees,
        "cores": os.cpu_count(),
        "seconds": a.seconds,
        "python": platform.python_version(),
    }
    a.out.mkdir(parents=True, exist_ok=True)
    figures = {name: found[name] for name in (*SCENARIOS, "soak") if name in found}
    for file, told in (("serving.json", figures), ("serving_more.json", {**found, **more})):
        (a.out / file).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    draw(found, a.out / "serving.svg")
    (a.out / "serving.log").write_text("\n".join(tail[-200:]) + "\n", encoding="utf-8")
    lines = table_of(found, more)
    print("\n".join(lines))
    if not a.quick:
        put_lines(HERE / "RESULT.md", lines)
    if found["soak"]["wrong"] or found["soak"]["lost"]:
        sys.exit("The soak found answers that are wrong or lost. 压测发现错误或丢失的结果。")


def say(what: str) -> None:
    print(f"… {what}", flush=True)


if __name__ == "__main__":
    main()
