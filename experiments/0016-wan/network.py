"""Namespaces of a hub and its parties around a router, with links of a given rate, delay and loss between them.

Each party has one link to the router and a route to the hub's address only; what comes from a party leaves the router
towards the hub or not at all.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.errors import ServiceError

HUB = "hub"
PARTIES = ("bank", "tax", "credit", "guarantor")
PORT = 9443


@dataclass(frozen=True)
class Link:
    """Of each party, and of the hub's none: all four meet at the router.

    Attributes:
        mbit: rate in Mbit/s, each way; 0: as fast as the machine.
        one_way: milliseconds from a party to the hub, and the same back. From party to party twice that.
        loss: probability that a packet is lost, each way.
    """

    name: str
    mbit: float = 0.0
    one_way: float = 0.0
    loss: float = 0.0


LAN = Link("LAN")
LINKS = (
    LAN,
    Link("100 Mbit/s, 20 ms", 100, 10),
    Link("10 Mbit/s, 50 ms", 10, 25),
    Link("LAN, 1 % loss", loss=0.01),
)


@dataclass(frozen=True)
class Network:
    """``prefix``: of its namespaces' names; ``by``: what delays and loses packets."""

    prefix: str
    by: str

    def namespace(self, party: str) -> str:
        return self.prefix + party

    def address(self, party: str) -> str:
        return f"10.77.{(HUB, *PARTIES).index(party)}.2"

    @property
    def hub(self) -> str:
        """host:port that parties dial."""
        return f"{self.address(HUB)}:{PORT}"

    def inside(self, party: str, *command: str) -> list[str]:
        """The command as it is run at a party."""
        return ["ip", "netns", "exec", self.namespace(party), *command]

    def plug(self, party: str, pulled: bool) -> None:
        """Pull a party's plug at the router, or put it in again: to both ends the other only falls silent."""
        _in(self.namespace("router"), "link", "set", party, "down" if pulled else "up")

    def listening(self, party: str) -> set[str]:
        """ "address:port" of TCP sockets that listen at a party, those on loopback left out."""
        lines = _ip(*self.inside(party, "ss", "-Hltn")[1:]).splitlines()
        found = {line.split()[3] for line in lines}
        return {at for at in found if not at.startswith(("127.", "[::1]", "[::ffff:127."))}

    def reaches(self, party: str, address: str, port: int) -> bool:
        """Whether a TCP connection from a party to there comes about, or is refused by the machine there."""
        code = (
            "import socket,sys\ntry: socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)\n"
            "except ConnectionRefusedError: pass\nexcept OSError: sys.exit(1)"
        )
        command = self.inside(party, sys.executable, "-c", code, address, str(port))
        return subprocess.run(command, check=False).returncode == 0


def missing() -> tuple[str, str] | None:
    """Why no such network can be made here, in English and Chinese."""
    if os.geteuid():
        return "network namespaces need root", "创建网络命名空间需要 root 权限"
    for tool in ("ip", "tc", "ss"):
        if not shutil.which(tool):
            return f"{tool} (iproute2) is not installed", f"未安装 {tool}（iproute2）"
    name = f"try{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
    if not made:
        return "this kernel or container makes no network namespaces", "当前内核或容器无法创建网络命名空间"
    _ip("netns", "del", name)
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is missing", "缺少 /dev/net/tun"
    return None


def has_netem(namespace: str) -> bool:
    """Whether the kernel delays packets itself: the one place where it is decided who does."""
    command = ["ip", "netns", "exec", namespace, "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "0ms"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return False
    _ip("netns", "exec", namespace, "tc", "qdisc", "del", "dev", "lo", "root")
    return True


@contextmanager
def network(link: Link, seed: int = 0) -> Iterator[Network]:
    """Namespaces and links; gone afterwards, with all processes in them.

    Raises:
        ServiceError: ``no_network`` if this machine or this user cannot.
    """
    if why := missing():
        raise ServiceError(
            "no_network",
            f"The experiment cannot set up its network: {why[0]}. Run it as root on Linux with iproute2.",
            f"实验无法建立网络：{why[1]}。请以 root 身份在装有 iproute2 的 Linux 上运行。",
        )
    prefix = f"wan{secrets.token_hex(2)}-"
    spaces = [prefix + name for name in ("router", HUB, *PARTIES)]
    forwarder: subprocess.Popen[str] | None = None
    try:
        for space in spaces:
            _ip("netns", "add", space)
            _in(space, "link", "set", "lo", "up")
        netem = has_netem(spaces[0])
        shaped = bool(link.one_way or link.loss)
        net = Network(prefix, "netem" if netem else "forwarder")
        _ip("netns", "exec", spaces[0], "sysctl", "-qw", "net.ipv4.ip_forward=1")
        _veth(spaces[0], HUB, spaces[1])
        if shaped and not netem:
            forwarder = _forwarder(spaces[0], spaces[2:], link, seed)
        else:
            for party, space in zip(PARTIES, spaces[2:], strict=True):
                _veth(spaces[0], party, space)
        _in(spaces[1], "route", "add", "default", "via", _address(net, HUB, spaces[0], spaces[1]))
        for number, (party, space) in enumerate(zip(PARTIES, spaces[2:], strict=True)):
            router = _address(net, party, spaces[0], space)
            _in(space, "route", "add", net.address(HUB), "via", router)
            table = str(100 + number)  # what comes from a party: to the hub or nowhere
            _in(spaces[0], "route", "add", net.address(HUB), "dev", HUB, "table", table)
            _in(spaces[0], "route", "add", "unreachable", "default", "table", table)
            _in(spaces[0], "rule", "add", "iif", party, "lookup", table)
            for where, device in ((spaces[0], party), (space, "eth0")):
                _shape(where, device, link, netem)
        yield net
    finally:
        if forwarder:
            forwarder.terminate()
            forwarder.wait()
        for space in spaces:
            pids = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True, check=False).stdout
            for pid in pids.split():
                subprocess.run(["kill", "-9", pid], check=False)
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)


def _veth(router: str, device: str, space: str) -> None:
    _in(router, "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", space)


def _forwarder(router: str, spaces: Sequence[str], link: Link, seed: int) -> subprocess.Popen[str]:
    ends = {party: [f"far-{party}", space] for party, space in zip(PARTIES, spaces, strict=True)}
    told = {"seconds": link.one_way / 1000, "loss": link.loss, "seed": seed, "ends": ends}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(json.dumps(told))
        file.flush()
        command = [sys.executable, str(Path(__file__).with_name("forwarder.py")), file.name]
        process = subprocess.Popen(["ip", "netns", "exec", router, *command], stdout=subprocess.PIPE, text=True)
        assert process.stdout
        process.stdout.readline()
    for far, space in ends.values():
        _in(space, "link", "set", far, "name", "eth0")
    return process


def _address(net: Network, party: str, router: str, space: str) -> str:
    """Both ends get one, and are up; the router's."""
    own = net.address(party)
    near = own[:-1] + "1"
    for where, device, address in ((router, party, near), (space, "eth0", own)):
        _in(where, "addr", "add", f"{address}/30", "dev", device)
        _in(where, "link", "set", device, "up")
    return near


def _shape(space: str, device: str, link: Link, netem: bool) -> None:
    if netem and (link.one_way or link.loss):
        rate = ["rate", f"{link.mbit}mbit"] if link.mbit else []
        wish = ["netem", "limit", "20000", "delay", f"{link.one_way}ms", "loss", f"{100 * link.loss}%", *rate]
    elif link.mbit:
        wish = ["tbf", "rate", f"{link.mbit}mbit", "burst", "32k", "latency", "200ms"]
    else:
        return
    _ip("netns", "exec", space, "tc", "qdisc", "add", "dev", device, "root", *wish)


def _in(space: str, *arguments: str) -> str:
    return _ip("-n", space, *arguments)


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
