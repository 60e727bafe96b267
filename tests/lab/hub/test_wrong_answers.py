"""A host whose answers have the right form and the wrong length, through a real hub: found out, named, logged, sealed.

Everything is real (TLS, door, front, relay, seals, the parties' own code) but for Flower, whose part the test does.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from federation.alignment.messages import EvaluatedIds, Tokens
from federation.flower.client_app import _answer
from federation.messages import Message
from federation.vertical.boosting.messages import Chosen, Sums
from lab.config import parse_config
from lab.errors import ReportedError
from lab.membership.session import job_of, telling
from lab.node import HostPart, take_part
from lab.runs import train_run
from tests.lab.hub.harness import HubAtWork

SECONDS = 60.0
Trained = tuple[Callable[[], None], list[bytes]]


@contextmanager
def parties(hub: HubAtWork, nodes: dict[str, Path], session: Callable[[], dict[str, Any] | None]) -> Iterator[None]:
    """Each party's node takes part in the session that the hub opens, as its Flower node would have it do."""

    def part(party: str, told: dict[str, Any]) -> None:
        settings = {**told, "ticket": json.loads(told["tickets"])[party]}

        def session(party: str, settings: Mapping[str, object]) -> Mapping[str, Any]:
            with telling(nodes[party], settings):
                take_part(job_of(nodes[party], party, settings))
            return {}

        message: Any = SimpleNamespace(content=SimpleNamespace(config_records={"session": settings}))
        context: Any = SimpleNamespace(run_config={"parties": told["parties"]}, node_config={"party": party})
        _answer(session, message, context)

    def flower() -> None:
        waiting = threading.Event()
        while (told := session()) is None:
            if waiting.wait(0.02) or over.is_set():
                return
        at_work.extend(threading.Thread(target=part, args=(party, told)) for party in nodes)
        for thread in at_work:
            thread.start()

    over, at_work = threading.Event(), list[threading.Thread]()
    opening = threading.Thread(target=flower)
    opening.start()
    try:
        yield
    finally:
        over.set()
        opening.join()
        for thread in at_work:
            thread.join(SECONDS)
            assert not thread.is_alive()  # nobody is left waiting


@pytest.fixture
def trained(hub: HubAtWork, files: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """One training of a bank and host:tax through the hub, when called; and the frames that the relay sees."""
    nodes = {"bank": files / "nodes" / "bank", "host:tax": files / "nodes" / "tax"}
    for party, node in nodes.items():
        hub.joined(node, party)
    own = f'party = "host:tax"\ndata = "{files / "tax.csv"}"\ninsecure_allow_plaintext = true\n'
    (nodes["host:tax"] / "party.toml").write_text(own, "utf-8")
    frames: list[bytes] = []
    monkeypatch.setattr(hub.sessions.relay, "_tap", lambda _sender, _receiver, body: frames.append(body))

    def train() -> None:
        config = parse_config(
            {
                "run": {"directory": "runs/small", "party_seconds": 20, "answer_seconds": 30},
                "boosting": {"n_estimators": 1, "max_depth": 2, "max_bin": 8, "min_child_samples": 5},
                "cipher": {"name": "plain", "insecure_allow_plaintext": True},
                "guest": {"party": "bank", "data": "bank.csv", "label": "bad"},
                "hub": {"node": "nodes/bank", "hosts": ["host:tax"]},
            },
            files,
        )
        with parties(hub, nodes, lambda: hub.flower.started[0] if hub.flower.started else None):
            train_run(config, Console(quiet=True))

    return train, frames


def plain(frames: list[bytes]) -> list[bytes]:
    """What of a session stands in frames for the relay to read."""
    passed = b"".join(frames)
    return [word for word in (b"alignment.", b"boosting.", b"points", b"ciphertexts") if word in passed]


def test_honest_answers_make_a_model(trained: Trained, files: Path, hub: HubAtWork) -> None:
    train, frames = trained
    train()
    assert (files / "runs" / "small" / "result.json").exists()
    assert plain(frames) == []
    (run,) = hub.sessions.runs.values()
    assert (run.state, run.outcomes) == ("done", {"bank": {"code": ""}, "host:tax": {"code": ""}})


@pytest.mark.parametrize(
    ("kind", "field", "change"),
    [
        (EvaluatedIds, "points", lambda points: points[:-32]),
        (Tokens, "tokens", lambda tokens: tokens[:-1]),  # whole tokens less: a host with fewer rows, which it may be
        (Sums, "flags", lambda flags: flags + flags[-1:]),
        (Sums, "ciphertexts", lambda ciphertexts: ciphertexts[:-8]),
        (Sums, "ciphertexts", lambda ciphertexts: ciphertexts + ciphertexts[-8:]),
        (Chosen, "left", lambda left: left[:-1]),
        (Chosen, "handles", lambda handles: handles + handles[-1:]),
    ],
    ids=["a point less", "half a token", "a byte of flags more", "a sum less", "a sum more", "rows less", "a cut more"],
)
def test_an_answer_of_the_wrong_length_is_refused_named_and_logged(
    trained: Trained,
    files: Path,
    hub: HubAtWork,
    kind: type[Message],
    field: str,
    change: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer, changed = HostPart.answer, list[str]()

    def wrong(self: HostPart, request: Message) -> Message:
        reply = answer(self, request)
        value = getattr(reply, field, None)
        if isinstance(reply, kind) and value:
            changed.append(reply.kind)
            reply = replace(reply, **{field: change(value)})
        return reply

    monkeypatch.setattr(HostPart, "answer", wrong)
    with pytest.raises(ReportedError) as refused:
        trained[0]()
    assert changed
    assert trained[1]
    assert plain(trained[1]) == []
    assert refused.value.code in ("bad_value", "out_of_turn")
    assert "host:tax" in refused.value.english  # who
    assert "host:tax" in refused.value.chinese
    assert not (files / "runs" / "small").exists()
    (run,) = hub.sessions.runs.values()
    assert run.state == "failed"
    assert run.outcomes["bank"] == {"code": refused.value.code}
    assert run.outcomes["host:tax"]["code"] == "party_left"
    # The bank's log names the host, and the host's the bank, which left.
    said = [record.getMessage() for record in caplog.records]
    assert any("host:tax" in line and refused.value.code in line for line in said), said
    assert any("party_left" in line and "'host:tax': of 'bank'" in line for line in said)
