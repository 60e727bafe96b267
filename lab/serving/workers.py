"""Several processes behind one port: each has a listener of its own there, and one that dies is replaced."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Final

from fastapi import FastAPI

from lab.errors import ServiceError
from lab.serving.access.listening import Listening
from lab.serving.metrics import SHARED
from lab.serving.server import address_of, listen, serve_on

#: A worker that is told to stop answers what is under way first; then it is ended.
_STOP_SECONDS: Final = 15.0
#: Workers that die sooner than this, one after the other, are not replaced for ever.
_MOST_DEATHS: Final = 20


def serve_workers(
    make: Callable[[], FastAPI], door: Listening, port: int, n: int, *, announce: Callable[[str], None] = lambda _: None
) -> None:
    """Serve ``make()`` in ``n`` processes until this one is told to stop (SIGINT, SIGTERM).

    Args:
        make: makes the application, in each worker; sent to it, so a function of a module or a method of plain data.
        announce: called with the address once all workers answer callers.

    Raises:
        ServiceError: "port_taken", "address_unusable"; "workers_died" if they do as soon as they are started.
    """
    listen(door.bind, port).close()  # alone on it, so that no other service's callers are shared
    with listen(door.bind, port, shared=True, idle=True) as held, _counts():
        bound = held.getsockname()[1]
        context = multiprocessing.get_context("spawn")

        def start() -> _Worker:
            said, says = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(make, door, bound, says), name="lianmo-worker")
            process.start()
            return _Worker(process, said, says)

        _keep(start, n, lambda: announce(address_of(door.bind, held, door.tls())))


@dataclass(slots=True)
class _Worker:
    """Attributes:
    said: one message comes here, once callers are answered; None: it came.
    says: the other end, kept open: that a worker ended is for its process to tell.
    """

    process: SpawnProcess
    said: Connection | None
    says: Connection


def _keep(start: Callable[[], _Worker], n: int, announce: Callable[[], None]) -> None:
    told, tell = os.pipe()
    before = {s: signal.signal(s, lambda *_: os.write(tell, b".")) for s in (signal.SIGINT, signal.SIGTERM)}
    workers = [start() for _ in range(n)]
    n_deaths, announced = 0, False
    try:
        while True:
            starting = [worker.said for worker in workers if worker.said]
            ready = wait([told, *(worker.process.sentinel for worker in workers), *starting])
            if told in ready:
                return
            for worker in workers:
                worker.said = None if worker.said in ready else worker.said
            if not announced and not any(worker.said for worker in workers):
                announced = True
                announce()
            for k, worker in enumerate(workers):
                if worker.process.sentinel in ready:
                    worker.process.join()
                    n_deaths += 1
                    if n_deaths > _MOST_DEATHS:
                        raise ServiceError(
                            "workers_died",
                            f"Workers of the service ended {n_deaths} times; the log says why.",
                            f"服务工作进程已退出 {n_deaths} 次，原因见日志。",
                        )
                    workers[k] = start()
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join(_STOP_SECONDS)
            worker.process.kill()
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(told)
        os.close(tell)


def _work(make: Callable[[], FastAPI], door: Listening, port: int, says: Connection) -> None:
    parent = multiprocessing.parent_process()
    assert parent
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    with listen(door.bind, port, shared=True) as listener:
        serve_on(make(), listener, door.tls(), answers=lambda: says.send(True))


def _end_with(sentinel: int) -> None:
    """A worker does not outlive the process that started it, even if that is killed."""
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _counts() -> Iterator[None]:
    """A directory where workers add up what they count."""
    with tempfile.TemporaryDirectory(prefix="lianmo-metrics-") as directory:
        os.environ[SHARED] = directory
        try:
            yield
        finally:
            del os.environ[SHARED]
