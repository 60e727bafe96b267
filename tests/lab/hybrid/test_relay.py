"""Every party over one link to a real relay, in threads of this process: the model of one process, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lab.failures import PartyJob
from lab.horizontal import runs
from lab.horizontal.config import parse_horizontal
from lab.horizontal.runs import train_over_sites
from lab.node import begin
from models.errors import LianmoError
from tests.lab.hybrid.cities import run_file, write_cities
from tests.lab.hybrid.test_federation import QUIET, trained


def in_threads(jobs: Sequence[PartyJob], **_: Any) -> dict[str, int | str]:
    """In the place of ``run_parties``."""

    def part(job: PartyJob) -> int | str:
        try:
            begin(job.directory / "job.json")
        except LianmoError as error:
            return error.exit_code
        return 0

    with ThreadPoolExecutor(len(jobs)) as pool:
        return dict(zip((job.party.party for job in jobs), pool.map(part, jobs), strict=True))


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "run_parties", in_threads)


def test_over_a_relay_they_train_the_model_of_one_process(tmp_path: Path) -> None:
    write_cities(tmp_path)
    assert trained(tmp_path, run_file("relay")) == trained(tmp_path, run_file("memory"))


def test_a_data_node_that_cannot_read_its_file_is_what_the_run_tells(tmp_path: Path) -> None:
    write_cities(tmp_path)
    (tmp_path / "credit-suzhou.csv").write_text("id,phone_bill_mean\na,\nb,\n")
    with pytest.raises(LianmoError, match=r"host:credit-suzhou.*phone_bill_mean") as caught:
        train_over_sites(parse_horizontal(run_file("relay"), tmp_path), QUIET)
    assert caught.value.code == "all_missing"
    assert not (tmp_path / "runs" / "relay").exists()


def test_a_bank_that_stays_out_is_named(tmp_path: Path) -> None:
    write_cities(tmp_path)
    told = run_file("relay")
    told["sites"][0]["min_rows"] = 5000
    with pytest.raises(LianmoError, match="minimum is 5000"):
        train_over_sites(parse_horizontal(told, tmp_path), QUIET)
