"""The way to the relay: in clear or over TLS, straight or through a proxy that speaks HTTP CONNECT."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import grpc

from federation.transports.frames import CHANNEL_OPTIONS, Tls


def open_channel(address: str, tls: Tls | None, proxy: str | None) -> Any:
    """A channel to ``address`` ("host:port").

    Args:
        tls: our papers; None: in clear.
        proxy: "http://host:port" (RFC 9110 §9.3.6) goes through that proxy; "" never through one; None as the
            environment says (``grpc_proxy``, ``https_proxy``, ``http_proxy``; ``no_grpc_proxy``, ``no_proxy``), but
            to our own machine always straight.
    """
    if proxy:
        way: tuple[tuple[str, str | int], ...] = (("grpc.http_proxy", proxy),)
    elif proxy == "" or _is_loopback(address):
        way = (("grpc.enable_http_proxy", 0),)
    else:
        way = ()
    options = (*CHANNEL_OPTIONS, *way)
    return grpc.secure_channel(address, tls.for_channel(), options) if tls else grpc.insecure_channel(address, options)


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
