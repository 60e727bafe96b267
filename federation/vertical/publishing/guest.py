"""Publishing, guest side: the first phase of two, in which every host makes its half ready or refuses.

The second phase is the bank's alone: it changes what it asks for. Every question names a half by its digest and hosts
keep answering for the halves of before, so there is no moment at which one party has switched and another has not, and
a bank that dies between the two phases still asks for the old ones.
"""

from __future__ import annotations

from collections.abc import Iterable

from federation.errors import PartyId
from federation.expect import expect
from federation.script import Script
from federation.vertical.publishing.messages import Prepare, Prepared, Retire, Retired
from models.bundle import JointModel
from models.joint import Joint


def prepare(model: Joint, *, shadow: bool = False) -> Script[None]:
    """Ask all hosts that scoring with ``model`` needs. Raises ``RemoteProtocolError``; ``run`` raises ``Refused`` for
    one that cannot or will not.

    Args:
        shadow: the model is to be on trial, and nobody told its scores.
    """
    kind = "trees" if isinstance(model, JointModel) else "scorecard"
    replies = yield {
        host: Prepare(model=kind, model_id=model.model_id, digest=model.host_digests[host], shadow=shadow)
        for host in model.needed_hosts
    }
    for host in model.needed_hosts:
        expect(replies, host, Prepared)


def retire(model: Joint, hosts: Iterable[PartyId]) -> Script[None]:
    """Tell ``hosts`` that ``model`` is out of use. Raises as ``prepare``."""
    asked = tuple(hosts)
    replies = yield {host: Retire(model_id=model.model_id, digest=model.host_digests[host]) for host in asked}
    for host in asked:
        expect(replies, host, Retired)
