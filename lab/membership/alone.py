"""One process at a time runs a party's Flower node or changes its papers; the system frees the lock when it dies."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lab.errors import ConfigError
from lab.governance import folder as private

LOCK: Final = "node.lock"


@contextlib.contextmanager
def alone(node: Path) -> Iterator[None]:
    """While it lasts no other process is here. Raises ``ConfigError`` (``node_running``)."""
    private.private_folder(node)
    with (node / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                "node_running",
                f"The Flower node of {node} is running. Stop it first.",
                f"{node} 的 Flower 节点正在运行，请先停止。",
            ) from error
        yield


def is_running(node: Path) -> bool:
    """Whether a process runs the Flower node of that folder (``lianmo node start``)."""
    try:
        with (node / LOCK).open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
