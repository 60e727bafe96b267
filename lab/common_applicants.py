"""A bank's part in a session that only aligns: which of its applicants all parties know, before anything is trained."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd

from federation.alignment.guest import find_common
from federation.disclosure import Transcript
from federation.messages import Goodbye
from federation.script import Script, Wire, run
from lab.data.sources import read_labelled
from lab.jobs import GuestJob
from lab.progress import Event, file_reporter
from models.bundle import save
from models.table import Table


def lead_alignment(job: GuestJob, wire: Wire) -> dict[str, Any]:
    """Find the common applicants and keep their ids, sorted, in ``common.csv`` of the bank's own folder.

    Hosts are told of no row: they learn how many identifiers were asked for.
    """
    started = time.perf_counter()
    file_reporter(job.directory / "progress.jsonl")(Event(stage="alignment"))
    table, *_ = read_labelled(job.party, job.split.time_column)
    transcript = Transcript(job.party.party)
    ids = run(_common(job, table), wire, transcript)
    pd.DataFrame({"id": ids}).to_csv(job.directory / "common.csv", index=False)
    outcome = {
        "common": len(ids),
        "bytes": transcript.traffic(),
        "disclosures": transcript.disclosures(),
        "seconds": time.perf_counter() - started,
    }
    save(job.directory / "outcome.json", outcome)
    return {"common": len(ids), "seconds": outcome["seconds"]}


def _common(job: GuestJob, table: Table) -> Script[list[str]]:
    positions = yield from find_common(table.ids, job.hosts)
    yield {host: Goodbye(code="") for host in job.hosts}
    everywhere = np.logical_and.reduce([p >= 0 for p in positions.values()])
    return sorted(table.ids[row] for row in np.flatnonzero(everywhere))
