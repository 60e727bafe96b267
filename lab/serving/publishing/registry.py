"""Following an alias of the MLflow registry: when it comes to point to another version, that is put in force.

This runs beside the service, not in it: asking the registry costs seconds and imports MLflow, and whatever goes wrong
here leaves the service answering with what it has. What it has lies on its own disk, so it starts without MLflow.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lab import tracking
from lab.serving.publishing.folder import InForce
from lab.serving.publishing.publisher import Publisher
from models.bundle import load, save
from models.errors import LianmoError

log = logging.getLogger("lianmo.publishing")

#: A version that a host refused is offered again after so long: the host may have its half by then.
RETRY_SECONDS: Final = 600.0
_SEEN: Final = "followed.json"


@dataclass(slots=True)
class RegistryWatch:
    """Attributes:
    name, alias: of the registered model, such as ``lianmo-loans`` and ``champion``.
    clock: monotonic seconds.
    """

    publisher: Publisher
    uri: str
    name: str
    alias: str = tracking.CHAMPION
    clock: Callable[[], float] = time.monotonic
    _refused: dict[str, float] = field(init=False, default_factory=dict)

    def look(self) -> InForce | None:
        """Put in force what the alias points to, if it has moved since it was last followed; None: it has not. A
        version rolled back by hand stays rolled back until the alias moves again.

        Raises:
            LianmoError: the registry or a host; nothing has changed.
        """
        version = tracking.version_behind(self.uri, self.name, self.alias)
        if version is None or version == self._followed():
            return None
        if self.clock() < self._refused.get(version, 0.0):
            return None
        try:
            with tempfile.TemporaryDirectory(prefix="lianmo-model-") as folder:
                source = tracking.fetch(self.uri, self.name, version, Path(folder))
                state = self.publisher.publish(source)
        except LianmoError:
            self._refused[version] = self.clock() + RETRY_SECONDS
            raise
        save(self._seen, {"name": self.name, "alias": self.alias, "version": version})
        return state

    def look_quietly(self) -> InForce | None:
        """As ``look``, but what goes wrong is logged."""
        try:
            return self.look()
        except LianmoError as error:
            log.error("%s: %s", error.code, error)
            return None

    @property
    def _seen(self) -> Path:
        return self.publisher.folder.directory / _SEEN

    def _followed(self) -> str | None:
        """The version last put in force from this alias."""
        if not self._seen.exists():
            return None
        seen = load(self._seen)
        return seen.get("version") if (seen.get("name"), seen.get("alias")) == (self.name, self.alias) else None
