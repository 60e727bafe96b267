"""Where a party's encrypted work runs: processes of this machine, or the party's own Ray or Dask cluster (ADR 0012).

``federation.ciphers.workers`` hands work to joblib's active backend; this opens the backend the operator chose. The
party's secret key travels to its workers: a cluster must be the party's own.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import Any, Final

from joblib import parallel_config

from lab.config_sections import Workers
from lab.errors import ConfigError, ServiceError
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="random generator of the operating system",
        purpose="token of a party's own Ray",
        purpose_zh="本方 Ray 集群的令牌",
        standard="Linux getrandom(2)",
        library="secrets",
    ),
)

#: Nothing is reported to Ray's makers, and no advice about accelerators is printed.
QUIET: Final = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@contextmanager
def party_workers(kind: Workers, n_jobs: int) -> Iterator[None]:
    """In the block, joblib work of this thread runs on the chosen workers; what was started here ends with it.

    Args:
        kind: "loky": processes of this machine; "ray": the cluster at ``RAY_ADDRESS``, or the one this process is
            already joined to; "dask": the cluster of Dask's own configuration (``DASK_SCHEDULER_ADDRESS``). Without
            an address Ray and Dask start workers on this machine.
        n_jobs: processes; -1: all cores. A Dask cluster is always used whole.

    Raises:
        ConfigError: ``distributed`` is not installed, or Ray has fewer cores than ``n_jobs``.
        ServiceError: the cluster cannot be reached.
    """
    with _OPENERS[kind](n_jobs) as chosen, parallel_config(**chosen):
        yield


@contextmanager
def _loky(n_jobs: int) -> Iterator[dict[str, Any]]:
    yield {"backend": "loky", "n_jobs": n_jobs}


@contextmanager
def _ray(n_jobs: int) -> Iterator[dict[str, Any]]:
    ours = _join_ray(n_jobs)
    ray: Any = import_module("ray")

    try:
        n_cores = int(ray.cluster_resources().get("CPU", 0))
        if n_jobs > n_cores:
            raise ConfigError(
                "workers_too_few",
                f"run.n_jobs is {n_jobs}, and the Ray cluster has {n_cores} cores: lower it, or -1 for all of them.",
                f"run.n_jobs 为 {n_jobs}，而 Ray 集群只有 {n_cores} 个核：请调低，或设为 -1 以使用全部。",
            )
        with _kept_pool() as backend:
            yield {"backend": backend, "n_jobs": n_cores if n_jobs == -1 else n_jobs}
    finally:
        if ours:
            ray.shutdown()


def _join_ray(n_jobs: int) -> bool:
    """Join a cluster unless this process is in one, as under Flower's simulation; whether we did."""
    os.environ |= QUIET
    address = os.environ.get("RAY_ADDRESS") or "local"  # never what happens to run here, as Ray would by itself
    if "ray" not in sys.modules and address == "local" and "RAY_AUTH_MODE" not in os.environ:
        # Ray's ports are open to the network and whoever reaches one runs code here: ask for a token, which Ray reads
        # when it is imported.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    import ray

    if ray.is_initialized():
        return False
    own: dict[str, Any] = {}
    if address == "local":
        own = {"num_cpus": None if n_jobs == -1 else n_jobs, "include_dashboard": False}
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, **own)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise _unreachable("Ray", "RAY_ADDRESS", address, error) from error
    return True


def _knock(address: str) -> None:
    """Raises ``OSError`` at once where nobody listens: Ray itself tries for minutes."""
    host, colon, port = address.rpartition(":")
    if colon:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


@contextmanager
def _kept_pool() -> Iterator[Any]:
    """Ray's joblib backend with one pool for the whole block: as it comes, it starts new processes for every call."""
    from ray.util.joblib.ray_backend import RayBackend

    class KeptPool(RayBackend):
        def configure(self, n_jobs: int = 1, parallel: Any = None, *others: Any, **arguments: Any) -> int:
            if self._pool is None:
                return int(super().configure(n_jobs, parallel, *others, **arguments))
            self.parallel = parallel
            return n_jobs

        def terminate(self) -> None:
            """After a call: forget its arguments, which the pool holds in the cluster's memory."""
            if self._pool is not None:
                self._pool._registry.clear()
                self._pool._registry_hashable.clear()

        def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: ARG002
            """After a failure: work may still run; the next call starts a new pool."""
            super().terminate()

    backend = KeptPool()
    try:
        yield backend
    finally:
        backend.abort_everything()


@contextmanager
def _dask(n_jobs: int) -> Iterator[dict[str, Any]]:
    try:
        distributed = import_module("distributed")
    except ImportError as error:
        raise ConfigError(
            "dask_missing",
            'run.workers = "dask" needs the package distributed: pip install distributed, here and on every worker.',
            'run.workers = "dask" 需要 distributed 包：请在本机及每台工作机上执行 pip install distributed。',
        ) from error
    address = import_module("dask.config").get("scheduler-address", None)
    own = {"n_workers": None if n_jobs == -1 else n_jobs, "threads_per_worker": 1, "dashboard_address": None}
    try:
        cluster = distributed.Client(**({} if address else own))
    except (OSError, ValueError) as error:
        raise _unreachable("Dask", "DASK_SCHEDULER_ADDRESS", address, error) from error
    with cluster:
        yield {"backend": "dask", "client": cluster, "n_jobs": -1}


_OPENERS: Final[dict[Workers, Callable[[int], AbstractContextManager[dict[str, Any]]]]] = {
    "loky": _loky,
    "ray": _ray,
    "dask": _dask,
}


def _unreachable(name: str, variable: str, address: str | None, error: Exception) -> ServiceError:
    kind = type(error).__name__
    return ServiceError(
        "workers_unreachable",
        f"No {name} cluster lets us in at {address} ({kind}): start it, or correct {variable}, token and certificates.",
        f"无法加入 {address} 处的 {name} 集群（{kind}）：请启动集群，或更正 {variable}、令牌与证书。",
    )
