"""Flower's SuperLink beside the hub, on loopback, and what the hub asks of it through Flower's own command line.

Its control API has no authentication of its own, so nothing outside this machine reaches it: the front forwards the
calls of nodes only (``lab.hub.front``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from lab.errors import ServiceError
from lab.flower_programs import (
    beside_loopback,
    end_left,
    environment,
    free_port,
    has_lost_executor,
    program,
    stopping,
    write_home,
    write_run_config,
)
from lab.hub.settings import paths_of

_START_SECONDS: Final = 60.0
_ATTEMPTS: Final = 3
_CALL_SECONDS: Final = 60.0


@dataclass(slots=True)
class SuperLink:
    """``folder``: the hub's. Use ``running`` around everything else."""

    folder: Path
    port: int = 0
    variables: dict[str, str] = field(default_factory=dict, repr=False)
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def home(self) -> Path:
        """Flower's home."""
        return self.folder.resolve() / "flower"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Start it; on the way out stop it and whatever it started.

        Raises:
            ServiceError: ``flower_missing``; ``superlink_start`` if it does not come up.
        """
        self.variables = beside_loopback(environment(self.home))
        authority = self.folder.resolve() / "authority.pem"
        end_left(self.home)  # of a hub that was killed
        with stopping(self.home):
            for _ in range(_ATTEMPTS):  # somebody may take the free port before we do
                self.port = free_port()
                write_home(self.home, {"address": self.address, "root-certificates": str(authority)})
                self.start()
                if self._answers():
                    break
            else:
                raise ServiceError(
                    "superlink_start",
                    f"Flower's SuperLink did not start: see {self.folder / 'superlink.log'}.",
                    f"Flower SuperLink 未能启动，详见 {self.folder / 'superlink.log'}。",
                )
            yield

    def start(self) -> None:
        """Once more, after its death: what it knew lies in its database."""
        self.starts += 1
        certificate, key, authority = (str(path.resolve()) for path in paths_of(self.folder))
        command = [
            *(program("flower-superlink"), "--host", "127.0.0.1", "--port", str(self.port)),
            *("--ssl-certfile", certificate, "--ssl-keyfile", key, "--ssl-ca-certfile", authority),
            *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
            *("--database", str(self.home / "superlink.db")),
        ]
        with (self.folder / "superlink.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603
                command,
                cwd=self.home,  # Flower imports from where it stands.
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def died(self) -> bool:
        """Whether it has ended by itself, or can start no run any more, and was ended."""
        if self.process and self.process.poll() is None and has_lost_executor(self.process.pid):
            self.process.kill()
            self.process.wait()
        return self.process is not None and self.process.poll() is not None

    async def register(self, node_key: Path) -> str:
        """Let the Flower node with that public key (a file, SSH form) in; Flower's number of it, decimal."""
        return str((await self._call("supernode", "register", str(node_key), "hub"))["node-id"])

    async def unregister(self, node: str) -> None:
        """Let it in no more. Unknown ones are no error."""
        with contextlib.suppress(ServiceError):
            await self._call("supernode", "unregister", node, "hub")

    async def start_run(self, settings: dict[str, str | int], config: Path) -> str:
        """Submit our app with these settings; Flower's number of the run."""
        write_run_config(config, settings)
        await self._up()
        return str((await self._call("run", str(self.home / "app"), "hub", "--run-config", str(config)))["run-id"])

    async def is_over(self, run: str) -> bool:
        """Whether Flower has finished it, one way or the other."""
        runs = (await self._call("list", "hub", "--run-id", run))["runs"]
        return all(str(found["status"]).startswith("finished") for found in runs)

    async def stop_run(self, run: str) -> None:
        """One that is over is no error."""
        with contextlib.suppress(ServiceError):
            await self._call("stop", run, "hub")

    async def _call(self, *arguments: str) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            program("flwr"),
            *arguments,
            "--format",
            "json",
            cwd=self.home,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), _CALL_SECONDS)
            answer: dict[str, Any] = json.loads(output)
        except (TimeoutError, ValueError) as error:
            raise _failed(arguments[0]) from error
        finally:
            if process.returncode is None:  # it takes too long, or nobody waits for it any more
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if not answer.get("success"):
            raise _failed(arguments[0])
        return answer

    async def _up(self) -> None:
        """Wait while it is being started again. What it then does not do, the call itself says."""
        until = time.monotonic() + _START_SECONDS
        while not await asyncio.to_thread(self._answers) and time.monotonic() < until:
            await asyncio.sleep(0.5)

    def _answers(self) -> bool:
        """Wait until it does, or until it has ended, or for too long."""
        with httpx.Client(verify=False, trust_env=False) as http:  # noqa: S501 - our own child on loopback
            until = time.monotonic() + _START_SECONDS
            while not self.died() and time.monotonic() < until:
                try:
                    http.get(f"https://{self.address}/health", timeout=1.0)
                except httpx.HTTPError:
                    time.sleep(0.1)
                else:
                    return True
        return False


def _failed(what: str) -> ServiceError:
    return ServiceError(
        "superlink_call",
        f"Flower's SuperLink did not do what it was asked (flwr {what}): see superlink.log in the hub's folder.",
        f"Flower SuperLink 未能完成请求（flwr {what}），详见枢纽目录中的 superlink.log。",
    )
