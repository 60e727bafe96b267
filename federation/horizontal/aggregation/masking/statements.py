"""What sites sign in masked sums."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from federation.errors import PartyId
from federation.horizontal.aggregation.masking.messages import Open
from federation.horizontal.aggregation.signing import statement


@lru_cache(maxsize=16)  # of the same batch, in every sum
def opened(batch: Open) -> bytes:
    """All that sites must have been told alike of a batch."""
    return statement("masking.batch", batch.session, batch.batch, batch.sites, batch.threshold, batch.n_turns)


def key_statement(batch: Open, party: PartyId, sealing_key: bytes) -> bytes:
    """A site's public key of a batch."""
    return statement("masking.key", party, sealing_key.hex()) + opened(batch)


def contributors_statement(batch: Open, turn: int, parties: Sequence[PartyId]) -> bytes:
    """Whose vectors are in a sum (Bonawitz et al. 2017, figure 4, round 3)."""
    return statement("masking.contributors", turn, list(parties)) + opened(batch)
