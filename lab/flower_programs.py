"""Flower's programs as we start them: offline, found by name, in a home of their own, stopped with all they left.

All inherit a mark, because some outlive whoever started them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import psutil

from lab.errors import ServiceError
from lab.governance.folder import write_secret

#: The app ``flwr run`` ships: imports only.
SHIM: Final = Path(__file__).parent / "flower_app"
#: Every process we start inherits this variable; it is how they are found again.
MARK: Final = "LIANMO_STARTED"

#: How often Flower looks for work, in seconds.
LOOKS: Final = "FLWR_SUPEREXEC_TASK_POLL_INTERVAL"

#: Linux keeps fifteen letters of a name, and no command line, of a process that has ended.
_EXECUTOR: Final = ("flower-superexec", "flower-superexe")

#: Nothing leaves the machine, nothing is installed.
_OFFLINE: Final = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Seconds between Flower's looks for work; at 0.1 an idle SuperLink takes 10 to 20 % of a core.
    LOOKS: "0.5",
}


def program(name: str) -> str:
    """Path of one of Flower's programs. Raises ``ServiceError`` (``flower_missing``)."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise ServiceError(
            "flower_missing",
            f"Flower is not installed in this environment (no {name} beside {sys.executable}). Install lianmo again.",
            f"当前环境未安装 Flower（{sys.executable} 旁没有 {name}）。请重新安装 lianmo。",
        )
    return str(path)


def environment(flower_home: Path, programs: Path | None = None) -> dict[str, str]:
    """Ours, with Flower's home, its programs on the path and a mark.

    Args:
        programs: folder with programs that stand in for Flower's of the same name.
    """
    first = [str(programs)] if programs else []
    return {
        **os.environ,
        **_OFFLINE,
        # The same at every start from one home: what a start that was killed left behind is found by the next.
        MARK: str(flower_home.resolve()),
        "FLWR_HOME": str(flower_home),
        # Flower starts its programs by name, and the environment need not be activated.
        "PATH": os.pathsep.join((*first, str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
    }


def beside_loopback(variables: Mapping[str, str]) -> dict[str, str]:
    """The same, no proxy between programs of this machine."""
    both = (variables.get("NO_PROXY"), variables.get("no_proxy"), "127.0.0.1,localhost")
    never = ",".join(filter(None, dict.fromkeys(both)))
    return {**variables, "NO_PROXY": never, "no_proxy": never}


def write_home(flower_home: Path, connection: Mapping[str, str]) -> Path:
    """Flower's home with one connection, ``hub``, and the app; returns the app's folder."""
    flower_home.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = [f"{key} = {toml_value(value)}\n" for key, value in connection.items()]
    (flower_home / "config.toml").write_text('[superlink]\ndefault = "hub"\n\n[superlink.hub]\n' + "".join(lines))
    app = flower_home / "app"
    shutil.rmtree(app, ignore_errors=True)
    shutil.copytree(SHIM, app, ignore=shutil.ignore_patterns("__pycache__"))
    return app


def write_run_config(path: Path, run_config: Mapping[str, str | int]) -> None:
    """A file, for the owner's eyes: settings on the command line are shown to every user of the machine."""
    lines = [f"{key} = {toml_value(value)}\n" for key, value in run_config.items()]
    write_secret(path, "".join(lines).encode())


def toml_value(value: str | int) -> str:
    """A whole number or a text as TOML writes it."""
    if isinstance(value, int):
        return str(value).lower()
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def free_port() -> int:
    """One that was free just now on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def stopping(flower_home: Path) -> Iterator[None]:
    """On the way out, end what was started from this home, and theirs."""
    try:
        yield
    finally:
        end_left(flower_home)


def end_left(flower_home: Path) -> None:
    """End what is left of what was started from this home: Flower's SuperLink outlives ``flwr run`` on purpose,
    detached; Ray's processes may outlive both, and whoever started them if that is killed."""
    # Again until none is found: a process may have been starting another.
    while found := marked(flower_home):
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        # Short, because a dead process whose parent is slow to collect it does not count as found.
        psutil.wait_procs(found, timeout=0.1)


def has_lost_executor(pid: int) -> bool:
    """Whether the process that starts Flower's programs for the node or SuperLink ``pid`` has died: it does not notice,
    and never does any work again. It does not collect its dead child either, by which it is known."""
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(pid).children()
        return any(c.name() in _EXECUTOR and c.status() == psutil.STATUS_ZOMBIE for c in children)
    return False


def marked(flower_home: Path) -> set[psutil.Process]:
    """Processes started from this home, and theirs, ourselves not among them."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == str(flower_home.resolve()):
                # Some of Ray's processes write their name over their environment: they are found as children.
                found.update((process, *process.children(recursive=True)))
    found.discard(psutil.Process())
    return {process for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE}
