"""The process of a session has a parent of ours that waits for it, and answers for it if it is killed.

Without, Flower's node notices the death when it has heard nothing for a minute, and takes no other work until then. The
parent is small and does nothing else; should it be killed itself, the session goes on without.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Final

log = logging.getLogger("lianmo.node")

#: How often the node is told of a death, should it not take the call.
_TRIES: Final = 3
_MOST_BYTES: Final = 64 * 1024


def main() -> None:
    """Flower's ``flwr-clientapp``, guarded. Ends with the session's exit code, 128 + signal if it was killed."""
    reading, writing = os.pipe()
    child = os.fork()  # before any thread is started
    if not child:
        os.close(reading)
        _session(writing)
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        sys.exit(os.waitstatus_to_exitcode(status))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    log.error("node_lost: the process of the session was killed (signal %d). 会话进程被终止。", os.WTERMSIG(status))
    os.set_blocking(reading, False)  # its own children may hold the other end open
    try:
        noted = os.read(reading, _MOST_BYTES)
    except BlockingIOError:
        noted = b""
    if noted:
        answer_for(noted)
    sys.exit(128 + os.WTERMSIG(status))


def _session(writing: int) -> None:
    from lab.membership.bundle_approval import run_program

    def opened(message: bytes) -> None:
        with suppress(BrokenPipeError):  # nobody waits for it any more
            os.write(writing, message)  # some hundred bytes: a pipe holds them until they are read

    run_program(opened)


def answer_for(message: bytes) -> None:
    """Tell our Flower node, in the place of a session that was killed, that it has failed. ``message``: as
    ``run_program`` tells it."""
    from flwr.app import Error, Message
    from flwr.common.args import try_obtain_flwr_app_token
    from flwr.common.constant import ErrorCode, SubStatus
    from flwr.common.serde import message_from_proto
    from flwr.proto.message_pb2 import Message as MessageProto
    from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, RuntimeVersionHttpInterceptor
    from flwr.supercore.retry import make_simple_http_retry_invoker
    from flwr.supercore.runtime import RuntimeHttpClient
    from flwr.supercore.tls import validate_and_resolve_root_certificates
    from flwr.supernode.cli.flwr_clientapp import _parse_args_run_flwr_clientapp
    from flwr.supernode.runtime.run_clientapp import push_message, push_task_output

    told = _parse_args_run_flwr_clientapp().parse_args()
    retry = make_simple_http_retry_invoker()
    retry.max_tries = _TRIES
    flower_node = RuntimeHttpClient.from_server_address(
        server_address=told.runtime_api_address,
        insecure=told.insecure,
        root_certificates=validate_and_resolve_root_certificates(told.root_certificates, told.insecure),
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"),
            RuntimeTokenHttpInterceptor(try_obtain_flwr_app_token(told)),
        ],
        retry_invoker=retry,
    )
    asked = message_from_proto(MessageProto.FromString(message))
    reply = Message(Error(ErrorCode.CLIENT_APP_CRASHED, "node_lost"), reply_to=asked)
    where: Any = SimpleNamespace(node_id=asked.metadata.dst_node_id, run_id=asked.metadata.run_id)
    push_message(flower_node, reply, where)
    push_task_output(client=flower_node, context=None, sub_status=SubStatus.FAILED, details="node_lost")
    flower_node.close()
