"""Is this machine fit for a run? Each check says what it found and, if it is not good, what to do."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, TypeVar

from federation.ciphers.integers import HAS_GMP
from models.errors import LianmoError

T = TypeVar("T")

_PACKAGES: Final = ("phe", "rbcl", "numpy", "lightgbm", "scikit-learn", "mlflow", "fastapi", "grpcio")
_FLOWER: Final = "1.41.0"
_NEEDED_GIB: Final = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: ``advice`` is empty where nothing needs doing."""

    name: str
    found: str
    good: bool = True
    advice: str = ""
    advice_zh: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def tried(name: str, look: Callable[[], T]) -> T | Finding:
    """What was looked for, or the finding that it cannot be had."""
    try:
        return look()
    except LianmoError as error:
        return Finding(name, error.code, False, error.english, error.chinese)


def examine() -> list[Finding]:
    """All checks, in the order in which to mend things."""
    return [_python(), *map(_package, _PACKAGES), _flower(), _gmp(), _cores(), _disk(), _port(), _encoding()]


def _python() -> Finding:
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding(
        "Python", platform.python_version(), good, "Install Python 3.11, 3.12 or 3.13.", "请安装 Python 3.11 至 3.13。"
    )


def _package(name: str) -> Finding:
    try:
        return Finding(name, version(name))
    except PackageNotFoundError:
        return Finding(name, "missing 缺失", False, f"pip install {name}", f"请执行 pip install {name}")


def _flower() -> Finding:
    try:
        found = version("flwr")
    except PackageNotFoundError:
        found = "missing 缺失"
    command = (Path(sys.executable).parent / "flwr").exists()
    return Finding(
        "Flower",
        found if command else f"{found}, no command 无命令",
        found == _FLOWER and command,
        f"pip install 'flwr[simulation]=={_FLOWER}' into this environment.",
        f"请在当前环境安装 flwr[simulation]=={_FLOWER}。",
    )


def _gmp() -> Finding:
    return Finding(
        "GMP",
        version("gmpy2") if HAS_GMP else "gmpy2 missing 缺失",
        HAS_GMP,
        "pip install gmpy2: encryption is 5 to 10 times slower without it.",
        "请安装 gmpy2，否则加密约慢 5 至 10 倍。",
    )


def _cores() -> Finding:
    cores = os.cpu_count() or 1
    return Finding(
        "cores 处理器核数",
        str(cores),
        cores >= 2,
        "Two cores are the least for three parties.",
        "三方运行至少需要两核。",
    )


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return Finding(
        "disk 磁盘",
        f"{free:.1f} GiB free 可用",
        free >= _NEEDED_GIB,
        f"Free at least {_NEEDED_GIB:.0f} GiB here.",
        f"请在此处腾出至少 {_NEEDED_GIB:.0f} GiB。",
    )


def _port() -> Finding:
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return Finding("loopback port 本机端口", f"free 可用 ({listener.getsockname()[1]})")
    except OSError as error:
        return Finding(
            "loopback port 本机端口",
            type(error).__name__,
            False,
            "This process may not listen on 127.0.0.1; check the sandbox or firewall.",
            "本进程无法监听 127.0.0.1，请检查沙箱或防火墙。",
        )


def _encoding() -> Finding:
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    return Finding(
        "text encoding 文本编码",
        encoding or "unknown",
        encoding == "utf8",
        "Set PYTHONUTF8=1 so that Chinese prints.",
        "请设置 PYTHONUTF8=1 以正常显示中文。",
    )
