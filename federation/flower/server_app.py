"""Hub side of the control plane: one message per node opens the session; then it waits.

It sees no label, no key and no plaintext.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from federation.errors import PartyId, ProtocolError

#: Flower's own ``send_and_receive`` sleeps three seconds between polls.
POLL_SECONDS: Final = 0.1
#: How long nodes may take to connect.
NODES_SECONDS: Final = 60.0
#: How long the others may take to notice, through the relay, that a party has failed.
GRACE_SECONDS: Final = 10.0

#: Why a node did not even begin.
UNKNOWN_BUNDLE: Final = "unknown_bundle"

Outcome = dict[str, str | int | float]


def make_server_app() -> ServerApp:
    """The app that opens one session and reports.

    Run config: ``parties`` (comma separated names), ``result`` (path of the report to write); ``nodes`` (JSON, party →
    Flower's number of the node that was registered for it) and ``tickets`` (JSON, party → its ticket), empty in a
    simulation, where any node may be any party; ``lead``: the party whose end is the run's, while others may be lost;
    empty: all are needed. Everything else is passed on to the nodes, to each its own ticket.
    The report is JSON: ``{party: {"code": "" or why it failed, ...}}``.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        config = dict(context.run_config)
        parties = str(config["parties"]).split(",")
        result = Path(str(config.pop("result")))
        registered = json.loads(str(config.pop("nodes", "")) or "{}")
        tickets = json.loads(str(config.pop("tickets", "")) or "{}")
        needed = [str(config.pop("lead", ""))] if config.get("lead") else parties
        known = {int(node): party for party, node in registered.items()}
        outcomes = _session(grid, parties, known, tickets, config, needed)
        whole = result.with_suffix(".partial")  # whoever waits for the report reads it whole
        whole.write_text(json.dumps(outcomes, ensure_ascii=False, indent=1), encoding="utf-8")
        whole.replace(result)
        if failed := {party: outcomes[party]["code"] for party in needed if outcomes[party]["code"]}:
            raise _session_failed(failed)

    return app


def _session(
    grid: Grid,
    parties: list[PartyId],
    registered: Mapping[int, PartyId],
    tickets: Mapping[PartyId, str],
    settings: Mapping[str, Any],
    needed: list[PartyId],
) -> dict[PartyId, Outcome]:
    nodes = _nodes(grid, len(parties), registered)
    if len(nodes) < len(parties):
        there = {registered[node] for node in nodes if node in registered}
        return {party: {"code": "" if party in there else "party_absent"} for party in parties}
    # Of a simulation every node is asked; one that is none of the parties says so and is left out.
    requests = []
    for node in nodes:
        own = {"ticket": tickets[registered[node]]} if node in registered else {}
        requests.append(Message(RecordDict({"session": ConfigRecord({**settings, **own})}), node, "train.session"))
    waiting = set(grid.push_messages(requests))
    outcomes: dict[PartyId, Outcome] = {}
    until = float("inf")
    while waiting and set(parties) - set(outcomes) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
        replies = list(grid.pull_messages(waiting))
        waiting -= {reply.metadata.reply_to_message_id for reply in replies}
        outcomes |= _read(replies, parties, registered)
        ended = [outcomes[party]["code"] for party in needed if party in outcomes]
        if any(ended) or (needed != parties and len(ended) == len(needed)):
            until = min(until, time.monotonic() + GRACE_SECONDS)
    return {party: outcomes.get(party, {"code": "no_reply"}) for party in parties}


def _nodes(grid: Grid, wanted: int, registered: Mapping[int, PartyId]) -> list[int]:
    """The nodes that were registered for the parties, or, of a simulation, all; once they are there, or too late."""
    until = time.monotonic() + NODES_SECONDS
    while True:
        nodes = [node for node in grid.get_node_ids() if not registered or node in registered]
        if len(nodes) >= wanted or time.monotonic() >= until:
            return nodes
        time.sleep(POLL_SECONDS)


def _read(
    replies: Iterable[Message], parties: list[PartyId], registered: Mapping[int, PartyId]
) -> dict[PartyId, Outcome]:
    """Who a node is, its registered key says; only in a simulation does it say so itself."""
    outcomes: dict[PartyId, Outcome] = {}
    for reply in replies:
        known = registered.get(reply.metadata.src_node_id)
        if reply.has_error():
            if known:
                # The one text that is ours: of a node that will not run the code it was sent.
                refused = UNKNOWN_BUNDLE in (reply.error.reason or "")
                outcomes[known] = {"code": UNKNOWN_BUNDLE if refused else "node_lost"}
            continue  # of a simulation nobody knows which party it was: it stays without a reply
        answer = reply.content.config_records["answer"]
        if (party := known or str(answer["party"])) in parties:
            outcomes[party] = {
                key: value for key, value in answer.items() if key != "party" and isinstance(value, str | int | float)
            }
    return outcomes


def _session_failed(codes: Mapping[PartyId, object]) -> ProtocolError:
    listed = ", ".join(f"{party} [{code}]" for party, code in codes.items())
    return ProtocolError(
        "session_failed",
        f"The session failed: {listed}. Each party's own log says why.",
        f"会话失败：{listed}。原因见各方本地日志。",
    )


app = make_server_app()
