"""Flower's entry into a party's part (``lab.node``); who works without Flower does not load it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from federation.errors import PartyId
from federation.flower.client_app import make_client_app
from lab.horizontal.membership import site_job_of
from lab.horizontal.party import take_part as take_part_of_sites
from lab.jobs import node_directory
from lab.membership.session import NODE_VARIABLE, job_of, telling
from lab.node import begin, take_part


def _run_session(party: PartyId, settings: Mapping[str, object]) -> Mapping[str, str | int | float | bytes]:
    """Of a node of its own nothing but a code leaves it this way: the hub is no party. In a simulation all parties'
    jobs lie below ``settings["jobs"]``."""
    if node := os.environ.get(NODE_VARIABLE):
        with telling(Path(node), settings):
            found = site_job_of(Path(node), party, settings)
            take_part_of_sites(found) if found else take_part(job_of(Path(node), party, settings))
        return {}
    told = begin(node_directory(Path(str(settings["jobs"])), party) / "job.json")
    return {name: value for name, value in told.items() if isinstance(value, int | float | str)}


app = make_client_app(_run_session)
