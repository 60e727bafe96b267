from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flwr.cli.build import build_fab_from_disk

from lab.flower_programs import SHIM
from lab.membership import bundle_approval
from lab.membership.bundle_approval import (
    PROGRAM,
    UnknownBundleError,
    approved_digest,
    check,
    run_program,
    write_program,
)


def test_our_own_bundle_is_approved_whenever_it_is_built() -> None:
    approved_digest.cache_clear()
    check(build_fab_from_disk(SHIM))


def test_a_bundle_with_one_line_more_is_not() -> None:
    changed = BytesIO()
    with zipfile.ZipFile(BytesIO(build_fab_from_disk(SHIM))) as ours, zipfile.ZipFile(changed, "w") as theirs:
        for name in ours.namelist():
            theirs.writestr(name, ours.read(name) + (b"import os\n" if name.endswith("client_app.py") else b""))
    with pytest.raises(UnknownBundleError):
        check(changed.getvalue())


def test_flowers_program_installs_nothing_before_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower's own code path, up to where it would unpack."""
    runtime = import_module("flwr.supernode.runtime.run_clientapp")
    installed: list[bytes] = []
    asked: list[Any] = []
    monkeypatch.setattr(runtime, "install_from_fab", lambda content, **_: installed.append(content))
    monkeypatch.setattr("flwr.supernode.cli.flwr_clientapp", lambda: asked.append(runtime.install_from_fab))
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    run_program()
    with pytest.raises(UnknownBundleError):
        asked[0](b"other code", skip_prompt=True)
    assert installed == []
    asked[0](build_fab_from_disk(SHIM), skip_prompt=True)
    assert len(installed) == 1


def test_flower_starts_the_program_by_name_and_ours_stands_first(tmp_path: Path) -> None:
    folder = write_program(tmp_path / "programs")
    shown = subprocess.run([folder / PROGRAM, "--help"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "FLWR_HOME" in shown.stderr  # our main ran: it wants the home that supernode.py sets
    assert (folder / PROGRAM).read_text().startswith(f"#!{sys.executable}")
    assert bundle_approval.PROGRAM == "flwr-clientapp"
