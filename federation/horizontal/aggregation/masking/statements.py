"""What sites sign in masked sums."""

from __future__ import annotations

from collections.abc import Sequence

from federation.ciphers.suites.choice import suite
from federation.errors import PartyId
from federation.horizontal.aggregation.masking.messages import Open
from federation.horizontal.aggregation.signing import statement


def opened(batch: Open) -> bytes:
    """All that sites must have been told alike of a batch."""
    return statement("masking.batch", batch.session, batch.batch, batch.sites, batch.threshold, batch.n_turns)


def keys_statement(suite_name: str, batch: Open, party: PartyId, sealing_key: bytes, mask_keys: bytes) -> bytes:
    """A site's public keys of a batch."""
    digest = suite(suite_name).digest(mask_keys)
    return statement("masking.keys", party, sealing_key.hex(), digest.hex()) + opened(batch)


def contributors_statement(batch: Open, turn: int, parties: Sequence[PartyId]) -> bytes:
    """Whose vectors are in a sum (Bonawitz et al. 2017, figure 4, round 3)."""
    return statement("masking.contributors", turn, list(parties)) + opened(batch)
