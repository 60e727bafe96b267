"""An MLflow server beside the hub, on request: a record that several modellers share. In clear: keep it inside."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from lab.flower_programs import program


def start_mlflow(folder: Path, address: str, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start it; its database and files lie in ``folder``.

    Args:
        address: "host:port" to listen on.
        variables: environment; its mark is how the process is found and ended.

    Raises:
        ServiceError: ``flower_missing`` if the program is not installed.
    """
    host, _, port = address.rpartition(":")
    place = folder / "mlflow"
    place.mkdir(exist_ok=True, mode=0o700)
    command = [
        *(program("mlflow"), "server", "--host", host, "--port", port, "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{place / 'mlflow.db'}", "--serve-artifacts"),
        *("--artifacts-destination", str(place / "artifacts")),
    ]
    with (folder / "mlflow.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603
            command,
            cwd=place,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
