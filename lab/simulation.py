"""All parties of a run on this machine: ``flwr run``, and an end to everything it starts."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from lab.errors import ServiceError
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

#: The app ``flwr run`` ships: imports only.
SHIM: Final = Path(__file__).parent / "flower_app"

#: Every process we start inherits this variable; it is how they are found again.
MARK: Final = "LIANMO_SIMULATION"

#: Nothing leaves the machine, nothing is installed.
OFFLINE: Final = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
#: Seconds saved at the start: how often Flower looks for work, and no Ray workers that nobody will use.
QUICK: Final = {
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
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
    flwr = Path(sys.executable).parent / "flwr"
    if not flwr.exists():
        raise ServiceError(
            "flower_missing",
            f"Flower is not installed in this environment (no {flwr.name} beside {sys.executable}). "
            "Install lianmo again.",
            f"当前环境未安装 Flower（{sys.executable} 旁没有 {flwr.name}）。请重新安装 lianmo。",
        )
    flower_home = flower_home.resolve()
    end_flower(flower_home)
    app, config = _prepare(flower_home, {**run_config, "parties": ",".join(parties)})
    # One CPU per party, and as many parties as there are: with fewer, parties wait for one another for ever.
    federation = f"num-supernodes={len(parties)} client-resources-num-cpus=1 init-args-num-cpus={len(parties)}"
    command = [
        *(str(flwr), "run", str(app), "local", "--stream"),
        *("--run-config", str(config), "--federation-config", federation),
    ]
    # Ray keeps sockets here, and the path of a socket may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="lianmo-", ignore_cleanup_errors=True) as ray_home:
        environment = _environment(flower_home, Path(ray_home))
        with (
            log.open("a", encoding="utf-8") as file,
            subprocess.Popen(  # noqa: S603
                command,
                cwd=flower_home,  # Ray's workers import from where they stand, before anything installed.
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C reaches us alone, and we stop the rest.
            ) as process,
            _stopping(environment[MARK]),
        ):
            assert process.stdout
            for line in process.stdout:
                file.write(line)
                file.flush()
                if on_line:
                    on_line(line.rstrip("\n"))
            return process.wait()


def _prepare(flower_home: Path, run_config: Mapping[str, str | int]) -> tuple[Path, Path]:
    """Write Flower's directory; the paths of the app and of the run's settings."""
    flower_home.mkdir(parents=True, exist_ok=True)
    connection = '[superlink]\ndefault = "local"\n\n[superlink.local]\naddress = ":local-in-memory:"\n'
    (flower_home / "config.toml").write_text(connection)
    app = flower_home / "app"
    shutil.rmtree(app, ignore_errors=True)
    shutil.copytree(SHIM, app, ignore=shutil.ignore_patterns("__pycache__"))
    # A file, for the owner's eyes: settings on the command line are shown to every user of the machine.
    config = flower_home / "run.toml"
    config.touch(mode=0o600)
    config.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in run_config.items()), encoding="utf-8")
    return app, config


def _toml(value: str | int) -> str:
    if isinstance(value, int):
        return str(value).lower()
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _environment(flower_home: Path, ray_home: Path) -> dict[str, str]:
    environment = os.environ | OFFLINE | QUICK
    environment |= {
        # The same for every attempt of one run: what an attempt that was killed left behind is found by the next.
        MARK: str(flower_home),
        # Flower starts its programs by name, and the environment need not be activated.
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        "FLWR_HOME": str(flower_home),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(_free_port()),
        "RAY_TMPDIR": str(ray_home),
        # A cluster of our own, whatever else runs on the machine.
        "RAY_ADDRESS": "local",
        # Ray's ports are open to the network, and whoever reaches one runs code here.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        # The parts of the simulation talk over loopback; a proxy has no business there.
        "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1,localhost"))),
    }
    return environment


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _stopping(mark: str) -> Iterator[None]:
    """On the way out, end every process that carries ``mark``, and theirs."""
    try:
        yield
    finally:
        _end(mark)


def end_flower(flower_home: Path) -> None:
    """End what is left of a run under this directory: Flower's SuperLink outlives ``flwr run`` on purpose, detached;
    Ray's processes may outlive both, and whoever started them if that is killed."""
    _end(str(flower_home.resolve()))


def _end(mark: str) -> None:
    # Again until none is found: a process may have been starting another.
    while found := _marked(mark):
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        # Short, because a dead process whose parent is slow to collect it does not count as found.
        psutil.wait_procs(found, timeout=0.1)


def _marked(mark: str) -> set[psutil.Process]:
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                # Some of Ray's processes write their name over their environment: they are found as children.
                found.update((process, *process.children(recursive=True)))
    return {process for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE}
