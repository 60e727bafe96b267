"""The file that says how a bank reaches its data nodes: what it shows, whom it trusts for each, and what is refused."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from federation.errors import TransportError
from federation.transports.async_http import AsyncHttpWire
from federation.transports.http import HttpWire
from lab.errors import ConfigError
from lab.serving.hosts import Hosts, hosts_of
from tests.lab.serving.conftest import TAX, World
from tests.lab.serving.papers import Papers

FRAME = b"not a message"


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path)


def asked(at: Hosts, party: str = TAX) -> bytes:
    """The same by both wires."""

    async def once() -> bytes:
        async with AsyncHttpWire(at.urls, tls=at.tls) as wire:
            return await wire.ask(party, FRAME, 10.0)

    with HttpWire(at.urls, tls=at.tls) as wire:
        reply = wire.exchange({party: FRAME})[party]
    assert asyncio.run(once()) == reply
    return reply


def why_not(at: Hosts) -> str:
    """What both wires say; it names the party, what happened and what to do, in two languages."""

    async def once() -> None:
        async with AsyncHttpWire(at.urls, tls=at.tls) as wire:
            await wire.ask(TAX, FRAME, 10.0)

    with HttpWire(at.urls, tls=at.tls) as wire, pytest.raises(TransportError) as first:
        wire.exchange({TAX: FRAME})
    with pytest.raises(TransportError) as second:
        asyncio.run(once())
    assert str(first.value) == str(second.value)
    assert (first.value.code, first.value.party) == ("party_failed", TAX)
    assert re.search("[a-z]{3}", first.value.english)
    assert re.search("[一-鿿]{3}", first.value.chinese)
    return first.value.english


def test_the_bank_shows_its_certificate_to_a_host_that_demands_one(world: World, papers: Papers) -> None:
    papers.bank()
    with papers.node(world.endpoint(TAX), papers.door()) as url:
        assert b"unreadable" in asked(hosts_of({}, papers.hosts_file({TAX: url})))
        assert "--hosts" in why_not(hosts_of({}, papers.hosts_file({TAX: url}, shown=None)))
        papers.issued("strange", trustme.CA(), "bank.example", "bank")
        assert "an authority that it takes" in why_not(hosts_of({}, papers.hosts_file({TAX: url}, shown="strange")))


def test_a_host_is_believed_under_its_own_authority_only(world: World, papers: Papers) -> None:
    papers.bank()
    other = trustme.CA()
    papers.authority("tax-ca.pem", other)
    own = 'authority = "tax-ca.pem"'
    with papers.node(world.endpoint(TAX), papers.door()) as url:
        assert "trust for its address" in why_not(hosts_of({}, papers.hosts_file({TAX: url}, own=own)))
        assert "trust for its address" in why_not(Hosts({TAX: url}))  # nor by the public authorities
    with papers.node(world.endpoint(TAX), papers.door(hosts=other)) as url:
        both = hosts_of({}, papers.hosts_file({TAX: url, "host:x": url}, own=own))
        assert b"unreadable" in asked(both)
        with HttpWire(both.urls, tls=both.tls) as wire, pytest.raises(TransportError) as caught:
            wire.exchange({TAX: FRAME, "host:x": FRAME})
        assert caught.value.party == "host:x"


def test_addresses_named_one_by_one_come_before_those_of_the_file(papers: Papers) -> None:
    file = papers.hosts_file({TAX: "https://old.example", "host:x": "https://x.example"}, shown=None)
    at = hosts_of({TAX: "https://new.example"}, file)
    assert at.urls == {TAX: "https://new.example", "host:x": "https://x.example"}
    assert set(at.tls) == {TAX, "host:x"}
    assert hosts_of({TAX: "http://here"}) == Hosts({TAX: "http://here"})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("hosts = {}", "hosts"),
        ('[hosts."host:x"]\nurl = "ftp://secret.example"', "hosts.host:x.url"),
        ('[hosts."host:x"]\nurl = "https://x"\npassword = "secret"', "hosts.host:x.password"),
        ('certificate = "secret.pem"\n[hosts."host:x"]\nurl = "https://x"', "certificate and key"),
        ("certificate = ", "TOMLDecodeError"),
        (None, "not there"),
    ],
)
def test_what_is_wrong_with_the_file_is_named_by_field(tmp_path: Path, text: str | None, named: str) -> None:
    file = tmp_path / "hosts.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        hosts_of({}, file)
    assert caught.value.code == "hosts_file"
    assert named in caught.value.english
    assert "secret" not in str(caught.value)


def test_papers_that_are_none_are_named(papers: Papers) -> None:
    papers.bank()
    good = (papers.folder / "bank.key").read_bytes()
    file = papers.hosts_file({TAX: "https://x.example"})
    locked = serialization.load_pem_private_key(good, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"words"),
    )
    papers.issued("other", papers.of_banks, "x.example")
    for broken in (b"no PEM", locked, (papers.folder / "other.key").read_bytes()):
        (papers.folder / "bank.key").write_bytes(broken)
        with pytest.raises(ConfigError) as caught:
            hosts_of({}, file)
        assert caught.value.code == "hosts_papers"
        assert "bank.key" in caught.value.english
    (papers.folder / "bank.key").write_bytes(good)
    (papers.folder / "hosts-ca.pem").unlink()
    with pytest.raises(ConfigError) as caught:
        hosts_of({}, file)
    assert "hosts-ca.pem" in caught.value.chinese
