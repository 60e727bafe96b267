"""Flower lets a node in only once: one that was killed is thought to be there until it was silent for a minute. So the
node that is to take its place says first, with the same key, that it has gone."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Final

from lab.membership.hub_client import Hub
from lab.membership.papers import AUTHORITY, FLOWER_KEY, FOLDER
from models.declared import Declared
from models.errors import LianmoError

log = logging.getLogger("lianmo.node")

CRYPTO: Final = (
    Declared(
        algorithm="ECDSA with P-384 and SHA-256",
        key_bits=(384,),
        purpose="a Flower node that was killed is withdrawn, signed as Flower asks for it",
        purpose_zh="注销被终止的 Flower 节点（按 Flower 要求签名）",
        standard="FIPS 186-5",
        library="cryptography",
    ),
)


def withdraw(node: Path) -> None:
    """Tell the hub's Flower that no Flower node of this party is at work. One that is not reached, or knew it, is no
    error: the node that starts next tries for itself."""
    with suppress(LianmoError):
        hub = Hub(node)
        own = [int(member["flower_node"]) for member in hub.members() if member["party"] == hub.membership.party]
        if own:
            _tell(node, hub.membership.address, own[0])


def _tell(node: Path, address: str, number: int) -> None:
    import httpx
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key
    from flwr.proto.fleet_pb2 import DeactivateNodeRequest
    from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
    from flwr.supernode.fleet_http_client import FleetHttpClient
    from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

    key = load_ssh_private_key((node / FOLDER / FLOWER_KEY).read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    with FleetHttpClient.from_server_address(
        address,
        False,
        str(node / FOLDER / AUTHORITY),
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="SuperNode"),
            NodeAuthHttpInterceptor(key, key.public_key()),
        ],
    ) as flower:
        try:
            flower.DeactivateNode(DeactivateNodeRequest(node_id=number))
        except (httpx.HTTPError, ValueError):  # or no answer of Flower's
            return
    log.info("an earlier Flower node of ours was still counted in; it is out now")
