"""A whole session under a real ``flwr run``, and what is left afterwards: nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import psutil
import pytest

from federation.transports.relay import Relay, Traffic
from lab import flower_programs, simulation

PARTIES = ("bank", "host:tax", "host:电信")
TICKETS = {party: f"ticket of {party}" for party in PARTIES}

#: In place of ``lab.flower_node``, which every party has installed: one exchange; one party may
#: fail with a secret text.
STAND_IN = """
import json
from pathlib import Path

from federation.flower.client_app import make_client_app
from federation.transports.dialogue import RelayWire, serve_responder
from federation.transports.link import Link


def run_session(party, settings):
    print("at work", party, flush=True)
    job = json.loads(Path(settings["jobs"]).read_text())
    with Link(job["relay"], "trial", party, job["tickets"][party]) as link:
        if party == job["fails"]:
            raise ValueError("applicant 4711 defaulted")
        if party != "bank":
            finished = not job["fails"]  # where one party fails, the other host waits on: no race who notices first
            serve_responder(link, lambda frame: (frame[::-1], finished), "bank", idle_seconds=30)
            return {}
        hosts = [name for name in settings["parties"].split(",") if name != "bank"]
        replies = RelayWire(link).exchange(dict.fromkeys(hosts, b"abc"))
        return {"n_right": sum(reply == b"cba" for reply in replies.values())}


app = make_client_app(run_session)
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shim, with the stand-in for the code that is installed at the parties."""
    shim = tmp_path / "shim"
    shutil.copytree(flower_programs.SHIM, shim)
    entry = shim / "lianmo_shim" / "client_app.py"
    entry.write_text(entry.read_text().replace("lab.flower_node", "stand_in_node"))
    installed = tmp_path / "installed"
    installed.mkdir()
    (installed / "stand_in_node.py").write_text(STAND_IN)
    decoy = tmp_path / "cwd"
    decoy.mkdir()
    (decoy / "stand_in_node.py").write_text("raise SystemExit('code of the working directory must not run')")
    monkeypatch.chdir(decoy)
    monkeypatch.setattr(flower_programs, "SHIM", shim)
    monkeypatch.setenv("PYTHONPATH", str(installed))


def run(tmp_path: Path, fails: str) -> tuple[dict[str, dict[str, object]], dict[str, Traffic], str]:
    """The report, what the relay carried, and the log."""
    relay = Relay()
    port = relay.serve("127.0.0.1:0")
    relay.open_session("trial", TICKETS)
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"tickets": TICKETS, "fails": fails, "relay": f"127.0.0.1:{port}"}))
    result, log = tmp_path / "result.json", tmp_path / "log.txt"
    settings = {"jobs": str(job), "result": str(result)}
    lines: list[str] = []
    try:
        assert simulation.run_flower(PARTIES, settings, tmp_path / "flower", log, lines.append) == 0
        assert log.read_text().splitlines() == lines
        return json.loads(result.read_text()), relay.traffic("trial"), log.read_text()
    finally:
        relay.stop()


def survivors(flower_home: Path) -> list[psutil.Process]:
    """Processes of the run that are still there: Flower's by its directory, Ray's agents as orphans."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("FLWR_HOME") == str(flower_home.resolve())
            if ours or (process.name().startswith("ray::") and process.ppid() == 1):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("stand_in")
def test_three_parties_talk_and_nothing_is_left(tmp_path: Path) -> None:
    report, traffic, _ = run(tmp_path, fails="")
    assert report == {"bank": {"n_right": 2, "code": ""}, "host:tax": {"code": ""}, "host:电信": {"code": ""}}
    assert [traffic[party].frames for party in PARTIES] == [2, 1, 1]
    assert survivors(tmp_path / "flower") == []
    (bundle,) = (tmp_path / "flower" / "apps").iterdir()
    shipped = {str(path.relative_to(bundle)) for path in bundle.rglob("*.*") if "__pycache__" not in path.parts}
    assert shipped == {
        "pyproject.toml",
        "lianmo_shim/__init__.py",
        "lianmo_shim/server_app.py",
        "lianmo_shim/client_app.py",
    }


@pytest.mark.slow
@pytest.mark.usefixtures("stand_in")
def test_a_party_that_fails_ends_the_session_and_sends_a_code_only(tmp_path: Path) -> None:
    report, _, _ = run(tmp_path, fails="host:tax")
    assert {party: outcome["code"] for party, outcome in report.items()} == {
        "bank": "party_left",
        "host:tax": "internal",
        "host:电信": "party_left",
    }
    assert "4711" not in json.dumps(report)
    assert survivors(tmp_path / "flower") == []


@pytest.mark.slow
@pytest.mark.usefixtures("stand_in")
def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        if "at work" in line:
            raise KeyboardInterrupt

    job = tmp_path / "job.json"
    # No relay there: the parties are still trying to join when the interrupt comes.
    job.write_text(json.dumps({"tickets": TICKETS, "fails": "", "relay": "127.0.0.1:1"}))
    settings = {"jobs": str(job), "result": str(tmp_path / "result.json")}
    with pytest.raises(KeyboardInterrupt):
        simulation.run_flower(PARTIES, settings, tmp_path / "flower", tmp_path / "log.txt", interrupt)
    assert survivors(tmp_path / "flower") == []
    assert not (tmp_path / "result.json").exists()
