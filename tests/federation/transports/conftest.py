"""A hub for each test, which leaves no thread behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.federation.transports.hub import SECONDS, Hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    before = set(threading.enumerate())
    hub = Hub()
    yield hub
    hub.stop()
    ours = set(threading.enumerate()) - before
    for thread in ours:  # gRPC's own may need a moment.
        thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in ours)
