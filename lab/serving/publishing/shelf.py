"""The shelf of a running service: follows the folder, loads beside, and replaces what answers as a whole.

A request takes what it needs once, so it ends with the model it began with. What cannot be loaded, or does not answer
its examples, is never put in place: the service goes on with what it has, and its log says why.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lab.serving.loaded import Loaded, OneModel, Shelf, Trial
from lab.serving.publishing.folder import Challenger, InForce, Mode, ShelfFolder
from lab.serving.publishing.stored import loaded_from
from models.declared import Declared
from models.errors import LianmoError, ModelError

CRYPTO: Final = (
    Declared(
        algorithm="SHA-256",
        purpose="which applications a model on trial answers",
        purpose_zh="划分由试用模型应答的申请",
        standard="FIPS 180-4",
        library="hashlib",
    ),
)

log = logging.getLogger("lianmo.serving")

#: Seconds between two looks at the folder.
LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Held:
    """What answers at one moment.

    Attributes:
        number: of the change that brought it.
        versions: those that answer or are on trial, by name.
    """

    number: int
    champion: str
    trial: Challenger | None
    versions: Mapping[str, Loaded]

    def tried(self, application_id: str, mode: Mode) -> Loaded | None:
        """The challenger, if it is tried in this way and the application is in its share."""
        trial = self.trial
        if trial and trial.mode == mode and share_of(trial.version, application_id) < trial.share:
            return self.versions[trial.version]
        return None


def as_loaded(_: Loaded) -> None:
    """Where nothing more is to be made of a version."""


@dataclass(slots=True)
class FollowingShelf:
    """A ``Shelf`` over a folder.

    Attributes:
        ready: makes a version ready before it is put in place, so that no request waits for that.

    Raises:
        ModelError: when it is made: ``nothing_published``; as ``ShelfFolder.load`` if not even the version before the
            champion can be loaded.
    """

    folder: ShelfFolder
    ready: Callable[[Loaded], object] = as_loaded
    _held: Held = field(init=False)
    _stamp: tuple[int, int] = field(init=False)
    _one: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._stamp = self.folder.stamp()
        state = self.folder.in_force()
        if state is None:
            raise ModelError(
                "nothing_published",
                f"Nothing is published in {self.folder.directory}. Use lianmo models publish.",
                f"{self.folder.directory} 中尚未发布模型，请使用 lianmo models publish。",
            )
        self._held = self._first(state)

    def chosen(self, application_id: str) -> Loaded:
        held = self._held
        return held.tried(application_id, "canary") or held.versions[held.champion]

    def shadowed(self, application_id: str) -> Trial | None:
        """What is to score this application too, without being told."""
        held = self._held
        loaded = held.tried(application_id, "shadow")
        return Trial(held.trial.version, loaded) if held.trial and loaded else None

    def look(self) -> bool:
        """Take over what has been published since; whether anything was."""
        stamp = self.folder.stamp()
        if stamp == self._stamp:
            return False
        with self._one:
            self._stamp = stamp
            try:
                state = self.folder.in_force()
                if state is None or state.number == self._held.number:
                    return False
                held = self._load(state, self._held.versions)
                for loaded in held.versions.values():
                    self.ready(loaded)
                self._held = held
            except LianmoError as error:
                log.error("%s: %s", error.code, error)
                return False
            except Exception as error:  # whatever lies there must not end the following, nor the answering
                where = "".join(traceback.format_tb(error.__traceback__))
                log.error("internal error %s on the shelf\n%s", type(error).__name__, where)
                return False
        log.info("model %s in force, change %d", state.champion, state.number)
        return True

    @contextmanager
    def following(self, seconds: float = LOOK_SECONDS) -> Iterator[None]:
        """While it lasts a thread looks every so often."""
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(seconds):
                self.look()

        threading.Thread(target=look, name="lianmo-shelf", daemon=True).start()
        try:
            yield
        finally:
            stop.set()

    def _first(self, state: InForce) -> Held:
        """At the start: the last version that is good."""
        try:
            return self._load(state, {})
        except LianmoError as error:
            if state.previous is None:
                raise
            log.error("%s: %s", error.code, error)
            return Held(state.number, state.previous, None, {state.previous: self.folder.load(state.previous)})

    def _load(self, state: InForce, known: Mapping[str, Loaded]) -> Held:
        trial = state.challenger
        names = [state.champion, trial.version] if trial else [state.champion]
        versions = {name: known.get(name) or self.folder.load(name) for name in names}
        return Held(state.number, state.champion, trial, versions)


def share_of(version: str, application_id: str) -> float:
    """Where an application falls in [0, 1), the same each time; another for each version, so that it is not always the
    same applicants who are tried on."""
    name = hashlib.sha256(f"{version}\n{application_id}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(name[:8], "big") / 2.0**64


def open_shelf(directory: Path) -> Shelf:
    """A shelf's folder, which the service follows while it runs; or the bank's folder of one run, whose model is served
    as it is. Raises ``ModelError``."""
    folder = ShelfFolder(directory)
    return FollowingShelf(folder) if folder.exists else OneModel(loaded_from(directory))
