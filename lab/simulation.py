"""All parties of a run on this machine: ``flwr run``, and an end to everything it starts."""

from __future__ import annotations

import secrets
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from lab.flower_programs import (
    LOOKS,
    beside_loopback,
    end_left,
    environment,
    free_port,
    program,
    stopping,
    write_home,
    write_run_config,
)
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="random generator of the operating system",
        purpose="token of a run's Ray on this machine",
        purpose_zh="本机运行所用 Ray 的令牌",
        standard="Linux getrandom(2)",
        library="secrets",
    ),
)

#: Seconds saved at the start: no Ray workers that nobody will use, and work looked for more often, as a run is short.
_QUICK: Final = {
    LOOKS: "0.1",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_open_telemetry": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def run_flower(
    parties: Sequence[str],
    run_config: Mapping[str, str | int],
    flower_home: Path,
    log: Path,
    on_line: Callable[[str], None] | None = None,
) -> int:
    """Run one session under ``flwr run``, one simulated node per party, and stop everything it started.

    Args:
        parties: names, in the order of the simulated nodes.
        run_config: keys named in the shim's pyproject.toml; ``parties`` is added. Paths must be absolute.
        flower_home: Flower's own directory for this run; created, and kept for inspection.
        log: the output of all parties is appended here.
        on_line: called with each line of it.

    Returns:
        The exit code of ``flwr run``. It says whether the run was submitted and its log read, not how it
        went: for that read the report the ServerApp writes.

    Raises:
        ServiceError: Flower is not installed beside this Python.
    """
    flwr = program("flwr")
    flower_home = flower_home.resolve()
    end_left(flower_home)
    app = write_home(flower_home, {"address": ":local-in-memory:"})
    config = flower_home / "run.toml"
    write_run_config(config, {**run_config, "parties": ",".join(parties)})
    # One CPU per party, and as many parties as there are: with fewer, parties wait for one another for ever.
    federation = f"num-supernodes={len(parties)} client-resources-num-cpus=1 init-args-num-cpus={len(parties)}"
    command = [
        *(flwr, "run", str(app), "hub", "--stream"),
        *("--run-config", str(config), "--federation-config", federation),
    ]
    # Ray keeps sockets here, and the path of a socket may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="lianmo-", ignore_cleanup_errors=True) as ray_home:
        variables = _environment(flower_home, Path(ray_home))
        with (
            log.open("a", encoding="utf-8") as file,
            subprocess.Popen(  # noqa: S603
                command,
                cwd=flower_home,  # Ray's workers import from where they stand, before anything installed.
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C reaches us alone, and we stop the rest.
            ) as process,
            stopping(flower_home),
        ):
            assert process.stdout
            for line in process.stdout:
                file.write(line)
                file.flush()
                if on_line:
                    on_line(line.rstrip("\n"))
            return process.wait()


def _environment(flower_home: Path, ray_home: Path) -> dict[str, str]:
    return {
        **beside_loopback(environment(flower_home)),
        **_QUICK,
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(free_port()),
        "RAY_TMPDIR": str(ray_home),
        # A cluster of our own, whatever else runs on the machine.
        "RAY_ADDRESS": "local",
        # Ray's ports are open to the network, and whoever reaches one runs code here.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
