"""The way from a node to its hub, step by step: what does not work is named, and what lies behind it is not tried."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from federation.ciphers.suites.choice import suite
from federation.errors import TransportError
from federation.transports.link import Link
from lab.doctor import Finding
from lab.errors import ReportedError
from lab.hub.joining import VERSIONS
from lab.membership.hub_client import Hub
from lab.membership.papers import seal_key, tls_of
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="random generator of the operating system",
        purpose="the session that no relay knows, to try the way to it",
        purpose_zh="用于测试中继通路的不存在会话编号",
        standard="Linux getrandom(2)",
        library="secrets",
    ),
    Declared(
        algorithm="TLS 1.2, TLS 1.3",
        purpose="why a hub's certificate was not believed",
        purpose_zh="枢纽证书未通过验证的原因",
        standard="RFC 5246; RFC 8446",
        library="ssl",
    ),
)

_SECONDS: Final = 5.0
_RELAY_SECONDS: Final = 15.0
#: Flower refuses the signature of a node whose clock is further ahead than its SYSTEM_TIME_TOLERANCE, or further behind
#: than that and its TIMESTAMP_TOLERANCE (``flwr.common.constant``).
FLOWER_AHEAD_SECONDS: Final = 5.0
FLOWER_BEHIND_SECONDS: Final = 305.0
#: Advice comes before Flower refuses.
AHEAD_SECONDS: Final = 2.0
BEHIND_SECONDS: Final = 60.0
#: OpenSSL's X509_V_ERR_…: HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH; CERT_NOT_YET_VALID, CERT_HAS_EXPIRED.
_WRONG_NAME: Final = (62, 64)
_WRONG_TIME: Final = (9, 10)


def examine_way(node: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> list[Finding]:
    """Proxy, name, port, the hub's certificate, clocks, versions, membership, relay; up to the first that fails on
    which the next depend. Raises as ``membership_of``."""
    return list(_steps(Hub(node), node, clock))


def _steps(hub: Hub, node: Path, clock: Callable[[], datetime]) -> Iterator[Finding]:
    proxy = _proxy(hub.membership.address)
    yield _proxy_in_force(proxy)
    host, _, port = (proxy or hub.membership.address).rpartition(":")
    for step in (_name(host.strip("[]")), _port(host.strip("[]"), int(port))):
        yield step
        if not step.good:
            return
    before = clock()
    try:
        told = hub.hello()
    except (TransportError, ReportedError) as error:
        yield _not_proven(error)
        return
    yield Finding("hub's certificate 枢纽证书", f"{hub.membership.hub}, {hub.membership.address}")
    yield _clock(before + (clock() - before) / 2, str(told.get("time")))
    yield _versions(told)
    known = _known(hub, node)
    yield known
    if known.good:
        yield _relay(hub, node)


def _proxy(address: str) -> str:
    """ "host:port" of the proxy in force for HTTPS to ``address``; empty: none. Whoever's password it has stays out."""
    proxies = getproxies_environment()
    url = proxies.get("https") or proxies.get("all")
    if not url or proxy_bypass(address):
        return ""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _proxy_in_force(proxy: str) -> Finding:
    # gRPC reads the small spelling only, Python either: with the capitals alone the relay would be dialled straight.
    small = any(os.environ.get(name) for name in ("grpc_proxy", "https_proxy", "http_proxy"))
    return Finding(
        "proxy 代理",
        proxy or "none 无",
        not proxy or small,
        "Set https_proxy in small letters too: gRPC reads no other spelling. Or name the hub in no_proxy, NO_PROXY.",
        "请同时设置小写的 https_proxy：gRPC 只读取小写变量；或将枢纽写入 no_proxy 与 NO_PROXY。",
    )


def _name(host: str) -> Finding:
    name = "name 名称解析"
    try:
        found = sorted({str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})
    except OSError:
        return Finding(
            name,
            f"{host}: unknown 无法解析",
            False,
            f"This machine finds no address of {host}: ask whoever runs its name service, or add it to /etc/hosts.",
            f"本机无法解析 {host}：请联系域名服务管理员，或写入 /etc/hosts。",
        )
    return Finding(name, ", ".join(found))


def _port(host: str, port: int) -> Finding:
    name = "port 端口"
    try:
        with socket.create_connection((host, port), _SECONDS):
            return Finding(name, f"{port}: open 可连接")
    except OSError as error:
        refused = isinstance(error, ConnectionRefusedError)
        return Finding(
            name,
            f"{port}: {'refused 被拒绝' if refused else 'no answer 无应答'}",
            False,
            f"Nobody listens on {host}:{port}: is the hub (or the proxy) running?"
            if refused
            else f"Nothing comes back from {host}:{port}: a firewall must let this machine out to it (TCP).",
            f"{host}:{port} 无程序监听：枢纽（或代理）是否在运行？"
            if refused
            else f"{host}:{port} 无应答：请在防火墙放行本机到该端口的 TCP 出站连接。",
        )


def _not_proven(error: Exception) -> Finding:
    name, code = "hub's certificate 枢纽证书", _verification(error)
    if code is None:
        return Finding(
            name,
            "no TLS, or no hub 非 TLS 或非枢纽",
            False,
            "Something else answers at this address, or a proxy does not let us through. Is the address the hub's?",
            "该地址由其他程序应答，或代理未放行。请核对枢纽地址。",
        )
    if code in _WRONG_NAME:
        return Finding(
            name,
            "of another name 名称不符",
            False,
            "The hub's certificate is of its authority, but not of this name: the operator makes a hub --also NAME.",
            "枢纽证书由其机构签发，但不含该名称：请枢纽运营方以 --also 名称 重新建立。",
        )
    if code in _WRONG_TIME:
        return Finding(
            name,
            "not valid now 当前无效",
            False,
            "The hub's certificate has expired, or this machine's clock is wrong. Look at the clock first.",
            "枢纽证书已过期，或本机时钟有误。请先检查本机时钟。",
        )
    return Finding(
        name,
        "of another authority 机构不符",
        False,
        "Whoever answers is not the hub that invited you. Send nothing; tell the hub's operator. A proxy that opens "
        "TLS looks like this too: it must let the hub through unopened.",
        "应答方并非邀请你的枢纽。请勿发送任何内容，并告知枢纽运营方。解密 TLS 的代理也会如此：须对枢纽直通。",
    )


def _verification(error: BaseException | None) -> int | None:
    """OpenSSL's code of why a certificate was not believed, if that is what ``error`` comes from."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_code
        error = error.__cause__ or error.__context__
    return None


def _clock(ours: datetime, theirs: str) -> Finding:
    ahead = (ours - datetime.fromisoformat(theirs)).total_seconds()
    return Finding(
        "clock 时钟",
        f"{ahead:+.1f} s 秒",
        -BEHIND_SECONDS < ahead < AHEAD_SECONDS,
        f"This machine and the hub differ: Flower refuses a node that is {FLOWER_AHEAD_SECONDS:.0f} s ahead or "
        f"{FLOWER_BEHIND_SECONDS:.0f} s behind. Let both follow a time server (NTP).",
        f"本机与枢纽时钟不一致：超前 {FLOWER_AHEAD_SECONDS:.0f} 秒或落后 {FLOWER_BEHIND_SECONDS:.0f} 秒的节点会被 "
        "Flower 拒绝。请让双方同步时间服务器（NTP）。",
    )


def _versions(told: dict[str, Any]) -> Finding:
    other = [f"{name} {told.get(name)!s:.32} ≠ {ours}" for name, ours in VERSIONS.items() if told.get(name) != ours]
    return Finding(
        "versions 版本",
        ", ".join(other) or ", ".join(f"{name} {ours}" for name, ours in VERSIONS.items()),
        not other,
        "Hub (left) and node (right) have other releases: install the hub's.",
        "枢纽（左）与节点（右）版本不同：请安装与枢纽相同的版本。",
    )


def _known(hub: Hub, node: Path) -> Finding:
    name, own = "membership 成员资格", hub.membership
    try:
        members = {member["party"]: member for member in hub.members()}
    except (TransportError, ReportedError):
        return Finding(
            name,
            "not known 不被认可",
            False,
            "The hub does not take our certificate: it ended the membership, or this party joined again from another "
            "folder. If nobody of yours did that, tell the hub's operator; then join anew with a new invitation.",
            "枢纽不认可本方证书：成员资格已终止，或本方已在其他目录重新加入。如非本方所为，请告知枢纽运营方，并凭新邀请重新加入。",
        )
    ours = suite(own.seal_suite).verifying_key(seal_key(node)).hex()
    return Finding(
        name,
        ", ".join(sorted(members)),
        members.get(own.party, {}).get("seal_key") == ours,
        f"The hub gives others a key of {own.party} that is not ours: it, or somebody on it, could pretend to be us. "
        "Start no run; tell the other parties by telephone.",
        f"枢纽向他方提供的 {own.party} 密钥并非本方密钥：可能有人冒充本方。请勿开始运行，并通过电话告知其他各方。",
    )


def _relay(hub: Hub, node: Path) -> Finding:
    """A session that cannot be: that the relay says so proves the way to it, HTTP/2 and our certificate with it."""
    name, own = "relay 中继", hub.membership
    log = logging.getLogger("lianmo.link")
    level = log.level
    log.setLevel(logging.CRITICAL)  # that it does not let us in is what we want
    try:
        with Link(
            own.address,
            f"doctor-{secrets.token_hex(8)}",
            own.party,
            "",
            tls=tls_of(node),
            deadline_seconds=_RELAY_SECONDS,
        ):
            code = "joined"
    except TransportError as error:
        code = error.code
    finally:
        log.setLevel(level)
    return Finding(
        name,
        "answers 有应答" if code == "session_unknown" else code,
        code == "session_unknown",
        "Calls of one kind pass, gRPC (HTTP/2) does not: the proxy must pass the connection on unopened (CONNECT).",
        "普通请求可通过，但 gRPC（HTTP/2）不通：代理须以 CONNECT 方式直通该连接。",
    )
