"""What sites sign in sums under a shared key."""

from __future__ import annotations

from collections.abc import Sequence

from federation.ciphers.suites.choice import suite
from federation.errors import PartyId
from federation.horizontal.aggregation.signing import statement
from federation.horizontal.aggregation.threshold.messages import Open


def opened(epoch: Open) -> bytes:
    """All that sites must have been told alike of an epoch."""
    return statement("threshold.epoch", epoch.session, epoch.epoch, epoch.sites, epoch.threshold, epoch.n_keys)


def secrets_context(epoch: Open, party: PartyId) -> bytes:
    """What a proof that a site knows the secrets it deals is bound to."""
    return statement("threshold.secrets", party) + opened(epoch)


def randomness_context(epoch: Open, turn: int, party: PartyId) -> bytes:
    """What a proof that a site knows the randomness of its ciphertexts is bound to."""
    return statement("threshold.randomness", turn, party) + opened(epoch)


def committed_statement(
    suite_name: str, epoch: Open, party: PartyId, sealing_key: bytes, commitments: bytes, proof: bytes
) -> bytes:
    """A site's commitments."""
    digest = suite(suite_name).digest(commitments + proof)
    return statement("threshold.committed", party, sealing_key.hex(), digest.hex()) + opened(epoch)


def keys_statement(suite_name: str, epoch: Open, parties: Sequence[PartyId], keys: bytes) -> bytes:
    """Joint public keys, and whose secrets they are the sum of."""
    return statement("threshold.keys", list(parties), suite(suite_name).digest(keys).hex()) + opened(epoch)


def contribution_statement(suite_name: str, epoch: Open, turn: int, party: PartyId, randomness: bytes) -> bytes:
    """A site's ciphertexts of one sum, by their points of randomness: what is opened is a sum of these."""
    return statement("threshold.contribution", turn, party, suite(suite_name).digest(randomness).hex()) + opened(epoch)
