from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.hub.harness import HubAtWork, hub_at_work


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubAtWork]:
    with hub_at_work(tmp_path / "hub") as at_work:
        yield at_work
