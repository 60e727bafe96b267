"""A wire over HTTP, for scoring: each frame is one POST to the party's ``/v1/messages``, the reply is its body."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import httpx

from federation.codec import MAX_MESSAGE_BYTES
from federation.errors import LocalProtocolError, PartyId, TransportError
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="TLS 1.2, TLS 1.3",
        purpose="asking hosts for scores, where certificates are configured",
        purpose_zh="向数据方请求评分（配置证书时）",
        standard="RFC 5246; RFC 8446",
        library="ssl",
    ),
)

PATH: Final = "/v1/messages"
HEALTH_PATH: Final = "/healthz"
FRAME_TYPE: Final = "application/octet-stream"
#: Requests to one party at the same time. Each party has threads of its own: one that hangs holds up no other.
_THREADS_PER_PARTY: Final = 32
#: Shorter than the 75 s for which our servers keep an idle connection, so that no frame meets a closing one.
IDLE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Lines:
    """What an open wire holds."""

    sessions: Mapping[PartyId, httpx.Client]
    threads: Mapping[PartyId, ThreadPoolExecutor]


class HttpWire:
    """The guest's ``Wire`` (see ``federation.script``) over HTTP; to be entered before use, and shared by threads.

    All parties of an exchange are asked at the same time; the first that fails ends the exchange. Proxies and
    certificates named in environment variables are ignored: frames take no way that was not configured.

    Args:
        urls: party → base address of its service, such as ``https://tax.example:8443``.
        deadline_seconds: longest wait for all replies of one exchange.
        tls: party → authorities trusted for it and our own certificate; who is not there: the public authorities and no
            certificate.
        max_reply_bytes: a larger reply is not read to its end.

    Raises:
        TransportError: "bad_address" if a party's address is none.
    """

    def __init__(
        self,
        urls: Mapping[PartyId, str],
        *,
        deadline_seconds: float = 10.0,
        tls: Mapping[PartyId, ssl.SSLContext] | None = None,
        max_reply_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._urls = {party: endpoint(party, url) for party, url in urls.items()}
        self._deadline_seconds = deadline_seconds
        self._tls = tls or {}
        self._max_reply_bytes = max_reply_bytes
        self._open = ExitStack()
        self._lines: _Lines | None = None

    def __enter__(self) -> Self:
        threads = {
            party: self._open.enter_context(ThreadPoolExecutor(_THREADS_PER_PARTY, thread_name_prefix="http-wire"))
            for party in self._urls
        }
        verified = {party: self._tls.get(party) for party in self._urls}
        sessions = {tls: self._open.enter_context(_session(tls)) for tls in set(verified.values())}
        self._lines = _Lines({party: sessions[tls] for party, tls in verified.items()}, threads)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections; exchanges still under way fail, at their deadline at the latest."""
        self._lines = None
        self._open.close()

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        """Send one frame to each party and return one reply of each.

        Raises:
            TransportError: "party_absent": no address, or nobody listens there; "party_timeout": too slow;
                "party_failed": the connection broke, or what came back is no reply or too large.
            LocalProtocolError: the wire is not open.
        """
        if self._lines is None:
            raise LocalProtocolError("wire_closed", "The HTTP wire is not open.", "HTTP 通道尚未打开。")
        for party in frames:
            if party not in self._urls:
                raise TransportError(party, "party_absent", "no address is configured for it.", "未配置其服务地址。")
        until = time.monotonic() + self._deadline_seconds
        sessions, threads = self._lines.sessions, self._lines.threads
        asked = {p: threads[p].submit(self._ask, sessions[p], p, frame, until) for p, frame in frames.items()}
        done, late = wait(asked.values(), self._deadline_seconds, FIRST_EXCEPTION)
        for request in late:
            request.cancel()
        for request in done:
            request.result()
        for party, request in asked.items():
            if request in late:
                raise too_slow(party, self._deadline_seconds)
        return {party: request.result() for party, request in asked.items()}

    def _ask(self, session: httpx.Client, party: PartyId, frame: bytes, until: float) -> bytes:
        # httpx bounds each read; the exchange no longer waits after ``until``, however the reads drip.
        seconds = max(until - time.monotonic(), 0.001)
        try:
            with session.stream("POST", self._urls[party], content=frame, timeout=seconds) as response:
                return self._reply(party, response, until)
        except httpx.TimeoutException:
            raise too_slow(party, self._deadline_seconds) from None
        except httpx.HTTPError as error:
            raise lost(party, str(self._urls[party]), error) from None

    def _reply(self, party: PartyId, response: httpx.Response, until: float) -> bytes:
        status = response.status_code
        if status != httpx.codes.OK:
            raise bad_status(party, status)
        reply = bytearray()
        for piece in response.iter_raw():
            reply += piece
            if len(reply) > self._max_reply_bytes:
                raise failed(
                    party,
                    f"its reply is over the limit of {self._max_reply_bytes:,} bytes",
                    f"应答超过 {self._max_reply_bytes:,} 字节上限",
                )
            if time.monotonic() > until:
                raise too_slow(party, self._deadline_seconds)
        return bytes(reply)


def too_slow(party: PartyId, seconds: float) -> TransportError:
    """A party that was waited for so long."""
    return TransportError(
        party,
        "party_timeout",
        f"did not answer within {seconds:g} seconds.",
        f"未在 {seconds:g} 秒内应答。",
    )


def endpoint(party: PartyId, url: str) -> httpx.URL:
    """Where a party takes frames. Raises ``TransportError`` ("bad_address")."""
    try:
        found = httpx.URL(url.rstrip("/") + PATH)
        if found.scheme in ("http", "https") and found.host and (found.port or 0) < 2**16:
            return found
    except httpx.InvalidURL:
        pass
    raise TransportError(
        party,
        "bad_address",
        "its address is not a URL such as https://host.example:8443.",
        "其服务地址不是有效的 URL，应形如 https://host.example:8443。",
    )


def failed(party: PartyId, english: str, chinese: str) -> TransportError:
    """A party whose connection or reply is no good."""
    return TransportError(party, "party_failed", f"{english}.", f"{chinese}。")


def bad_status(party: PartyId, status: int) -> TransportError:
    """A party that answered, but not with a frame."""
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return failed(
            party,
            f"it does not take us for its bank (HTTP status {status}); show the certificate that it knows, or ask it",
            f"对方不认可本方身份（HTTP 状态码 {status}）；请出示对方登记的证书，或与对方核对",
        )
    return failed(party, f"it answered with HTTP status {status}", f"返回的 HTTP 状态码为 {status}")


def lost(
    party: PartyId, url: str, error: BaseException, never_met: type[Exception] = httpx.ConnectError
) -> TransportError:
    """A party to which there was no connection, or none that held until its answer.

    Args:
        never_met: what the library raises where no connection came about.
    """
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return failed(
            party,
            "its certificate is not one that we trust for its address; check authority (--hosts) and address",
            "其证书不受信任或与地址不符；请核对签发机构（--hosts）与地址",
        )
    began = any(isinstance(cause, ssl.SSLError | ConnectionResetError) for cause in causes)
    if isinstance(error, never_met) and not began:
        return TransportError(
            party,
            "party_absent",
            "nobody listens at its address. Is its service running?",
            "其服务地址无人监听，请确认该方服务已启动。",
        )
    if url.startswith("https:"):  # a side that refuses a certificate often just closes, so that one cannot tell
        return failed(
            party,
            "the connection broke before it answered; if it demands our certificate, see that the file of hosts "
            "(--hosts) names one that is in force and of an authority that it takes",
            "应答前连接中断；若对方要求本方证书，请核对数据方文件（--hosts）中是否已配置、是否有效、签发机构是否被对方接受",
        )
    return failed(party, "the connection broke", "连接中断")


def _session(tls: ssl.SSLContext | None) -> httpx.Client:
    return httpx.Client(
        headers={"content-type": FRAME_TYPE, "accept": FRAME_TYPE, "accept-encoding": "identity"},
        verify=True if tls is None else tls,
        limits=httpx.Limits(max_connections=None, keepalive_expiry=IDLE_SECONDS),
        trust_env=False,
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
