"""Putting a model in force everywhere or nowhere: add it to the shelf, have every host prepare it, then switch.

Until the switch the old model answers, and a crash before it leaves it in force; so does any host that refuses. After
it hosts are told what is out of use; one that does not hear of it keeps a half that nobody asks for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from federation.errors import ProtocolError, TransportError
from federation.script import Wire, run
from federation.vertical.publishing.guest import prepare, retire
from lab.errors import ServiceError
from lab.governance.publishing_record import PublishingRecord
from lab.serving.loaded import Loaded, Mode
from lab.serving.publishing.folder import Challenger, InForce, ShelfFolder
from models.errors import LianmoError

log = logging.getLogger("lianmo.publishing")

#: Most seconds a host may take to find a half and test it.
PREPARE_SECONDS: Final = 60.0

#: After a switch, until hosts are told what is out of use: by then every worker of the service has looked at the shelf
#: (``shelf.LOOK_SECONDS``), and what it began with the old model has ended.
GRACE_SECONDS: Final = 5.0

#: Told what is being done, in English and Chinese.
Say = Callable[[str, str], None]


def silent(english: str, chinese: str) -> None:
    """Where nobody listens."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Changes what is in force on one shelf.

    Attributes:
        wire: to all hosts of all models concerned.
        record: folder of a version → the bank's own record.
        pause: waits so many seconds.
    """

    folder: ShelfFolder
    wire: Wire
    record: Callable[[Path], PublishingRecord]
    say: Say = silent
    pause: Callable[[float], None] = time.sleep

    def publish(self, source: Path) -> InForce:
        """Put the model of a bank's folder in force; the one before stays ready to be rolled back to.

        Raises:
            Refused, RemoteProtocolError, TransportError: a host does not make its half ready. Nothing has changed.
            ModelError: as ``ShelfFolder.add``. ServiceError: the record cannot be written.
        """
        with self._added(source) as (version, before):
            if before and before.champion == version:
                return before
            return self._switch(before, _after(before, version))

    def trial(self, source: Path, mode: Mode, share: float) -> InForce:
        """Put it beside the champion, on trial. A host that answers none in the shadow refuses one of that ``mode``
        (``policy``). Raises as ``publish``, and ``ServiceError``."""
        if not 0.0 < share <= 1.0:
            raise ServiceError(
                "bad_share",
                "The share of a model on trial lies above 0 and is at most 1.",
                "试用比例应大于 0 且不超过 1。",
            )
        with self._added(source, shadow=mode == "shadow") as (version, before):
            if before is None or before.champion == version:
                raise ServiceError(
                    "no_trial",
                    "A trial needs another model in force. Publish one first.",
                    "试用需已有其他在用模型，请先发布。",
                )
            return self._switch(before, replace(before, challenger=Challenger(version, mode, share)))

    def promote(self) -> InForce:
        """The model on trial becomes the champion. Raises as ``publish``, and ``ServiceError`` (``no_challenger``)."""
        with self.folder.changing():
            before = self._in_force()
            if before.challenger is None:
                raise _no_challenger()
            self._prepare(self.folder.load(before.challenger.version))
            return self._switch(before, InForce(before.challenger.version, before.champion))

    def end_trial(self) -> InForce:
        """The challenger goes. Raises ``ServiceError`` (``no_challenger``)."""
        with self.folder.changing():
            before = self._in_force()
            if before.challenger is None:
                raise _no_challenger()
            return self._switch(before, replace(before, challenger=None))

    def rollback(self, *, force: bool = False) -> InForce:
        """The model before the present one, which in turn becomes the one before.

        Args:
            force: even if a host does not make its half ready: until it does, the bank answers alone.

        Raises:
            ServiceError: ``no_previous``. As ``publish`` unless forced.
        """
        with self.folder.changing():
            before = self._in_force()
            if before.previous is None:
                raise ServiceError("no_previous", "There is no model to go back to.", "没有可回退的模型。")
            try:
                self._prepare(self.folder.load(before.previous))
            except (ProtocolError, TransportError) as error:
                if not force:
                    raise
                log.warning("%s: %s", error.code, error)
            return self._switch(before, InForce(before.previous, before.champion))

    def retire(self, version: str) -> None:
        """Take a version that is not in force off the shelf and out of all hosts' use.

        Raises:
            ServiceError: ``in_force``. ModelError: ``unknown_version``.
        """
        with self.folder.changing():
            loaded = self.folder.load(version)
            record = self.record(self.folder.folder(version))
            self.folder.discard(version)
            self._let_go(version, loaded)
            record.retired(loaded.joint.model.model_id, model_digest=loaded.joint.model.digest())

    @contextmanager
    def _added(self, source: Path, *, shadow: bool = False) -> Iterator[tuple[str, InForce | None]]:
        """The version, made ready everywhere, and what is in force; if a host does not, or what follows fails, the
        version goes again, unless it was there before."""
        with self.folder.changing():
            known = self.folder.versions()
            version, before = self.folder.add(source), self.folder.in_force()
            loaded = self.folder.load(version)
            try:
                self._prepare(loaded, shadow=shadow)
                yield version, before
            except LianmoError:
                now = self.folder.in_force()
                if version not in known and not (now and version in now.versions):
                    self.folder.discard(version)
                    self._let_go(version, loaded)
                raise

    def _prepare(self, loaded: Loaded, *, shadow: bool = False) -> None:
        hosts = ", ".join(loaded.joint.model.needed_hosts)
        self.say(f"asking {hosts} to prepare", f"请求 {hosts} 准备")
        run(prepare(loaded.joint.model, shadow=shadow), self.wire)

    def _switch(self, before: InForce | None, state: InForce) -> InForce:
        champion = self.folder.load(state.champion)
        if state.challenger:
            _need_alike(champion, self.folder.load(state.challenger.version))
        digest, version = champion.joint.model.digest(), champion.published.version
        out = [v for v in before.versions if v not in state.versions] if before else []
        gone = [(v, self.folder.load(v)) for v in out]
        record = self.record(self.folder.folder(state.champion))
        record.published(champion.joint.model.model_id, model_digest=digest, version=version)
        self.folder.switch(state)
        self.say(f"in force: {state.champion}", f"已生效：{state.champion}")
        if gone:
            names = ", ".join(name for name, _ in gone)
            self.say(f"retiring {names} once nobody answers with it", f"待无请求使用后停用 {names}")
            self.pause(GRACE_SECONDS)
        for name, loaded in gone:
            self.folder.discard(name)
            self._let_go(name, loaded)
            record.retired(loaded.joint.model.model_id, model_digest=loaded.joint.model.digest())
        found = self.folder.in_force()
        assert found
        return found

    def _let_go(self, version: str, loaded: Loaded) -> None:
        """Tell each host by itself: one that is away keeps nobody else from hearing it."""
        model = loaded.joint.model
        for host in model.needed_hosts:
            try:
                run(retire(model, [host]), self.wire)
            except (ProtocolError, TransportError) as error:
                log.warning("%s: %s version=%s", error.code, error, version)
                self.say(f"{host} has not heard that {version} is retired", f"{host} 尚未得知 {version} 已停用")

    def _in_force(self) -> InForce:
        state = self.folder.in_force()
        if state is None:
            raise ServiceError("nothing_published", "Nothing is published yet.", "尚未发布任何模型。")
        return state


def _after(before: InForce | None, version: str) -> InForce:
    """A new champion; a trial goes on beside it, unless it was on trial itself."""
    if before is None:
        return InForce(version)
    trial = before.challenger
    return InForce(version, before.champion, trial if trial and trial.version != version else None)


def _need_alike(champion: Loaded, challenger: Loaded) -> None:
    """Raises ``ServiceError`` (``columns_differ``) naming the columns that callers cannot send to both."""
    asked = {b.name: b.category for b in champion.inputs}
    other = [b.name for b in challenger.inputs if asked.get(b.name, b.category) != b.category]
    if other:
        raise ServiceError(
            "columns_differ",
            f"{', '.join(other)}: numbers for the champion or the model on trial, and text for the other, so callers "
            "cannot send them to both. Publish it without a trial, or end the trial first.",
            f"{'、'.join(other)}：在正式模型与试用模型中一为数值、一为文本，无法同时提交。请直接发布，或先结束试用。",
        )


def _no_challenger() -> ServiceError:
    return ServiceError("no_challenger", "No model is on trial.", "没有正在试用的模型。")
