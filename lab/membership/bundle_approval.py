"""Which bundle of code a node runs: the shim of its own installation, and no other.

Flower ships an app to every node and would import whatever came. Here the app is imports only (``lab.flower_app``); a
node builds the bundle from its own files; one with another digest is refused before anything in it is unpacked.

``run_program`` stands in for Flower's ``flwr-clientapp``, which the SuperNode starts by name for every message
(``lab.membership.guardian``).
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from federation.flower.server_app import UNKNOWN_BUNDLE
from lab.flower_programs import SHIM
from models.declared import Declared

log = logging.getLogger("lianmo.node")

CRYPTO: Final = (
    Declared(
        algorithm="SHA-256",
        purpose="bundles of code that Flower ships, compared with our own",
        purpose_zh="Flower 下发代码包与本地代码的比对",
        standard="FIPS 180-4",
        library="hashlib",
    ),
)

PROGRAM: Final = "flwr-clientapp"


class UnknownBundleError(Exception):
    """The hub shipped other code than this node has installed. Its text travels to the hub."""

    def __init__(self) -> None:
        super().__init__(UNKNOWN_BUNDLE)


@cache
def approved_digest() -> str:
    """SHA-256, hexadecimal, of the bundle Flower makes of our own shim; Flower dates all files alike."""
    from flwr.cli.build import build_fab_from_disk

    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(SHIM, Path(folder) / "app", ignore=shutil.ignore_patterns("__pycache__"))
        return hashlib.sha256(build_fab_from_disk(Path(folder) / "app")).hexdigest()


def check(content: bytes) -> None:
    """Raises ``UnknownBundleError`` unless ``content`` is our own bundle."""
    digest = hashlib.sha256(content).hexdigest()
    if digest != approved_digest():
        log.error(
            "unknown_bundle: the hub shipped code with the digest %s, ours has %s. Nothing of it was run. "
            "枢纽下发的代码包与本地不符，未运行其中任何内容。",
            digest,
            approved_digest(),
        )
        raise UnknownBundleError


def write_program(folder: Path) -> Path:
    """A folder with the program that stands in for Flower's; put it first on the path. Returns ``folder``."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / PROGRAM
    path.write_text(f"#!{sys.executable}\nfrom lab.membership.guardian import main\nmain()\n", encoding="utf-8")
    path.chmod(0o700)
    return folder


def run_program(opened: Callable[[bytes], None] = lambda _: None) -> None:
    """Flower's program, which installs a bundle only if ``check`` lets it, and never fails without an answer: Flower's
    node would wait for one for ever and take no other work. So it dies of a signal that asks it to end, and its
    guardian answers; if it cannot read what is asked it falls silent, for which the node answers itself after a minute.

    Args:
        opened: told which message is worked on, without its content, as Flower serialises it.
    """
    from flwr.common.serde import message_to_proto
    from flwr.supernode.cli import flwr_clientapp

    run_clientapp = import_module("flwr.supernode.runtime.run_clientapp")
    install, pull = run_clientapp.install_from_fab, run_clientapp.pull_task_input
    register = run_clientapp.register_signal_handlers

    def install_approved(content: bytes, *others: Any, **arguments: Any) -> Any:
        check(content)
        return install(content, *others, **arguments)

    def pull_noted(flower_node: Any) -> Any:
        try:
            message, *others = pull(flower_node)
            opened(message_to_proto(run_clientapp.remove_content_from_message(message)).SerializeToString())
        except Exception as error:
            log.error("session_unread: what is asked could not be read (%s). 无法读取会话任务。", type(error).__name__)
            os._exit(1)  # before Flower can say that it failed
        return message, *others

    def register_ends_only(*others: Any, **arguments: Any) -> None:
        register(*others, **arguments)
        for which in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
            signal.signal(which, signal.SIG_DFL)

    run_clientapp.register_signal_handlers = register_ends_only  # type: ignore[attr-defined]
    run_clientapp.install_from_fab = install_approved  # type: ignore[attr-defined]
    run_clientapp.pull_task_input = pull_noted  # type: ignore[attr-defined]
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    os.chdir(os.environ["FLWR_HOME"])  # Python imports from where it stands, before anything installed
    flwr_clientapp()
