"""Hub side of the control plane: one message per node opens the session; then it waits.

It sees no label, no key and no plaintext.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from federation.errors import PartyId, ProtocolError

#: Flower's own ``send_and_receive`` sleeps three seconds between polls.
POLL_SECONDS: Final = 0.1
#: How long nodes may take to connect.
NODES_SECONDS: Final = 60.0
#: How long the others may take to notice, through the relay, that a party has failed.
GRACE_SECONDS: Final = 30.0

Outcome = dict[str, str | int | float]


def make_server_app() -> ServerApp:
    """The app that opens one session and reports.

    Run config: ``parties`` (comma separated names), ``result`` (path of the report to write); everything but
    ``result`` is passed on to the nodes. The report is JSON: ``{party: {"code": "" or why it failed, ...}}``.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        parties = str(context.run_config["parties"]).split(",")
        settings = {key: value for key, value in context.run_config.items() if key != "result"}
        outcomes = _session(grid, parties, settings)
        Path(str(context.run_config["result"])).write_text(json.dumps(outcomes, ensure_ascii=False, indent=1))
        if failed := {party: outcome["code"] for party, outcome in outcomes.items() if outcome["code"]}:
            raise _session_failed(failed)

    return app


def _session(grid: Grid, parties: list[PartyId], settings: Mapping[str, str | int | float]) -> dict[PartyId, Outcome]:
    nodes = _nodes(grid, len(parties))
    if len(nodes) < len(parties):
        return {party: {"code": "party_absent"} for party in parties}
    # Every connected node is asked; one that is none of the parties says so and is left out.
    requests = [Message(RecordDict({"session": ConfigRecord(dict(settings))}), node, "train.session") for node in nodes]
    waiting = set(grid.push_messages(requests))
    outcomes: dict[PartyId, Outcome] = {}
    until = float("inf")
    while waiting and set(parties) - set(outcomes) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
        replies = list(grid.pull_messages(waiting))
        waiting -= {reply.metadata.reply_to_message_id for reply in replies}
        outcomes |= _read(replies, parties)
        if any(outcome["code"] for outcome in outcomes.values()):
            until = min(until, time.monotonic() + GRACE_SECONDS)
    return {party: outcomes.get(party, {"code": "no_reply"}) for party in parties}


def _nodes(grid: Grid, wanted: int) -> list[int]:
    until = time.monotonic() + NODES_SECONDS
    while len(nodes := list(grid.get_node_ids())) < wanted and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    return nodes


def _read(replies: Iterable[Message], parties: list[PartyId]) -> dict[PartyId, Outcome]:
    outcomes: dict[PartyId, Outcome] = {}
    for reply in replies:
        if reply.has_error():
            continue  # Flower lost the node, and nobody knows which party it was: it stays without a reply.
        answer = reply.content.config_records["answer"]
        if (party := str(answer["party"])) in parties:
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
