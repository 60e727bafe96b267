"""Experiment 0016: the forwarder's delay and loss, and namespaces in which a party reaches the hub and nobody else."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parents[1] / "experiments" / "0016-wan"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"wan_{name}", HERE / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


forwarder, network, sessions = loaded("forwarder"), loaded("network"), loaded("sessions")


def test_packets_leave_when_they_are_due_and_in_order() -> None:
    delay = forwarder.Delay(0.02, 0.0, random.Random(1))
    for number in range(3):
        delay.take(1.0, 7, bytes([number]))
    assert list(delay.due(1.019)) == []
    assert delay.wait(1.0) == pytest.approx(0.02)
    assert list(delay.due(1.0201)) == [(7, b"\0"), (7, b"\1"), (7, b"\2")]
    assert delay.wait(2.0) is None


def test_the_seed_decides_which_packets_are_lost() -> None:
    def survivors(seed: int) -> list[bytes]:
        delay = forwarder.Delay(0.0, 0.01, random.Random(seed))
        for number in range(5000):
            delay.take(0.0, 1, number.to_bytes(2, "big"))
        assert delay.lost == 5000 - len(delay._flying)
        return [packet for _, packet in delay.due(0.0)]

    first = survivors(1)
    assert 4920 < len(first) < 4980
    assert first == survivors(1) != survivors(2)


def test_a_full_link_drops() -> None:
    delay = forwarder.Delay(1.0, 0.0, random.Random(1), most=2)
    for _ in range(3):
        delay.take(0.0, 1, b"")
    assert delay.lost == 1


def test_without_root_it_says_what_is_needed_in_both_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.os, "geteuid", lambda: 1000)
    with pytest.raises(network.ServiceError) as refused, network.network(network.LAN):
        raise AssertionError("made a network")
    assert refused.value.code == "no_network"
    assert "root" in refused.value.english
    assert "root 权限" in refused.value.chinese


@pytest.mark.slow
@pytest.mark.parametrize("link", [network.LAN, network.Link("far", 100, 30)], ids=lambda link: link.name)
def test_a_party_reaches_the_hub_and_nobody_else(link: object) -> None:
    if why := network.missing():
        pytest.skip(why[0])
    with network.network(link) as net:
        began = time.monotonic()
        command = net.inside("bank", sys.executable, "-c", CONNECT, net.address("hub"))
        seconds = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        assert 2 * link.one_way / 1000 <= seconds <= time.monotonic() - began
        assert all(net.reaches(party, net.address("hub"), 9) for party in network.PARTIES)
        assert not net.reaches("bank", net.address("tax"), 9)
        # Not only for want of a route at the party: the router itself passes nothing on.
        for party, router in (("bank", "10.77.1.1"), ("tax", "10.77.2.1")):
            route = ["ip", "-n", net.namespace(party), "route", "add", "default", "via", router]
            subprocess.run(route, check=True)
        assert not net.reaches("bank", net.address("tax"), 9)
        spaces = net.prefix
    assert spaces not in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_one_tree_over_far_links_is_the_one_of_one_machine(tmp_path: Path) -> None:
    """Hub and four nodes in namespaces of their own, 20 ms apart, on Flower's deployment engine."""
    if why := network.missing():
        pytest.skip(why[0])
    city = sessions.City(tmp_path, 1500, 1)
    city.draw()
    city.train_here("memory")
    with network.network(network.Link("far", 100, 10)) as net:
        with sessions.federation(city, net, "far") as made:
            assert made.train("far")["trees"] == 1
        assert city.model("far") == city.model("memory")
        assert not made.left_over()
        assert not any(net.listening(space) for space in (network.HUB, *network.PARTIES))


#: Seconds until a closed port refuses: one round trip.
CONNECT = """
import socket, sys, time
began = time.monotonic()
try:
    socket.create_connection((sys.argv[1], 9), 5)
except ConnectionRefusedError:
    print(time.monotonic() - began)
"""
