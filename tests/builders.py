"""Problems, hosts and sessions that several tests share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.interface import SecretCipher
from federation.ciphers.packing import PairPacking
from federation.ciphers.plain import PlainSecret
from federation.ciphers.suite import CipherRules
from federation.codec import decode, encode
from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.messages import Message
from federation.policy import HostPolicy
from federation.script import Script, Wire, run
from federation.transports.memory import MemoryWire
from federation.vertical.boosting.guest import Fitted, JointBoosting, TrainingRows
from federation.vertical.boosting.host import TRANSITIONS as BOOSTING
from federation.vertical.boosting.host import BoostingHost
from federation.vertical.boosting.messages import Gradients, Grow, Open, Sums
from federation.vertical.guest import Arrangement, Trained, TrainingJob, train
from federation.vertical.host import ALLOWED, TrainingHost
from federation.vertical.scoring.host import ALLOWED as SCORING
from federation.vertical.scoring.host import ScoringHost
from models.boosting.derivatives import DERIVATIVE_BITS
from models.boosting.parameters import BoostingParameters
from models.losses import Floats
from models.table import Table

BANK = "bank"
HOSTS = ("host:tax", "host:电信")
PLAIN = CipherRules(insecure_allow_plaintext=True)
BOOSTING_ALLOWED = tuple({kind for _, kind in BOOSTING})
#: Levels of few rows may be united, so that small problems have sets of them.
FEW = {"min_data_per_group": 10, "cat_smooth": 5.0, "cat_l2": 1.0}
SMALL = BoostingParameters(n_estimators=2, max_depth=3, min_child_samples=5, max_bin=8, **FEW)


@dataclass(frozen=True)
class Problem:
    """``whole`` holds every column for the rows of ``guest``; ``label`` belongs to ``guest``."""

    guest: Table
    label: Floats
    hosts: Mapping[PartyId, Table]
    whole: Table


def numbers(*values: float) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def texts(*values: str | None) -> NDArray[np.object_]:
    return np.array(values, dtype=object)


def vertical_problem(n: int = 400, seed: int = 0) -> Problem:
    """``n`` people; each party misses some of them, the hosts know strangers, every order is its own."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    x[rng.random(x.shape) < 0.07] = np.nan
    jobs = texts(*rng.choice(["农民工", "clerk", "nurse", "pilot"], n, p=[0.5, 0.3, 0.18, 0.02]))
    jobs[rng.random(n) < 0.1] = None
    truth = np.nan_to_num(x) @ numbers(0.8, -0.6, 1.2, -1.0, 0.5) + (jobs == "clerk")
    label = (truth + rng.normal(size=n) > 0.4).astype(np.float64)
    columns = {
        "loan_amount": x[:, 0],
        "monthly_income": x[:, 1],
        "tax_paid_2023": x[:, 2],
        "tax_arrears_days": x[:, 3],
        "phone_bill_mean": x[:, 4],
        "occupation_class": jobs,
    }
    everyone = Table(tuple(f"ID-3301{seed:02d}-{k:06d}" for k in range(n)), columns)
    at_bank = rng.permutation(n)[: n * 19 // 20]

    def held(names: tuple[str, ...]) -> Table:
        rows = rng.permutation(n)[: n * 19 // 20]
        mine = everyone.select(names).take(rows)
        strangers = tuple(f"STRANGER-{names[0]}-{k}" for k in range(15))
        return Table(mine.ids + strangers, {m: np.concatenate([c, c[:15]]) for m, c in mine.columns.items()})

    return Problem(
        guest=everyone.select(("loan_amount", "monthly_income")).take(at_bank),
        label=label[at_bank],
        hosts={
            HOSTS[0]: held(("tax_paid_2023", "tax_arrears_days")),
            HOSTS[1]: held(("phone_bill_mean", "occupation_class")),
        },
        whole=everyone.take(at_bank),
    )


def three_quarters(rows: NDArray[np.intp]) -> Arrangement:
    """Fit on three quarters, hold out the rest."""
    return Arrangement(rows, len(rows) * 3 // 4, 0)


@dataclass
class Session:
    """A training session in memory, each part replaceable."""

    problem: Problem
    cipher: Callable[[int], SecretCipher] = lambda _: PlainSecret()
    policy: HostPolicy = field(default_factory=lambda: HostPolicy(min_rows_per_bin=1, cipher=PLAIN))
    parameters: BoostingParameters = SMALL
    arrange: Callable[[NDArray[np.intp]], Arrangement] = three_quarters
    hosts: dict[PartyId, TrainingHost] = field(init=False)

    def __post_init__(self) -> None:
        self.hosts = {party: build() for party, build in self.builds.items()}

    @property
    def builds(self) -> dict[PartyId, Callable[[], TrainingHost]]:
        def build(party: PartyId, table: Table) -> Callable[[], TrainingHost]:
            return lambda: TrainingHost(party, table, self.policy)

        return {party: build(party, table) for party, table in self.problem.hosts.items()}

    def wire(self) -> MemoryWire:
        return MemoryWire({party: Endpoint(host, BANK, ALLOWED).answer for party, host in self.hosts.items()})

    @property
    def job(self) -> TrainingJob:
        return TrainingJob(
            model_id="m-1",
            party=BANK,
            table=self.problem.guest,
            label=self.problem.label,
            hosts=tuple(self.problem.hosts),
            parameters=self.parameters,
            new_cipher=self.cipher,
            arrange=self.arrange,
        )

    def script(self) -> Script[Trained]:
        return train(self.job)

    def train(self, wire: Wire | None = None) -> Trained:
        return run(self.script(), wire or self.wire())

    def scoring_wire(self) -> MemoryWire:
        """Hosts that score with the halves they sealed, over their whole tables."""
        answers = {}
        for party, host in self.hosts.items():
            assert host.half is not None
            scoring = ScoringHost(host.table, {host.half.model_id: host.half}, self.policy)
            answers[party] = Endpoint(scoring, BANK, SCORING).answer
        return MemoryWire(answers)


def fit_aligned(
    tables: Sequence[Table],
    label: Floats,
    n_fit: int,
    parameters: BoostingParameters,
    *,
    floor: int = 1,
    cipher: SecretCipher | None = None,
    n_valid: int = 0,
    weight: Floats | None = None,
    constraints: Mapping[str, int] | None = None,
) -> Fitted:
    """Boosting alone over rows that already stand in one order: the bank's table first, then one per host.

    ``constraints``: monotone ones on anybody's features; every party is given its own.
    """

    def own(table: Table) -> dict[str, int]:
        return {name: d for name, d in (constraints or {}).items() if name in table.columns}

    def policy(table: Table) -> HostPolicy:
        return HostPolicy(min_rows_per_bin=floor, min_rows=1, cipher=PLAIN, monotone_constraints=own(table))

    parameters = replace(parameters, monotone_constraints=own(tables[0])) if constraints else parameters
    hosts = {f"host:{k}": BoostingHost(f"host:{k}", table, policy(table)) for k, table in enumerate(tables[1:])}
    boosting = JointBoosting(
        "m-1",
        BANK,
        TrainingRows(tables[0], label, n_fit, n_valid, weight),
        tuple(hosts),
        cipher or PlainSecret(),
        parameters,
    )
    wire = MemoryWire({party: Endpoint(host, BANK, BOOSTING_ALLOWED).answer for party, host in hosts.items()})
    return run(boosting.fit(), wire)


def join_tables(*tables: Table) -> Table:
    """Columns side by side; the rows stand in one order."""
    return Table(tables[0].ids, {name: c for table in tables for name, c in table.columns.items()})


def outline(trained: Trained | Fitted) -> list[list[tuple[object, ...]]]:
    """All of the trees that must not depend on how they were computed."""
    fitted = trained.fitted if isinstance(trained, Trained) else trained
    return [[(n.owner, n.handle, n.left, n.right, n.value, n.gain, n.n_rows) for n in t] for t in fitted.model.trees]


@dataclass
class Counting:
    """Drives one ``BoostingHost`` by hand: every row's gradient and hessian are 1, so that sums are row counts."""

    table: Table
    floor: int
    n_fit: int
    max_bin: int = 16
    min_child_samples: int = 0
    max_cat_to_onehot: int = 4
    secret: SecretCipher = field(default_factory=PlainSecret)
    host: BoostingHost = field(init=False)
    n_candidates: int = field(init=False)
    packing: PairPacking = field(init=False)

    def __post_init__(self) -> None:
        self.host = BoostingHost("host:a", self.table, HostPolicy(self.floor, min_rows=1, cipher=PLAIN))
        bits = self.secret.public.plaintext_bits
        self.packing = PairPacking.for_rows(self.n_fit, DERIVATIVE_BITS, bits)
        self.n_candidates = self.host.answer(self.opening()).n_candidates

    def opening(self, **changes: object) -> Open:
        terms: dict[str, object] = {
            "model_id": "m-1",
            "cipher": self.secret.public.name,
            "key": self.secret.public.key,
            "value_bits": DERIVATIVE_BITS,
            "slot": self.packing.slot,
            "pairs": self.packing.pairs,
            "n_rows": len(self.table),
            "n_fit": self.n_fit,
            "max_bin": self.max_bin,
            "min_child_samples": self.min_child_samples,
            "max_cat_to_onehot": self.max_cat_to_onehot,
            "n_estimators": 3,
            "max_depth": 3,
            "feature_fraction": 1.0,
            "random_state": 0,
        }
        return Open(**(terms | changes))

    def begin(self, tree: int = 0) -> Counting:
        self.host.answer(self.gradients(tree=tree))
        return self

    def gradients(self, tree: int = 0, start: int = 0, count: int | None = None) -> Gradients:
        ones = [1] * (self.n_fit if count is None else count)
        return Gradients(
            tree=tree, start=start, rows=b"", ciphertexts=self.secret.encrypt(self.packing.join(ones, ones))
        )

    def root(self, tree: int = 0) -> Sums:
        return self.host.answer(Grow(tree=tree, cuts=(), left=b"", pairs=((0, -1),)))

    def read(self, reply: Sums, n_pairs: int) -> list[dict[int, int]]:
        """Per pair: candidate (in the host's own order) → rows behind the shown sum."""
        shape = n_pairs, 3, self.n_candidates
        bits = np.unpackbits(np.frombuffer(reply.flags, dtype=np.uint8), count=int(np.prod(shape)))
        shown = bits.astype(bool).reshape(shape)[:, 0]
        counts, _ = self.packing.split(self.secret.decrypt(reply.ciphertexts), int(shown.sum()))
        order, result = self.host.state.order, []
        for mask in shown:
            places = np.flatnonzero(mask)
            taken, counts = counts[: len(places)], counts[len(places) :]
            result.append(dict(zip(order[places].tolist(), taken, strict=True)))
        return result


def through_codec(message: Message, sender: PartyId = BANK) -> Message:
    return decode(encode(message), sender)
