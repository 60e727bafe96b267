"""What the relay counts, as Prometheus reads it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from federation.errors import TransportError
from federation.transports.metrics import RelayMetrics
from tests.federation.transports.hub import SECONDS, Hub


def read(metrics: RelayMetrics) -> dict[tuple[str, str], float]:
    """(name, label) → value, by Prometheus's own parser."""
    return {
        (sample.name.removeprefix("lianmo_relay_"), "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.text())
        for sample in family.samples
    }


def test_sessions_parties_frames_bytes_and_queues_are_counted(hub: Hub) -> None:
    metrics = hub.relay.metrics
    assert read(metrics)["sessions", ""] == 1
    with hub.link("bank") as bank, hub.link("host:tax") as tax:
        tax.send("bank", b"reply")
        bank.receive(SECONDS)
        bank.send("host:电信", b"not here yet")  # waits at the relay
        bank.send("host:tax", b"go")
        tax.receive(SECONDS)  # so what the bank sent before is there
        found = read(metrics)
        assert found["parties", ""] == 2
        assert (found["frames_total", "host:tax"], found["bytes_total", "host:tax"]) == (1, 8 + 5)
        assert found["frames_total", "bank"] == 2
        assert found["queue_bytes", ""] >= 8 + 12
    hub.relay.close_session("loans")
    found = read(metrics)
    assert (found["sessions", ""], found["parties", ""], found["queue_bytes", ""]) == (0, 0, 0)


def test_refusals_are_counted_by_code_and_logged_without_tickets(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    attempts = [
        ("bank", "ticket-of-mallory", "loans"),
        ("mallory\n" + "y" * 500, "t", "loans"),
        ("bank", "t", "x" * 500),
    ]
    for party, ticket, session in attempts:
        with pytest.raises(TransportError), hub.link(party, ticket, session):
            pass
    found = read(hub.relay.metrics)
    codes = ("wrong_ticket", "not_a_party", "session_unknown")
    assert [found["refusals_total", code] for code in codes] == [1, 1, 1]
    relay = [r.getMessage() for r in caplog.records if r.name == "lianmo.relay"]
    links = [r.getMessage() for r in caplog.records if r.name == "lianmo.link"]
    for lines in (relay, links):
        assert [line.partition(":")[0] for line in lines] == list(codes)
    assert "ticket-of-mallory" not in caplog.text
    assert all("\n" not in line for line in relay + links)
    assert max(map(len, relay)) < 200  # names from outside are cut short


def test_a_scrape_is_answered(hub: Hub) -> None:
    async def scrape() -> Any:
        transport = httpx.ASGITransport(app=hub.relay.metrics.app())
        async with httpx.AsyncClient(transport=transport, base_url="http://hub") as session:
            return await session.get("/metrics")

    answer = asyncio.run(scrape())
    assert answer.status_code == 200
    assert "lianmo_relay_sessions 1.0" in answer.text
