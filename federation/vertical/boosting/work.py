"""What a host works with in joint boosting: the terms it accepts, and what follows from them and its own table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from federation.ciphers.interface import PublicCipher
from federation.ciphers.packing import PairPacking
from federation.ciphers.suite import public_cipher
from federation.policy import HostPolicy
from federation.responder import bad_value
from federation.vertical.boosting.messages import Open
from federation.vertical.boosting.state import BoostingState
from models.binning import MAX_BINS, Codes, FeatureBins, encode, fit_bins
from models.boosting.derivatives import DERIVATIVE_BITS
from models.boosting.grouping import Grouping, group_features
from models.boosting.parameters import LEAVES
from models.boosting.splits import Candidates, Directions, directions_of
from models.bundle import Half
from models.losses import Integers
from models.table import Table


def check_terms(m: Open, n_rows: int, policy: HostPolicy) -> PublicCipher:
    """The run's cipher, if a host with so many rows may accept these terms.

    Raises:
        LocalProtocolError: ``bad_value``, or ``too_few_rows`` for the policy.
        CipherError: a key or cipher that the policy does not accept.
    """
    if m.n_rows != n_rows or not 0 < m.n_fit <= m.n_rows:
        raise bad_value("row counts", "行数")
    policy.check_rows(m.n_fit)
    cipher = public_cipher(m.cipher, m.key, policy.cipher)
    if not 1 <= m.value_bits <= DERIVATIVE_BITS:
        raise bad_value("bits of a derivative", "导数位数")
    proven = PairPacking.for_rows(m.n_fit, m.value_bits, cipher.plaintext_bits)
    if (m.slot, m.pairs) != (proven.slot, proven.pairs):
        raise bad_value("layout of packed sums", "打包布局")
    if not 2 <= m.max_bin <= MAX_BINS or min(m.n_estimators, m.max_depth, m.max_cat_to_onehot) < 1:
        raise bad_value("parameters", "参数")
    if not 0.0 < m.feature_fraction <= 1.0 or min(m.min_child_samples, m.random_state) < 0:
        raise bad_value("parameters", "参数")
    if m.num_leaves not in LEAVES or not 0 <= m.first_tree < m.n_estimators:
        raise bad_value("parameters", "参数")
    return cipher


@dataclass(frozen=True, slots=True)
class Work:
    """What follows from the state and the table, rebuilt whenever it is absent.

    Attributes:
        categories: of each candidate, as ``Candidates.categories`` has it.
    """

    cipher: PublicCipher
    packing: PairPacking
    bins: tuple[FeatureBins, ...]
    codes: Codes
    candidates: Candidates
    categories: Integers
    directions: Directions
    grouping: Grouping


def build(state: BoostingState, cipher: PublicCipher, table: Table, policy: HostPolicy, earlier: Half | None) -> Work:
    """Bins from the rows to fit, or those of the ``earlier`` half that trees are added to.

    Raises:
        DataError: ``monotone_constraints``, ``bins_do_not_fit``.
        ModelError: ``missing_columns``, ``wrong_column_type`` for the earlier half.
    """
    if earlier:
        bins, codes = earlier.bins, earlier.codes(table, state.n_fit)
    else:
        bins = fit_bins(table.take(np.arange(state.n_fit)), state.max_bin, policy.min_rows_per_bin)
        codes = encode(table, bins)
    candidates = Candidates(bins)
    directions = directions_of(candidates, policy.monotone_constraints)
    grouping = group_features(codes[:, : state.n_fit], tuple(b.n_bins for b in bins))
    categories = candidates.categories(
        state.max_cat_to_onehot if policy.share_levels else MAX_BINS + 2
    )  # more than any has
    return Work(cipher, PairPacking(state.slot, state.pairs), bins, codes, candidates, categories, directions, grouping)
