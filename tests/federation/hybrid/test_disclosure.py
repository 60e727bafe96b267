"""What of all that passes reaches whom: sums over banks the coordinator, ciphertexts hosts, random numbers banks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest

from federation.alignment import messages as alignment
from federation.codec import encode
from federation.horizontal.aggregation.interface import Contributor
from federation.horizontal.aggregation.masking import messages as masking
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.binning import messages as binning
from federation.horizontal.boosting import messages as boosting
from federation.hybrid import messages as m
from federation.hybrid.veils import Use, turn_of
from federation.messages import Message
from federation.vertical.boosting.messages import Gradients, Stored
from models.binning import FeatureBins
from models.boosting.parameters import BoostingParameters
from models.losses import Integers
from tests.builders import Problem
from tests.conftest import Key
from tests.federation.horizontal.boosting.cities import DEFAULTS, shares
from tests.federation.hybrid.cities import COORDINATOR, HOSTED, POLICY, Trial

PARAMETERS = BoostingParameters(**(DEFAULTS | {"n_estimators": 2, "max_depth": 3, "max_bin": 6}))


@dataclass
class Noting:
    """A contributor whose vectors are noted."""

    inner: Contributor
    clear: list[Integers]

    @property
    def allowed(self) -> tuple[type[Message], ...]:
        return self.inner.allowed

    def answer(self, request: Message) -> Message:
        return self.inner.answer(request)

    def contribute(self, values: Integers, bound: int) -> Message:
        self.clear.append(values)
        return self.inner.contribute(values, bound)


@dataclass
class Seen:
    trial: Trial
    bins: tuple[FeatureBins, ...]
    clear: list[Integers]

    def messages(self, sender: str, receiver: str, *kinds: type[Message]) -> Iterator[Message]:
        for s, r, message in self.trial.passed:
            if s.startswith(sender) and r.startswith(receiver) and (not kinds or isinstance(message, kinds)):
                yield message

    def kinds(self, sender: str, receiver: str) -> set[type[Message]]:
        return {type(x) for x in self.messages(sender, receiver)}

    def frames(self, sender: str, receiver: str) -> bytes:
        return b"".join(encode(x) for x in self.messages(sender, receiver))

    def plaintexts(self, bank: str, host: str) -> list[int]:
        """What the bank reads of each sum: the number with its veil."""
        features = self.trial.banks[bank].boosting.features
        found: list[int] = []
        for wanted, reply in zip(
            self.messages(bank, host, m.SumsWanted), self.messages(host, bank, m.VeiledSums), strict=True
        ):
            count = len(wanted.nodes) * features.n_bins[host]
            g, h = features.packing.split(features.cipher.decrypt(reply.ciphertexts), count)
            found += [*g, *h]
        return found


@pytest.fixture(scope="module")
def seen(problem: Problem, short_keys: Key) -> Seen:
    """A run under encryption, and all that was sent in it."""
    parts = shares(len(problem.label), 3)
    policy = replace(POLICY, cipher=short_keys.rules)
    trial = Trial(
        problem.whole, problem.label, parts, (0, 0, 1), PARAMETERS, new_cipher=short_keys.secret, policy=policy
    )
    clear: list[Integers] = []
    for bank in trial.banks.values():
        bank.contributor = Noting(bank.contributor, clear)
    return Seen(trial, trial.learn().bins, clear)


def uniform(numbers: Sequence[float]) -> None:
    """Like draws from 0 to 1: no two alike, all tenths filled about equally."""
    assert len(numbers) > 300
    assert len(set(numbers)) == len(numbers)
    counts = np.histogram(numbers, bins=10, range=(0, 1))[0]
    assert np.abs(counts - counts.mean()).max() < 5 * np.sqrt(counts.mean())


def test_encryption_changes_no_bit_of_the_model(seen: Seen, problem: Problem) -> None:
    plain = Trial(problem.whole, problem.label, seen.trial.parts, (0, 0, 1), PARAMETERS)
    plain.learn()
    assert plain.margin().tobytes() == seen.trial.margin().tobytes()


def test_what_a_bank_decrypts_is_random_to_it(seen: Seen) -> None:
    """The veil modulo 2**bits, and above it the bits that hide the carry."""
    bits = seen.trial.learning.veils.bits
    for bank, hosts in seen.trial.cities.items():
        read = [p for host in hosts.values() for p in seen.plaintexts(bank, host)]
        uniform([(p % 2**bits) / 2**bits for p in read])
        uniform([(p >> bits) / 2**64 for p in read])


def test_the_counts_a_bank_gets_are_random_to_it(seen: Seen) -> None:
    bits = seen.trial.learning.veils.bits
    for bank in seen.trial.banks:
        read = np.concatenate([np.frombuffer(x.numbers, dtype="<i8") for x in seen.messages("host", bank, m.Veiled)])
        uniform(((read % 2**bits) / 2**bits).tolist())


def test_a_share_without_its_veil_is_the_sum_over_the_banks_applicants(seen: Seen) -> None:
    """So it is the veil alone that keeps it from the bank. The sums are computed here anew."""
    trial, bank, host = seen.trial, "bank:00", "host:tax-0"
    rows = trial.parts[0][trial.banks[bank].rows]
    base = trial.label[trial.pooled].mean()
    g = np.rint((base - trial.label[rows]) * 2**32).astype(np.int64)
    expected = []
    for b in seen.bins[3:5]:
        codes = b.encode(trial.table.columns[b.name][rows])
        expected += [int(g[codes == code].sum()) for code in range(b.n_bins)]
    [seeds] = seen.messages(host, COORDINATOR, m.Seeds)
    veils = trial.learning.veils
    veil = veils.draw(dict(seeds.seeds)[bank], Use.SUMS, turn_of(0, 0), 2 * len(expected))[: len(expected)]
    share = veils.residues(seen.plaintexts(bank, host)[: len(expected)])
    assert np.abs(veils.opened(share, veil) - np.array(expected)).max() <= len(rows)  # rounding of each row
    assert (share != veils.opened(share, veil)).all()


def test_nothing_but_sums_of_three_banks_reaches_the_coordinator(seen: Seen) -> None:
    """Masked vectors, keys and shares, seeds, and words without content: no bank's vector is among it."""
    empty = {m.Joined, m.Held, binning.Opened, boosting.Opened, boosting.Started, boosting.Finished, masking.Ready}
    hidden = {Contribution, masking.Keys, masking.SealedShares, masking.Agreed, masking.Unmasked}
    assert seen.kinds("bank", COORDINATOR) == (empty - {m.Held}) | hidden
    assert seen.kinds("host", COORDINATOR) == {m.Seeds, m.Held, binning.Opened, boosting.Opened, m.Sealed}
    for kind in empty:
        assert fields(kind) == ()
    words = [c.tobytes()[k : k + 6] for c in seen.clear for k in range(0, 8 * len(c), 8)]
    telling = [w for w in words if len(set(w)) > 4]  # numbers that do not occur by chance
    assert len(telling) > 1000
    sent = seen.frames("", COORDINATOR)
    assert not [w for w in telling if w in sent]
    assert telling[0] in sent + telling[0]  # the search would find it


def test_no_label_and_no_gradient_reaches_a_host_in_clear(seen: Seen) -> None:
    aligning = {alignment.BlindedIds, alignment.TokensWanted, alignment.RowsChosen}
    asking = {m.CountsWanted, m.Terms, Gradients, m.SidesWanted, m.SumsWanted}
    assert seen.kinds("bank", "host") == aligning | asking
    told = {m.SeedsWanted, binning.Open, binning.CellsWanted, boosting.Open, m.Cuts, m.Seal}
    assert seen.kinds(COORDINATOR, "host") == told
    size = seen.trial.banks["bank:00"].boosting.features.cipher.public.ciphertext_bytes
    for bank in seen.trial.banks:
        [first] = [x for x in seen.messages(bank, seen.trial.cities[bank]["tax"], Gradients) if x.tree == 0]
        sent = [first.ciphertexts[k : k + size] for k in range(0, len(first.ciphertexts), size)]
        assert len(set(sent)) == len(sent) == len(seen.trial.banks[bank].rows)  # of two different plaintexts


def test_a_bank_learns_owners_and_sides_of_cuts_not_names_or_thresholds(seen: Seen) -> None:
    asking = {alignment.EvaluatedIds, alignment.Tokens, alignment.RowsAccepted}
    assert seen.kinds("host", "bank") == asking | {m.Veiled, m.Agreed, Stored, m.VeiledSums, m.Sides}
    hosted = [cut for x in seen.messages(COORDINATOR, "bank", boosting.Grow, boosting.Finish) for cut in x.cuts]
    hosted = [cut for cut in hosted if cut[1] >= 2]
    assert len({cut[1] for cut in hosted}) > 1  # of hosts of more than one kind
    assert {cut[2:4] for cut in hosted} == {(0, False)}
    told = seen.frames("", "bank")
    names = [name for of in HOSTED.values() for name in of]
    own = {edge for b in seen.bins[:2] for edge in b.edges}
    edges = [np.array(edge, dtype=">f8").tobytes() for b in seen.bins[2:] for edge in b.edges if edge not in own]
    assert len(edges) > 10
    assert not [x for x in [*(name.encode() for name in names), *edges] if x in told]
    in_host = seen.frames("", "host")
    assert all(x in in_host for x in [*(name.encode() for name in names), *edges])  # the search would find them


def test_cells_of_a_hosts_feature_are_not_told_to_banks(seen: Seen) -> None:
    """They would tell where its values lie."""
    for request in seen.messages(COORDINATOR, "bank", binning.CellsWanted):
        assert {f for f, _ in request.cells} <= {0, 1}
    assert [x for x in seen.messages(COORDINATOR, "host", binning.CellsWanted) if x.cells]


def test_a_banks_share_reaches_no_other_bank_and_no_host(seen: Seen) -> None:
    for bank in seen.trial.banks:
        others = b"".join(
            encode(x) for s, r, x in seen.trial.passed if r != bank and not (s.startswith("host") and r == bank)
        )
        shares_ = [
            p.to_bytes(24, "little", signed=True)[:6] for p in seen.plaintexts(bank, seen.trial.cities[bank]["tax"])
        ]
        assert len(shares_) > 50
        assert not [w for w in shares_ if w in others]


def test_veils_of_banks_cities_and_runs_have_nothing_in_common(seen: Seen) -> None:
    seeds = [seed for x in seen.messages("host", COORDINATOR, m.Seeds) for _, seed in x.seeds]
    assert len(set(seeds)) == len(seeds) == 9
