"""Node side of the control plane: one ``train.session`` message runs one party's whole session."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from federation.errors import LocalProtocolError, PartyId
from models.errors import LianmoError

#: Runs one party's session and returns a summary that may leave the node: counts and names, no secrets.
#: Called with the party's name and the session's settings as the ServerApp sent them.
RunSession = Callable[[PartyId, Mapping[str, object]], Mapping[str, str | int | float | bytes]]

_log = logging.getLogger(__name__)


def make_client_app(run_session: RunSession) -> ClientApp:
    """The app of a node whose sessions ``run_session`` runs; the handler returns when the session is over."""
    app = ClientApp()

    @app.train("session")
    def session(message: Message, context: Context) -> Message:
        answer = _answer(run_session, message, context)
        return Message(RecordDict({"answer": ConfigRecord(dict(answer))}), reply_to=message)

    return app


def role(context: Context) -> PartyId:
    """Which party this node is.

    Deployment: what the node's operator registered (``--node-config 'party="bank"'``). Simulation
    knows only a number: it indexes the run's comma separated ``parties``.

    Raises:
        LocalProtocolError: "no_role"; the node has no name, or the run does not list it.
    """
    parties = str(context.run_config.get("parties", "")).split(",")
    named = context.node_config.get("party")
    number = int(context.node_config.get("partition-id", -1))
    if named is None and 0 <= number < len(parties):
        named = parties[number]
    if named not in parties:
        raise LocalProtocolError(
            "no_role",
            "This node is not one of the run's parties. Start it with --node-config 'party=\"NAME\"'.",
            "本节点不在本次运行的参与方之列。请以 --node-config 'party=\"名称\"' 启动。",
        )
    return str(named)


def _answer(run_session: RunSession, message: Message, context: Context) -> Mapping[str, str | int | float | bytes]:
    """The summary with the party's name and code "" for success; of a failure the code alone leaves the node.

    Flower would send the text of an exception to the server, so none may get out of here.
    """
    party = ""
    try:
        party = role(context)
        return {**run_session(party, message.content.config_records["session"]), "party": party, "code": ""}
    except LianmoError as error:
        _log.error("The session ended with %s: %s", error.code, error)
        return {"party": party, "code": error.code}
    except Exception as error:
        where = "".join(traceback.format_tb(error.__traceback__))  # the text of the error may hold values
        _log.error("The session ended with an unexpected %s\n%s", type(error).__name__, where)
        return {"party": party, "code": "internal"}
