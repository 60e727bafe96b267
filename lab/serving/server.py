"""An application behind a port: in the foreground for the command line, in a thread for everything else."""

from __future__ import annotations

import errno
import gc
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import uvicorn
from fastapi import FastAPI

from lab.errors import ServiceError
from lab.serving.access.connection import Connection
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="TLS 1.2, TLS 1.3",
        purpose="scoring endpoints, where certificates are configured",
        purpose_zh="评分服务端点（配置证书时）",
        standard="RFC 5246; RFC 8446",
        library="ssl",
    ),
)

#: How long requests under way may take once the service is told to stop.
_GRACE_SECONDS: Final = 5
#: Longer than an ``HttpWire`` keeps a connection, so that the asking side is the one to close it.
_IDLE_SECONDS: Final = 75


class _Server(uvicorn.Server):
    """uvicorn's, which also says when it has started or failed to.

    Args:
        answers: called once callers are answered.
    """

    def __init__(self, config: uvicorn.Config, answers: Callable[[], None]) -> None:
        super().__init__(config)
        self.settled = threading.Event()
        self._answers = answers

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
            gc.collect()
            gc.freeze()  # libraries and models stay: the collector need not walk them while callers wait
            if self.started:
                self._answers()
        finally:
            self.settled.set()


def serve_app(
    app: FastAPI,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve ``app`` until the process is told to stop (SIGINT, SIGTERM); requests under way are answered first.

    Args:
        host, port: where to listen; port 0 lets the system choose.
        tls: our certificate; with ``verify_mode=CERT_REQUIRED`` callers must show one of the authorities it trusts.
        announce: called with the address once callers are answered.

    Raises:
        ServiceError: "port_taken", or "address_unusable".
    """
    with listen(host, port) as listener:
        serve_on(app, listener, tls, answers=lambda: announce(address_of(host, listener, tls)))


def serve_on(
    app: FastAPI,
    listener: socket.socket,
    tls: ssl.SSLContext | None = None,
    *,
    answers: Callable[[], None] = lambda: None,
) -> None:
    """As ``serve_app``, behind a socket that listens already; ``answers`` is called once callers are answered."""
    with suppress(KeyboardInterrupt):  # the usual end, raised anew by uvicorn after it has shut down
        _server(app, tls, answers).run([listener])


@contextmanager
def running(
    app: FastAPI, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Serve ``app`` in a thread and yield its address; on the way out stop it and free the port.

    Raises:
        ServiceError: "port_taken", "address_unusable", or "not_started".
    """
    with listen(host, port) as listener:
        server = _server(app, tls)
        thread = threading.Thread(target=server.run, args=([listener],), name="lianmo-serving", daemon=True)
        thread.start()
        try:
            server.settled.wait()
            if not server.started:
                raise ServiceError(
                    "not_started", "The service did not start; its log says why.", "服务未能启动，原因见其日志。"
                )
            yield address_of(host, listener, tls)
        finally:
            server.should_exit = True
            thread.join()


def _server(app: FastAPI, tls: ssl.SSLContext | None, answers: Callable[[], None] = lambda: None) -> _Server:
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        proxy_headers=False,  # who is asked about is never judged by where a call comes from
        log_config=None,
        access_log=False,  # the gate logs each call
        server_header=False,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    config.load()
    config.ssl = tls
    return _Server(config, answers)


def listen(host: str, port: int, *, shared: bool = False, idle: bool = False) -> socket.socket:
    """A socket that listens there.

    Args:
        shared: others that also say so may listen there too; the system deals callers out among them.
        idle: the socket only holds the address: it takes no callers.

    Raises:
        ServiceError: "port_taken", or "address_unusable".
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if not idle:
            return socket.create_server((host, port), family=family, reuse_port=shared)
        held = socket.socket(family)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        held.bind((host, port))
        return held
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise ServiceError(
                "port_taken",
                f"Port {port} on {host} is in use. Stop the other process or choose another port.",
                f"{host} 的端口 {port} 已被占用。请停止占用该端口的进程，或更换端口。",
            ) from None
        raise ServiceError(
            "address_unusable",
            f"The service cannot listen on {host}, port {port}. Check the address, and that the port is allowed.",
            f"无法在 {host} 的端口 {port} 上监听。请检查地址以及端口权限。",
        ) from None


def address_of(host: str, listener: socket.socket, tls: ssl.SSLContext | None) -> str:
    """URL of what listens there."""
    scheme = "https" if tls else "http"
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{listener.getsockname()[1]}"
