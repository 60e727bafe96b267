"""The command as people and machines meet it: exit codes, two languages, JSON, nothing half-written."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pandas as pd
import pytest
import trustme

from models.bundle import load
from tests.lab.conftest import Write


def lianmo(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def is_bilingual(text: str) -> bool:
    return any("\u4e00" <= c <= "\u9fff" for c in text) and any("a" <= c <= "z" for c in text)


def test_train_score_and_report(write_config: Write, files: Path) -> None:
    trained = lianmo("train", write_config(), "--no-record", "--json")
    assert trained.returncode == 0, trained.stderr
    result = json.loads(trained.stdout)
    run = files / "runs" / "small"
    assert result == load(run / "result.json")

    applicants = files / "applicants.csv"
    pd.read_csv(files / "bank.csv", dtype={"id": str}).drop(columns="bad").head(30).to_csv(applicants, index=False)
    scored = lianmo("score", run / "nodes" / "bank", applicants, "--local", "--out", files / "scored.csv")
    assert scored.returncode == 0, scored.stderr
    frame = pd.read_csv(files / "scored.csv", dtype={"id": str})
    assert len(frame) == 30
    assert (frame["default_probability"].isna() == frame["unknown_at"].notna()).all()
    calibrated = load(run / "nodes" / "bank" / "calibration.json")["joint"] or {"source": "none"}
    assert set(frame["calibration"].dropna()) == {calibrated["source"]}
    assert (frame["calibration"].isna() == frame["default_probability"].isna()).all()

    shown = lianmo("report", run)
    assert shown.returncode == 0, shown.stderr
    assert "bank alone 仅银行" in shown.stdout
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "boosting.sums" in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ).replace("https://matplotlib.org", "")


def test_validate_shows_the_pack_and_puts_it_into_the_run(trained: Path) -> None:
    run = trained.parent
    shown = lianmo("validate", run, "--group", "sector")
    assert shown.returncode == 0, shown.stderr
    for heading in ("Separation 区分度", "Calibration 校准", "Stability 稳定性", "Decisions 决策", "Fairness 公平性"):
        assert heading in shown.stdout
    assert len(load(run / "result.json")["validation"]["groups"]) == 3
    printed = lianmo("validate", run, "--approval-rate", "0.5", "--json")
    assert json.loads(printed.stdout) == load(run / "result.json")["validation"]
    assert json.loads(printed.stdout)["rules"]["approval_rate"] == 0.5
    failed = lianmo("validate", run, "--group", "sex")
    assert failed.returncode == 2
    assert is_bilingual(failed.stderr)


def test_value_is_told_and_kept_with_its_run(trained: Path, files: Path) -> None:
    done = lianmo("value", files / "run.toml", "--amount", "500", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told["shapley"]) == {"host:tax", "host:court"}
    assert told["money"]["amount"] == 500
    assert load(trained.parent / "value.json") == told


def test_errors_have_two_languages_and_an_exit_code(write_config: Write, files: Path) -> None:
    config = write_config(tax="none.csv")
    for arguments, code in (
        (("train", files / "none.toml"), 2),
        (("train", config), 3),
        (("train", config, "--transport", "pigeon"), 2),
        (("score", files, files / "bank.csv"), 4),
    ):
        failed = lianmo(*arguments)
        assert failed.returncode == code, failed.stderr
        assert is_bilingual(failed.stderr)
        assert "Traceback" not in failed.stderr


@pytest.fixture
def trained(write_config: Write, files: Path) -> Path:
    assert lianmo("train", write_config(), "--no-record").returncode == 0
    return files / "runs" / "small" / "nodes"


def test_a_score_without_its_hosts_is_an_error(trained: Path, files: Path) -> None:
    failed = lianmo("score", trained / "bank", files / "bank.csv")
    assert failed.returncode == 2
    assert "host:tax" in failed.stderr


def test_halves_that_do_not_belong_together_are_refused(trained: Path, files: Path) -> None:
    half = trained / "host-tax" / "half.json"
    half.write_text(half.read_text().replace('"missing_left": false', '"missing_left": true', 1))
    (half.parent / "selftest.json").unlink()  # else the node itself would find it changed
    failed = lianmo("score", trained / "bank", files / "bank.csv", "--local")
    assert failed.returncode == 6
    assert "host:tax" in failed.stderr
    assert is_bilingual(failed.stderr)


def test_a_port_in_use_is_said_so(trained: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failed = lianmo("serve", trained / "host-tax", "--port", port)
    assert failed.returncode == 7
    assert str(port) in failed.stderr
    assert is_bilingual(failed.stderr)


def test_a_service_for_the_network_knows_its_callers(trained: Path, files: Path) -> None:
    access, authority = files / "access", trustme.CA()
    ours = authority.issue_cert("127.0.0.1")
    ours.cert_chain_pems[0].write_to_path(files / "server.pem")
    ours.private_key_pem.write_to_path(files / "server.key")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    key = json.loads(lianmo("access", "add", "desk", "--scope", "models", "--access", access, "--json").stdout)["key"]
    door = ["--access", access, "--tls-cert", files / "server.pem", "--tls-key", files / "server.key"]
    hosts = [part for host in ("tax", "court") for part in ("--host", f"host:{host}=http://127.0.0.1:9")]
    command = ["serve", trained / "bank", *hosts, "--bind", "0.0.0.0", "--port", "0", *door]
    running = [sys.executable, "-m", "lab.cli", *map(str, command)]
    with subprocess.Popen(running, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            port = process.stdout.readline().strip().rpartition(":")[2]
            with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, trust_env=False) as session:
                shown = {"x-api-key": key}
                assert session.get("/v1/models/current", headers=shown).json()["kind"] == "trees"
                assert session.get("/v1/models/current").status_code == 401
                assert lianmo("access", "revoke", "desk", "--access", access).returncode == 0
                assert session.get("/v1/models/current", headers=shown).status_code == 401
        finally:
            process.terminate()
            told = process.communicate()[1]
    assert "desk" not in told
    assert "revoked" in told
    assert key.split("_", 2)[2] not in told


def test_doctor_finds_this_machine_fit() -> None:
    examined = lianmo("doctor", "--json")
    findings = json.loads(examined.stdout)
    assert {"Python", "Flower", "GMP"} <= {f["name"] for f in findings}
    assert next(f for f in findings if f["name"] == "Flower")["good"]
