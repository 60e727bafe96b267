"""Our own vectors: what they are made of, and the script that writes them (after a deliberate change of format)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import federation.audit.messages as audit
import federation.horizontal.aggregation.masking.messages as masking
import federation.horizontal.aggregation.threshold.messages as threshold
import federation.horizontal.averaging.messages as averaging
import federation.horizontal.binning.messages as horizontal_binning
import federation.horizontal.boosting.messages as horizontal_boosting
import federation.horizontal.closing.messages as closing
import federation.horizontal.prebinning.messages as prebinning
import federation.horizontal.scorecard.messages as horizontal_scorecard
import federation.hybrid.messages as hybrid
import federation.vertical.binning.messages as binning
import federation.vertical.boosting.messages as boosting
import federation.vertical.logistic.messages as logistic
import federation.vertical.publishing.messages as publishing
import federation.vertical.scorecard.messages as scorecard
import federation.vertical.scoring.messages as scoring
import federation.vertical.stability.messages as stability
from federation.alignment.messages import (
    BlindedIds,
    EvaluatedIds,
    RowsAccepted,
    RowsChosen,
    RowsPart,
    Tokens,
    TokensWanted,
)
from federation.ciphers import pairwise, shamir
from federation.ciphers.blinding import FixedBase
from federation.ciphers.packing import PairPacking
from federation.ciphers.plain import PlainPublic
from federation.ciphers.words import Words
from federation.codec import encode
from federation.horizontal.aggregation.envelopes import agreed
from federation.horizontal.aggregation.masking import masks
from federation.horizontal.aggregation.messages import Contribution
from federation.messages import Failure, Goodbye, Message
from federation.transports.messages import SealAnswer, SealConfirm, SealOffer

FOLDER = Path(__file__).parent

HEAD = ("host:税务", 7, bytes(range(32)), "international", "tax.1", b"\xff\x00")

MESSAGES: tuple[Message, ...] = (
    Failure(code="policy"),
    Goodbye(code=""),
    BlindedIds(points=bytes(range(32))),
    EvaluatedIds(points=bytes(range(32))),
    TokensWanted(start=16_384),
    Tokens(tokens=bytes(range(16))),
    RowsPart(positions=np.array([1], np.uint32).tobytes()),
    RowsChosen(positions=np.array([2, 0], np.uint32).tobytes()),
    RowsAccepted(n_rows=2),
    boosting.Open(
        model_id="模型-1",
        cipher="paillier",
        key=b"\x01\x02",
        value_bits=32,
        slot=45,
        pairs=22,
        n_rows=9,
        n_fit=7,
        max_bin=32,
        min_child_samples=20,
        n_estimators=100,
        max_depth=5,
        feature_fraction=0.5,
        random_state=7,
        max_cat_to_onehot=4,
        num_leaves=31,
        first_tree=2,
        continues="ef" * 32,
    ),
    boosting.Ready(n_features=2, n_bins=9, n_candidates=7, n_additions=40, left=b"\xa0"),
    boosting.Gradients(tree=1, start=4096, rows=b"\xa0", ciphertexts=b"\xff" * 4),
    boosting.Stored(n_rows=4100),
    boosting.Grow(tree=1, cuts=((0, 1, 2),), left=b"\xa0", pairs=((1, 2),)),
    boosting.Sums(flags=b"\xf0", ciphertexts=b"\x00\x01", directions=b"\xc0", categories=b"\x01\x00\x00\x00"),
    boosting.Choose(tree=1, choices=((1, (((), (0, 3), 1),)), (2, (((5, 2), (4, 7), 1), ((5, 2, 4), (6,), 1))))),
    boosting.Chosen(handles=(0, 1), left=b"\x80"),
    boosting.Keep(n_handles=2),
    boosting.Kept(digest="0b" * 32),
    boosting.Recall(digests=("0b" * 32, "0c" * 32)),
    boosting.Recalled(held=(True, False)),
    boosting.Seal(n_handles=2),
    boosting.Sealed(digest="ab" * 32, features=(1, 0, 1)),
    binning.Open(cipher="paillier", key=b"\x01\x02", slot=20, per_ciphertext=102, offset=1 << 18, n_rows=9, n_fit=7),
    binning.Ready(n_features=2, n_prebins=5),
    binning.Labels(start=4096, ciphertexts=b"\xff" * 4),
    binning.Stored(n_rows=4100),
    binning.SumsWanted(),
    binning.PrebinSums(
        n_regular=(2, 1),
        ordered=(True, False),
        trends=("", "peak"),
        counts=((3, 3, 1), (7, 0)),
        ciphertexts=b"\x00\x01",
        epsilon=0.5,
    ),
    binning.FinalBins(bin_of=((0, 1, 1), (0, 0)), woe=((0.5, -0.25), (0.0,)), unseen_woe=0.0),
    binning.Kept(n_features=2),
    scorecard.Selected(numbers=(1, 4)),
    scorecard.Accepted(n_features=2),
    scoring.BlindedApplicants(points=bytes(32)),
    scoring.EvaluatedApplicants(points=bytes(32), key_id=bytes(range(8))),
    scoring.Wanted(
        model="trees",
        model_id="m",
        digest="cd" * 32,
        tokens=bytes(16),
        key_id=bytes(range(8)),
        reasons=True,
        request="q-1",
        shadow=False,
    ),
    scoring.Routes(known=b"\x80", left=b"\x40", words=(("Arrears of tax", "欠税"), ("", ""))),
    scoring.Parts(known=b"\x80", margins=bytes(8), points=bytes(8), contributions=b"", words=()),
    publishing.Prepare(model="trees", model_id="m", digest="cd" * 32, shadow=True),
    publishing.Prepared(),
    publishing.Retire(model_id="m", digest="cd" * 32),
    publishing.Retired(),
    stability.Wanted(n_fit=7, n_valid=1, minimum=50),
    stability.Shifts(shifts=((123, 12, 20), (0, 100, 100))),
    stability.Withheld(),
    logistic.Open(
        model_id="模型-1", cipher="paillier", key=b"\x01\x02", n_rows=9, n_fit=7, n_values=14, max_margins=12
    ),
    logistic.Ready(n_features=2, mask_key=bytes(range(32)), exponent=2),
    logistic.Introduce(mask_keys=(bytes(range(32)), bytes(32)), n_features=(2, 3)),
    logistic.Introduced(),
    logistic.Derivatives(round=1, start=4096, ciphertexts=b"\xff" * 4),
    logistic.Stored(n_rows=4100),
    logistic.Collect(round=1, ciphertexts=b"\x00\x01"),
    logistic.Blocks(ciphertexts=b"\x00\x01"),
    logistic.Veil(round=1, start=0, seeds=(bytes(32),), shares=(bytes(range(8)),)),
    logistic.Veiled(factors=(bytes(range(32)),)),
    logistic.Pair(factors=(bytes(range(32)),)),
    logistic.Paired(n_rows=1, sums=(bytes(range(8)),)),
    logistic.Keep(places=(0, 2), n_values=3),
    logistic.Kept(n_features=2),
    logistic.Weigh(round=2, coefficients=(-0.5, 0.0)),
    logistic.Margins(values=bytes(range(8))),
    logistic.Seal(coefficients=(-0.5, 0.0), points_to_double=20.0, rounding=True),
    logistic.Sealed(digest="ab" * 32, values=bytes(range(8))),
    audit.HeadWanted(session="模型-1", head=HEAD, held=(("模型-0", HEAD),)),
    audit.HeadShown(head=HEAD, held=()),
    audit.AllHeads(heads=(HEAD, HEAD), countersignature=b"\x01\x02"),
    audit.HeadsSigned(countersignature=b"\x01\x02"),
    audit.AllSignatures(countersignatures=(("bank", b"\x01"), ("host:tax", b"\x02"))),
    audit.Kept(),
    Contribution(turn=3, data=bytes(range(9)), proof=b"", signature=b"\x01"),
    masking.Open(session="模型-1", batch=1, sites=("bank:a", "bank:甲"), threshold=2, n_turns=2),
    masking.Keys(sealing_key=bytes(32), signature=b"\x01"),
    masking.AllKeys(keys=(("bank:a", bytes(32), b"\x01"),)),
    masking.SealedShares(shares=(("bank:甲", b"\x01\x02"),), pair_keys=bytes(range(96))),
    masking.Deliver(shares=(("bank:a", b"\x01\x02"),)),
    masking.Ready(),
    masking.Contributors(turn=3, parties=("bank:a", "bank:甲")),
    masking.Agreed(vouchers=(("bank:a", bytes(range(32))),)),
    masking.Unmask(turn=3, vouchers=(("bank:a", bytes(range(32))),)),
    masking.Unmasked(seeds=bytes(range(32)), keys=b""),
    threshold.Open(session="模型-1", epoch=1, sites=("bank:a", "bank:甲"), threshold=2, n_keys=2),
    threshold.Committed(sealing_key=bytes(32), commitments=bytes(range(128)), proof=bytes(64), signature=b"\x01"),
    threshold.AllCommitted(sites=(("bank:a", bytes(32), bytes(range(128)), bytes(64), b"\x01"),)),
    threshold.Dealt(shares=(("bank:甲", b"\x01\x02"),)),
    threshold.Deliver(shares=(("bank:a", b"\x01\x02"),)),
    threshold.KeyMade(signature=b"\x01"),
    threshold.Confirm(signatures=(("bank:a", b"\x01"),)),
    threshold.Ready(),
    threshold.OpenSum(
        turn=3, contributions=(("bank:a", bytes(range(32)), bytes(64), b"\x01"),), openers=("bank:a",), n_numbers=2
    ),
    threshold.Partials(points=bytes(range(64))),
    horizontal_binning.Open(features=(("税额", False, ()), ("sector", True, ("a", "b"))), most_rows=100),
    horizontal_binning.Opened(),
    horizontal_binning.CellsWanted(round=1, cells=((0, (191, 192)),)),
    horizontal_boosting.Open(
        model_id="模型-1",
        features=(("税额", False, (0.5, 2.0), (), False, True), ("sector", True, (), ("a", "b"), True, False)),
        most_rows=100,
        max_depth=3,
        most_sums=10,
        noise=0.0,
        goes_on=3,
    ),
    horizontal_boosting.Opened(),
    horizontal_boosting.LabelsWanted(),
    horizontal_boosting.Start(base_margin=-1.5),
    horizontal_boosting.Started(),
    horizontal_boosting.Grow(tree=1, cuts=((0, 1, 0, False, 1, 2),), nodes=(2,)),
    horizontal_boosting.Finish(tree=1, cuts=(), leaves=((1, 0.25), (2, -0.5))),
    horizontal_boosting.Finished(),
    horizontal_boosting.Keep(trees=4),
    horizontal_boosting.Kept(),
    prebinning.Open(
        columns=(("税额", False, (), (-9.0,)), ("sector", True, ("a", "b"), ())), most_rows=100, n_rounds=3
    ),
    prebinning.Opened(),
    prebinning.Search(round=0, bounds=((171_000, 225_001),)),
    prebinning.Count(cuts=((171_000,),)),
    horizontal_scorecard.Open(
        model_id="模型-1",
        features=((("税额", False, (0.5,), (), False, True), (-9.0,), (0, 1, 2, 2), (0.5, -0.25, 0.0), 0.0),),
        most_rows=100,
    ),
    horizontal_scorecard.Opened(),
    horizontal_scorecard.Step(places=(0,), coefficients=(-1.5, -0.75)),
    horizontal_scorecard.Finish(scorecard=b"{}"),
    horizontal_scorecard.Finished(),
    averaging.Open(
        model_id="模型-1",
        features=(("税额", False, (0.5, 2.0), (), False, True),),
        estimator="LogisticRegression",
        settings=b'{"C":1.0}',
        n_epochs=2,
        most_rows=100,
    ),
    averaging.Opened(),
    averaging.RowsWanted(),
    averaging.Train(round=1, n_rows=300, parameters=bytes(range(16))),
    closing.Take(model_kind="trees", model=b"{}"),
    closing.Taken(),
    closing.Count(),
    hybrid.Join(kinds=("credit", "tax"), veil_bits=60),
    hybrid.Joined(),
    hybrid.SeedsWanted(veil_bits=60),
    hybrid.Seeds(seeds=(("bank:甲", bytes(range(32))),)),
    hybrid.Held(),
    hybrid.Cuts(tree=1, cuts=((0, 1, 0, False, 1, 2),)),
    hybrid.Seal(n_trees=3),
    hybrid.Sealed(digest="0" * 64, features=(1, 2)),
    hybrid.CountsWanted(),
    hybrid.Veiled(numbers=bytes(range(16))),
    hybrid.Terms(cipher="paillier", key=b"\x01\x02"),
    hybrid.Agreed(n_bins=7),
    hybrid.SidesWanted(tree=1),
    hybrid.Sides(left=b"\x05"),
    hybrid.SumsWanted(tree=1, cuts=((0, 1, 2),), left=b"\x05", nodes=(2,)),
    hybrid.VeiledSums(ciphertexts=bytes(range(8))),
    hybrid.RoutesWanted(digest="0" * 64, positions=bytes(range(8))),
    hybrid.Routes(left=b"\x05"),
    SealOffer(suite="sm", key=bytes(range(65))),
    SealAnswer(secret=bytes(range(16)), signature=b"\x30\x06", mac=bytes(range(32))),
    SealConfirm(signature=b"\x30\x06", mac=bytes(range(32))),
)


def codec() -> list[dict[str, str]]:
    return [{"kind": message.kind, "frame": encode(message).hex()} for message in MESSAGES]


def packing() -> list[dict[str, Any]]:
    """Rows joined, two bins' sums packed with the plain cipher: layout, plaintexts, packed plaintexts."""
    g, h = [-(2**32), 2**32, -1, 0, 7], [2**30, 1, 1, 2**30, 5]
    vectors = []
    for n_rows, plaintext_bits in ((5, 2047), (1000, 2047), (1_000_000, 2047), (5, 160)):
        layout = PairPacking.for_rows(n_rows, 33, plaintext_bits)
        rows = layout.join(g, h)
        cipher = PlainPublic()
        packed = [int(c) for c in layout.pack(cipher, [r % 2**2048 for r in rows])]
        vectors.append(
            {"n_rows": n_rows, "plaintext_bits": plaintext_bits, **asdict(layout), "g": g, "h": h}
            | {"joined": [str(r) for r in rows], "packed": [hex(p) for p in packed]}
        )
    return vectors


def blinding() -> list[dict[str, Any]]:
    """Digits of exponents, low digit first, and the powers they stand for."""
    vectors = []
    for window, digits in ((6, [[1, 63, 0], [2, 63, 0]]), (9, [[511], [1]]), (12, [[4095, 1], [0, 1]])):
        base, modulus, n_bits = 3, 2**61 - 1, 2 * window
        powers = FixedBase(base, modulus, n_bits, window).powers(np.array(digits, np.uint16))
        vectors.append(
            {"base": base, "modulus": modulus, "n_bits": n_bits, "window": window, "digits": digits}
            | {"powers": [int(p) for p in powers]}
        )
    return vectors


def masked_sum() -> dict[str, Any]:
    """A whole masked sum of three sites from fixed seeds: keys, masked vectors, shares, and what they give back."""
    vectors = [[1, -2, 1000], [0, 5, -1000], [7, 7, 7]]
    pair_seeds, own_seeds = ([bytes([base + k]) * 31 for k in range(3)] for base in (1, 101))
    private = [bytes([201 + k]) * 32 for k in range(3)]
    words, turn = Words.for_sum(3, 1000), 1
    public = {f"bank:{k}": pairwise.public_key(key) for k, key in enumerate(private)}
    masked, sealed = [], []
    for k, vector in enumerate(vectors):
        secrets = agreed(private[k], {party: key for party, key in public.items() if party != f"bank:{k}"})
        keys = {int(party[-1]): masks.pair_keys(secret, 2)[32 * turn :] for party, secret in secrets.items()}
        sealed.append(masks.seal_pair_keys(pair_seeds[k], list(keys.values())))
        pairs = masks.pair_masks(k, keys, 3)
        own = masks.own_mask(own_seeds[k], 3)
        masked.append(words.dump(np.array(vector, dtype=np.int64).view(np.uint64) + pairs + own))
    coefficients = [[int.from_bytes(seed, "little"), 11, 13] for seed in own_seeds]
    shares = [[shamir.value(c, holder).to_bytes(32, "little").hex() for holder in (1, 2, 3)] for c in coefficients]
    return {
        "turn": turn,
        "private": [key.hex() for key in private],
        "pair_seeds": [seed.hex() for seed in pair_seeds],
        "own_seeds": [seed.hex() for seed in own_seeds],
        "sealed_pair_keys": [data.hex() for data in sealed],
        "vectors": vectors,
        "bytes_per_word": words.n_bytes,
        "masked": [data.hex() for data in masked],
        "coefficients": [[11, 13]] * 3,
        "shares_of_own_seeds": shares,
        "sum": [8, 10, 7],
    }


OURS = {"codec.json": codec, "packing.json": packing, "blinding.json": blinding, "masked_sum.json": masked_sum}


def main() -> None:
    for name, make in OURS.items():
        (FOLDER / name).write_text(json.dumps(make(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
