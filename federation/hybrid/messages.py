"""Messages of learning in both directions. Bit arrays are packed as ``federation.vertical.bits``."""

from __future__ import annotations

from dataclasses import dataclass

from federation.messages import Message

#: node, feature, code, whether missing goes left, left child, right child; of a host's features
CutFields = tuple[int, int, int, bool, int, int]


# -- coordinator and bank ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Join(Message, kind="hybrid.join"):
    """Coordinator → bank. Align with your hosts, one of each of ``kinds``; their shares are modulo ``2**veil_bits``.

    Reveals to bank: which kinds of data nodes take part.
    向银行透露：参与的数据方类型。
    """

    kinds: tuple[str, ...]
    veil_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined(Message, kind="hybrid.joined"):
    """Bank → coordinator. It has applicants in common with its hosts.

    Reveals to coordinator: that it has.
    向协调方透露：该银行与其数据方有共同申请人。
    """


# -- coordinator and host ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedsWanted(Message, kind="hybrid.seeds_wanted"):
    """Coordinator → host. Draw a seed for each of your banks; what you give them is modulo ``2**veil_bits``.

    Reveals to host: nothing.
    向数据方透露：无。
    """

    veil_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds(Message, kind="hybrid.seeds"):
    """Host → coordinator. ``seeds``: of each bank 32 bytes, from which veils of sums over its applicants are drawn.

    Reveals to coordinator: veils, which are random; with a bank's share, its sums: the two must not collude.
    向协调方透露：用于遮蔽的随机数；若再得到某银行的份额，即可还原该银行的和，故二者不得合谋。
    """

    seeds: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(Message, kind="hybrid.held"):
    """Host → coordinator. Done; each bank may fetch its part.

    Reveals to coordinator: nothing.
    向协调方透露：无。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts(Message, kind="hybrid.cuts"):
    """Coordinator → host. Cuts of your features in tree number ``tree``, part of the model.

    Reveals to host: its own half of the model.
    向数据方透露：其自身持有的模型部分。
    """

    tree: int
    cuts: tuple[CutFields, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal(Message, kind="hybrid.seal"):
    """Coordinator → host. Training is over; the model has the first ``n_trees`` trees, one begun behind them is none.

    Reveals to host: how many trees there are.
    向数据方透露：训练已结束，以及树的数量。
    """

    n_trees: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed(Message, kind="hybrid.sealed"):
    """Host → coordinator. ``digest``: salted SHA-256 of the host's half; ``features``: of each cut the number of its
    feature, in an order drawn for this half.

    Reveals to coordinator: nothing that it did not know, as it chose the cuts. A bank is told both with its model:
    which unnamed cuts belong to one feature.
    向协调方透露：无新信息（切分由其选定）。银行将随模型获知二者：哪些未命名切分属于同一特征。
    """

    digest: str
    features: tuple[int, ...]


# -- bank and host -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CountsWanted(Message, kind="hybrid.counts_wanted"):
    """Bank → host. The counts that the coordinator asked you for, over our applicants.

    Reveals to host: nothing.
    向数据方透露：无。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Veiled(Message, kind="hybrid.veiled"):
    """Host → bank. ``numbers``: counts with veils, int64, little-endian.

    Reveals to bank: how many numbers they are; each is random to it.
    向银行透露：数值个数；每个数值对银行而言均为随机数。
    """

    numbers: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms(Message, kind="hybrid.terms"):
    """Bank → host. Its public key.

    Reveals to host: the public key.
    向数据方透露：公钥。
    """

    cipher: str
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed(Message, kind="hybrid.agreed"):
    """Host → bank. ``n_bins``: of all its features.

    Reveals to bank: how many bins the host's features have together.
    向银行透露：数据方全部特征的分箱总数。
    """

    n_bins: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SidesWanted(Message, kind="hybrid.sides_wanted"):
    """Bank → host. Which of our applicants go left at the cuts of tree number ``tree`` that you were told last?

    Reveals to host: nothing.
    向数据方透露：无。
    """

    tree: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides(Message, kind="hybrid.sides"):
    """Host → bank. ``left``: bits of shape ``(n_cuts, n_rows)``, set where a row of the node that is cut goes left.

    Reveals to bank: on which side of an unnamed cut each of its applicants in the node lies.
    向银行透露：节点内其各申请人位于未命名切分的哪一侧。
    """

    left: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SumsWanted(Message, kind="hybrid.sums_wanted"):
    """Bank → host. ``cuts``: (node, left child, right child), ``left``: a bit per row, set where it went left at one of
    them; ``nodes``: to be summed, ascending.

    Reveals to host: which of the bank's applicants share a node of the tree, whoever owned the cut.
    向数据方透露：该银行哪些申请人处于同一树节点（无论由哪一方切分）。
    """

    tree: int
    cuts: tuple[tuple[int, int, int], ...]
    left: bytes
    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VeiledSums(Message, kind="hybrid.veiled_sums"):
    """Host → bank. ``ciphertexts``: of each node, per bin of all features, gradients and hessians summed, each with its
    veil, several to a ciphertext, re-randomised.

    Reveals to bank: nothing: with its veil each sum is random to it.
    向银行透露：无；加上遮蔽后，每个和对银行而言均为随机数。
    """

    ciphertexts: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesWanted(Message, kind="hybrid.routes_wanted"):
    """Bank → host. Which of these applicants, who were not fitted on, go left at each cut of your half with this
    ``digest``? ``positions``: theirs among the host's tokens, as of ``alignment.rows_chosen``.

    Reveals to host: which of its rows the model is tested on.
    向数据方透露：哪些行用于检验模型。
    """

    digest: str
    positions: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes(Message, kind="hybrid.routes"):
    """Host → bank. ``left``: bits of shape ``(n_cuts, n_rows)``, set where a row goes left.

    Reveals to bank: on which side of every unnamed cut of the host each of these applicants lies, as scoring them does.
    向银行透露：这些申请人位于数据方各未命名切分的哪一侧（与对其评分时相同）。
    """

    left: bytes
