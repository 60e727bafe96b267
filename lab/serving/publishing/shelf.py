"""The shelf of a running service: follows the folder, loads beside, and replaces what answers as a whole.

A request takes what it needs once, so it ends with the model it began with. What cannot be loaded, or does not answer
its examples, is never put in place: the service goes on with what it has, and its log says why.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lab.serving.loaded import Held, Loaded, OneModel, Shelf, Trial
from lab.serving.publishing.folder import InForce, ShelfFolder
from lab.serving.publishing.stored import loaded_from
from models.errors import LianmoError, ModelError

log = logging.getLogger("lianmo.serving")

#: Seconds between two looks at the folder.
LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Taken:
    """What was last taken over.

    Attributes:
        number: of the change that brought it.
        versions: those that answer or are on trial, by name.
    """

    number: int
    versions: Mapping[str, Loaded]
    held: Held


def as_held(_: Held) -> None:
    """Where nothing more is to be made of it."""


@dataclass(slots=True)
class FollowingShelf:
    """A ``Shelf`` over a folder.

    Attributes:
        ready: makes what is to answer ready before it is put in place, so that no request waits for that.

    Raises:
        ModelError: when it is made: ``nothing_published``; as ``ShelfFolder.load`` if not even the version before the
            champion can be loaded.
    """

    folder: ShelfFolder
    ready: Callable[[Held], object] = as_held
    _taken: _Taken = field(init=False)
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
        self._taken = self._first(state)

    def held(self) -> Held:
        return self._taken.held

    def look(self) -> bool:
        """Take over what has been published since; whether anything was."""
        stamp = self.folder.stamp()
        if stamp == self._stamp:
            return False
        with self._one:
            self._stamp = stamp
            try:
                state = self.folder.in_force()
                if state is None or state.number == self._taken.number:
                    return False
                taken = self._load(state, self._taken.versions)
                self.ready(taken.held)
                self._taken = taken
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

    def _first(self, state: InForce) -> _Taken:
        """At the start: the last version that is good."""
        try:
            return self._load(state, {})
        except LianmoError as error:
            if state.previous is None:
                raise
            log.error("%s: %s", error.code, error)
            return self._load(InForce(state.previous, number=state.number), {})

    def _load(self, state: InForce, known: Mapping[str, Loaded]) -> _Taken:
        trial = state.challenger
        names = [state.champion, trial.version] if trial else [state.champion]
        versions = {name: known.get(name) or self.folder.load(name) for name in names}
        tried = Trial(trial.version, trial.mode, trial.share, versions[trial.version]) if trial else None
        return _Taken(state.number, versions, Held(versions[state.champion], tried))


def open_shelf(directory: Path) -> Shelf:
    """A shelf's folder, which the service follows while it runs; or the bank's folder of one run, whose model is served
    as it is. Raises ``ModelError``."""
    folder = ShelfFolder(directory)
    return FollowingShelf(folder) if folder.exists else OneModel(loaded_from(directory))
