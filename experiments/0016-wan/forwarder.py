"""Delay and loss of links, for kernels without netem: packets between two TUN devices, released when they are due.

    python forwarder.py LINK.json      (as root, inside the router's namespace; ends with SIGTERM)

It cannot: bring packets out of order, shape a rate (tbf does, before the packet gets here), vary the delay, or lose
packets in bursts. Its delay is the asked one plus the time until this process runs: more on a busy
machine.
"""

from __future__ import annotations

import fcntl
import heapq
import json
import os
import random
import selectors
import struct
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

#: linux/if_tun.h
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_MTU = 1500
#: Packets read from one device before others have their turn.
_BATCH = 64


@dataclass(slots=True)
class Delay:
    """Packets in flight: each is lost, or due ``seconds`` after it came. ``loss``: probability, 0 to 1.

    ``most``: packets in flight; more are dropped, as by a full queue.
    """

    seconds: float
    loss: float
    chance: random.Random
    most: int = 20_000
    lost: int = 0
    _flying: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _count: int = 0

    def take(self, now: float, target: int, packet: bytes) -> None:
        """``target``: where it goes when it is due."""
        if self.chance.random() < self.loss or len(self._flying) >= self.most:
            self.lost += 1
            return
        self._count += 1  # among equal times, the first first
        heapq.heappush(self._flying, (now + self.seconds, self._count, target, packet))

    def due(self, now: float) -> Iterable[tuple[int, bytes]]:
        """What has to leave by ``now``, in order; it is in flight no more."""
        while self._flying and self._flying[0][0] <= now:
            _, _, target, packet = heapq.heappop(self._flying)
            yield target, packet

    def wait(self, now: float) -> float | None:
        """Seconds until the next packet is due; None: nothing in flight."""
        return max(0.0, self._flying[0][0] - now) if self._flying else None


def open_tun(name: str) -> int:
    """A TUN device of that name in this network namespace; it lives as long as the file is open."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return device


def carry(pairs: Iterable[tuple[int, int]], delay: Delay) -> None:
    """Forward between the devices of each pair, until the process is told to stop."""
    other = {one: two for pair in pairs for one, two in (pair, pair[::-1])}
    with selectors.DefaultSelector() as selector:
        for device in other:
            selector.register(device, selectors.EVENT_READ)
        while True:
            ready = selector.select(delay.wait(time.monotonic()))
            for key, _ in ready:
                for _ in range(_BATCH):
                    try:
                        packet = os.read(key.fd, _MTU)
                    except OSError:  # nothing more, or the device is down
                        break
                    delay.take(time.monotonic(), other[key.fd], packet)
            for target, packet in delay.due(time.monotonic()):
                try:
                    os.write(target, packet)
                except OSError:  # full or down: a lost packet
                    delay.lost += 1


def main(told: Path) -> None:
    """``told``: {"seconds", "loss", "seed", "ends": {near device: [far device, its namespace]}}."""
    link = json.loads(told.read_text())
    pairs = []
    for near, (far, namespace) in link["ends"].items():
        pairs.append((open_tun(near), open_tun(far)))
        # A device that is moved stays with the file it was opened by.
        subprocess.run(["ip", "link", "set", far, "netns", namespace], check=True)
    print("ready", flush=True)
    carry(pairs, Delay(link["seconds"], link["loss"], random.Random(link["seed"])))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
