"""A run's identity and state on disk, while it is under way and if it dies.

A run that is not finished lies beside its final place as ``.NAME.RUN.unfinished``, with ``run.json``: its identity,
its configuration, and the process that leads it. A process id alone may by now be another process's: it counts only
with the time at which that process was started.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal, Self

import psutil

from lab.config import Config
from lab.errors import ConfigError, ServiceError
from lab.horizontal.config import HorizontalConfig, is_horizontal
from models.bundle import load, save
from models.declared import Declared
from models.errors import LianmoError

CRYPTO: Final = (
    Declared(
        algorithm="random generator of the operating system",
        purpose="identities of runs and their models",
        purpose_zh="运行及其模型的编号",
        standard="Linux getrandom(2)",
        library="secrets",
    ),
)

STATE: Final = "run.json"
SUFFIX: Final = ".unfinished"
RUN_LENGTH: Final = 8
Phase = Literal["finished", "running", "failed", "stopped", "died"]
PHASES_ZH: Final[dict[Phase, str]] = {
    "finished": "已完成",
    "running": "运行中",
    "failed": "已失败",
    "stopped": "已停止",
    "died": "异常终止",
}


class Stopped(KeyboardInterrupt):
    """Somebody asked this process to end; not an error that a protocol may take for its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """Attributes:
    model_id: identity of the run and of its model.
    config: as ``Config`` is dumped.
    record: whether it goes into the record when it is finished.
    began: when, UTC.
    pid, pid_started: the process that leads it, and when that process was started; 0 once it has ended.
    ended: why it ended unfinished: ``code``, ``english``, ``chinese``; None: it did not say.
    """

    model_id: str
    config: dict[str, Any]
    record: bool
    began: str
    pid: int = 0
    pid_started: float = 0.0
    ended: dict[str, str] | None = None

    @classmethod
    def new(cls, config: Config | HorizontalConfig, *, record: bool) -> Self:
        return cls(
            model_id=secrets.token_hex(16),
            config=config.model_dump(mode="json"),
            record=record,
            began=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    @property
    def run(self) -> str:
        """What people call it: the first letters of its id."""
        return self.model_id[:RUN_LENGTH]

    @property
    def parsed(self) -> Config | HorizontalConfig:
        kind = HorizontalConfig if is_horizontal(self.config) else Config
        return kind.model_validate(self.config)

    @property
    def directory(self) -> Path:
        """Where it lies while it is not finished."""
        final = self.parsed.run.directory
        return final.with_name(f".{final.name}.{self.run}{SUFFIX}")

    @property
    def process(self) -> psutil.Process | None:
        """The process that leads it, if that still runs."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid) if self.pid else None
            if process and process.create_time() == self.pid_started and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    @property
    def phase(self) -> Phase:
        if self.process:
            return "running"
        if self.ended is None:
            return "died"
        return "stopped" if self.ended["code"] == "run_stopped" else "failed"


def load_state(path: Path) -> RunState:
    """What ``under_way`` wrote. Raises ``ModelError``, ``TypeError``, ``ValueError`` if it is no such file."""
    return RunState(**load(path / STATE))


@contextmanager
def under_way(state: RunState, path: Path) -> Iterator[None]:
    """While it lasts this process leads the run in ``path``; how it ended unfinished is written there.

    SIGTERM ends the block as Ctrl-C does: parties are ended, what is kept is kept.

    Raises:
        ConfigError: ``run_running`` if another process leads it.
        ServiceError: ``run_stopped``.
    """
    with _alone(state, path):
        yield from _led(state, path)


def _led(state: RunState, path: Path) -> Iterator[None]:
    me = psutil.Process()
    leading = replace(state, pid=me.pid, pid_started=me.create_time(), ended=None)
    save(path / STATE, asdict(leading))
    for error in path.glob("nodes/*/error.json"):  # of an earlier attempt
        error.unlink()
    ended: LianmoError | None = None
    try:
        with _ending_on_request():
            yield
    except KeyboardInterrupt as error:
        ended = _stopped(state)
        raise ended from error
    except LianmoError as error:
        ended = error
        raise
    finally:
        told = {"code": ended.code, "english": ended.english, "chinese": ended.chinese} if ended else None
        if path.exists():
            save(path / STATE, asdict(replace(leading, pid=0, pid_started=0.0, ended=told)))


@contextmanager
def _alone(state: RunState, path: Path) -> Iterator[None]:
    """The system frees the lock when its holder dies, however that happens."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise run_running(state.run) from None
    finally:
        os.close(descriptor)


def run_running(run: str) -> ConfigError:
    return ConfigError(
        "run_running",
        f"The run {run} is under way. Stop it first: lianmo runs stop {run}.",
        f"运行 {run} 正在进行。请先停止：lianmo runs stop {run}。",
    )


@contextmanager
def _ending_on_request() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise Stopped

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stopped(state: RunState) -> ServiceError:
    return ServiceError(
        "run_stopped", f"The run {state.run} was stopped before its end.", f"运行 {state.run} 在结束前被停止。"
    )
