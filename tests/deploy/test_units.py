"""The systemd units: what keeps a service in is there, and systemd understands the files."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from lab.cli import app
from lab.governance.protection import PASSPHRASE
from lab.membership.health import HUB_VARIABLE
from lab.membership.session import NODE_VARIABLE

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
NAMES = ("lianmo-hub.service", "lianmo-node@.service", "lianmo-scores@.service")
#: Without one of these a service that was taken over could do more than its work.
HARDENED = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectProc": "invisible",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictSUIDSGID": "yes",
    "SystemCallFilter": "@system-service",
    "UMask": "0077",
    "StateDirectoryMode": "0700",
    "Restart": "on-failure",
}


def service(name: str) -> dict[str, str]:
    """The keys of the section [Service]."""
    found: dict[str, str] = {}
    section = ""
    for line in (UNITS / name).read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and not line.startswith("#"):
            key, _, value = line.partition("=")
            assert key not in found or key == "Environment"
            found[key] = value
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_kept_in(name: str) -> None:
    found = service(name)
    assert {key: found.get(key) for key in HARDENED} == HARDENED
    assert found["User"] not in ("root", "", "nobody")
    assert found["User"] == found["Group"]
    assert found["StateDirectory"].split()[0] == found["User"]


def test_what_they_run() -> None:
    hub, node, scores = (service(name) for name in NAMES)
    assert hub["ExecStart"].endswith("/lianmo hub start")
    assert f"{HUB_VARIABLE}=/var/lib/lianmo-hub " in hub["Environment"]
    assert node["ExecStart"].endswith("/lianmo node start")
    assert f"{NODE_VARIABLE}=/var/lib/lianmo-node/%i " in node["Environment"]
    assert scores["WorkingDirectory"] == node["WorkingDirectory"]
    assert scores["EnvironmentFile"] == "/etc/lianmo/scores-%i.env"
    command, _, words = scores["ExecStart"].partition(" serve ")
    assert command.endswith("/lianmo")
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    for named in re.findall(r"LIANMO_SERVE=(.+?)(?:  or|$)", (UNITS / NAMES[2]).read_text("utf-8"), re.MULTILINE):
        given = serve.make_context("serve", words.replace("$LIANMO_SERVE", named).split()).params
        assert str(given["through"]) == "/var/lib/lianmo-node/%i"


def test_the_passphrase_is_in_no_unit_but_in_a_file_of_its_own() -> None:
    node = service(NAMES[1])
    assert node["EnvironmentFile"] == "-/etc/lianmo/node-%i.env"
    assert PASSPHRASE not in node["Environment"]
    assert PASSPHRASE in (UNITS / NAMES[1]).read_text("utf-8")  # told in the comment beside it


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
@pytest.mark.parametrize("name", NAMES)
def test_systemd_understands_them(name: str, tmp_path: Path) -> None:
    """With a program that exists in place of ours, whose path is checked as well."""
    text = (UNITS / name).read_text("utf-8").replace("/opt/lianmo/bin/lianmo", "/bin/true")
    unit = tmp_path / name.replace("@", "@tax")
    unit.write_text(text, "utf-8")
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False, timeout=60
    )
    about_ours = [line for line in told.stderr.splitlines() if unit.name in line]
    assert (told.returncode, about_ours) == (0, [])
    unit.write_text(text.replace("[Service]", "[Service]\nNoSuchKey=1"), "utf-8")
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False, timeout=60
    )
    assert "NoSuchKey" in told.stderr
