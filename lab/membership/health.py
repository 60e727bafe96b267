"""Is what this container or service runs alive? ``python -m lab.membership.health`` says so by its exit code.

LIANMO_HUB or LIANMO_NODE names the folder, as for the commands. Faults are for ``lianmo node doctor`` to explain.
"""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path
from typing import Final

import httpx

from lab.hub.settings import load_hub, paths_of
from lab.membership.alone import is_running
from lab.membership.hub_client import Hub
from lab.membership.session import NODE_VARIABLE
from models.declared import Declared
from models.errors import LianmoError

CRYPTO: Final = (
    Declared(
        algorithm="TLS 1.2, TLS 1.3",
        purpose="a hub asked by its own machine whether it is alive",
        purpose_zh="枢纽存活检查",
        standard="RFC 5246; RFC 8446",
        library="ssl",
    ),
)

#: The folder of a hub, as the command line reads it.
HUB_VARIABLE: Final = "LIANMO_HUB"
_SECONDS: Final = 10.0


def hub_lives(folder: Path) -> bool:
    """Whether the hub of that folder answers on its port of this machine, with its own certificate."""
    try:
        trusted = ssl.create_default_context(cafile=str(paths_of(folder)[2]))
        address = f"https://127.0.0.1:{load_hub(folder).port}"
        with httpx.Client(verify=trusted, trust_env=False, timeout=_SECONDS) as calls:
            return calls.get(f"{address}/v1/hello").is_success
    except (httpx.HTTPError, LianmoError, OSError):
        return False


def node_lives(node: Path) -> bool:
    """Whether the node of that folder runs and its hub knows it."""
    try:
        return is_running(node) and bool(Hub(node).members())
    except LianmoError:
        return False


def main() -> int:
    """0: alive; 1: not; 2: neither folder is named."""
    if HUB_VARIABLE in os.environ:
        return int(not hub_lives(Path(os.environ[HUB_VARIABLE])))
    if NODE_VARIABLE in os.environ:
        return int(not node_lives(Path(os.environ[NODE_VARIABLE])))
    return 2


if __name__ == "__main__":
    sys.exit(main())
