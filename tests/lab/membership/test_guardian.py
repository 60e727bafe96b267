"""A session that is killed: its parent answers for it, so that the Flower node is free for the next at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvicorn
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app.metadata import Metadata
from flwr.common.constant import ErrorCode
from flwr.common.serde import message_to_proto
from flwr.supercore.constant import TaskType
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeStateFactory

from lab.flower_programs import has_lost_executor
from lab.membership import bundle_approval, guardian

RUN, NODE = 7, 11

#: Our main, with a session of the test's and an answer that is printed.
GUARDED = """
import os, signal
from lab.membership import guardian
def session(writing):
    {session}
guardian._session = session
guardian.answer_for = lambda message: print("answered", message.decode(), flush=True)
guardian.main()
"""


def guarded(session: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", GUARDED.format(session=session)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[3]
    )


def test_a_session_that_is_killed_is_answered_for() -> None:
    done = guarded("os.write(writing, b'asked'); os.kill(os.getpid(), signal.SIGKILL)")
    assert (done.stdout, done.returncode) == ("answered asked\n", 137)
    assert "node_lost" in done.stderr


@pytest.mark.parametrize(
    ("session", "code"),
    [
        ("os.write(writing, b'asked'); os._exit(3)", 3),  # it has answered for itself
        ("os.write(writing, b'asked')", 0),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137),  # before there was anything to answer
    ],
)
def test_nobody_else_is(session: str, code: int) -> None:
    done = guarded(session)
    assert (done.stdout, done.returncode) == ("", code)


def test_the_dead_sessions_own_children_hold_nobody_up() -> None:
    """They have the pipe open on which it would have said what it works on."""
    session = "os.fork() and os.kill(os.getpid(), signal.SIGKILL); os.read(0, 1)"
    with subprocess.Popen(
        [sys.executable, "-c", GUARDED.format(session=session)], stdin=subprocess.PIPE, cwd=Path(__file__).parents[3]
    ) as guarding:
        assert guarding.wait(60) == 137
        guarding.stdin.close()  # type: ignore[union-attr]  # ends the child


@pytest.fixture
def node() -> Iterator[tuple[Any, str]]:
    """Flower's own node: its state, and where its sessions find it."""
    factory = NodeStateFactory(ObjectStoreFactory())
    factory.state().set_node_id(NODE)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(factory), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield factory.state(), f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


def asked_of(state: Any) -> tuple[Message, int, str]:
    """What a session is asked, its task at the node and the token for it."""
    about = Metadata(
        run_id=RUN,
        message_id="",
        src_node_id=1,
        dst_node_id=NODE,
        reply_to_message_id="",
        group_id="",
        created_at=time.time(),
        ttl=3600.0,
        message_type="train.session",
    )
    asked = Message(RecordDict({"session": ConfigRecord({"ticket": "secret"})}), metadata=about)
    asked.metadata.__dict__["_message_id"] = asked.object_id
    state.store_message(asked)
    task = state.create_task(task_type=TaskType.CLIENT_APP, run_id=RUN, fab_hash="f")
    token = state.claim_task(task)
    state.activate_task(task_id=task)
    return asked, task, token


def arguments(address: str, token: str) -> list[str]:
    return ["flwr-clientapp", "--runtime-api-address", address, "--token", token, "--insecure"]


def test_flowers_node_takes_the_answer_for_the_sessions(node: tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> None:
    state, address = node
    asked, task, token = asked_of(state)
    assert not state.get_messages_legacy(is_reply=True)
    list(state.get_messages_legacy(is_reply=False))
    state.record_message_processing_start(asked.metadata.message_id)

    monkeypatch.setattr(sys, "argv", arguments(address, token))
    guardian.answer_for(message_to_proto(asked).SerializeToString())
    (reply,) = state.get_messages_legacy(is_reply=True)
    assert reply.has_error()
    assert (reply.error.code, reply.error.reason) == (ErrorCode.CLIENT_APP_CRASHED, "node_lost")
    assert reply.metadata.reply_to_message_id == asked.metadata.message_id
    (ended,) = state.get_tasks(task_ids=[task])  # the node waits for it no longer
    assert (ended.status.status, ended.status.sub_status, ended.status.details) == ("finished", "failed", "node_lost")


def test_a_session_goes_on_without_the_parent_that_waited_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    went_on = []
    monkeypatch.setattr(bundle_approval, "run_program", lambda opened: went_on.append(opened(b"asked")))
    guardian._session(writing)
    os.close(writing)
    assert went_on


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
#: Flower's own program as a node of ours runs it, against Flower's own node.
BROKEN = """
import os, signal, sys
from importlib import import_module
from lab.membership.bundle_approval import run_program
def pull(_):
    {pull}
import_module("flwr.supernode.runtime.run_clientapp").pull_task_input = pull
sys.argv = {arguments}
run_program()
"""


@pytest.mark.parametrize(
    ("pull", "code"),
    [
        ("raise RuntimeError('no message')", 1),
        *((f"os.kill(os.getpid(), {int(n)}); signal.pause()", -n) for n in ENDING),
    ],
    ids=["it cannot read what is asked", *(n.name for n in ENDING)],
)
def test_a_session_that_ends_without_an_answer_ends_without_a_word(
    node: tuple[Any, str], tmp_path: Path, pull: str, code: int
) -> None:
    """A task that is said to have failed, without an answer, blocks Flower's node for ever; one that falls silent it
    gives up itself, and for one that died of a signal the guardian answers."""
    state, address = node
    _, task, token = asked_of(state)
    program = BROKEN.format(pull=pull, arguments=arguments(address, token))
    environment = {**os.environ, "FLWR_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert done.returncode == code
    assert code < 0 or "session_unread" in done.stderr
    (left,) = state.get_tasks(task_ids=[task])
    assert left.status.status == "running"


def test_a_node_whose_executor_died_is_known(tmp_path: Path) -> None:
    executor = tmp_path / "flower-superexec"
    executor.write_text("#!/bin/sh\nread end\n")
    executor.chmod(0o700)
    started = f"import subprocess,sys; p = subprocess.Popen([{str(executor)!r}], stdin=subprocess.PIPE); "
    node = subprocess.Popen(
        [sys.executable, "-c", started + "print(p.pid, flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert node.stdout
        child = psutil.Process(int(node.stdout.readline()))
        assert not has_lost_executor(node.pid)
        child.kill()
        waiting = threading.Event()
        while child.status() != psutil.STATUS_ZOMBIE:
            waiting.wait(0.02)
        assert has_lost_executor(node.pid)
    finally:
        node.kill()
        node.communicate()
    assert not has_lost_executor(node.pid)
