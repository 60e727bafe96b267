"""Messages of joint boosting. Direction, meaning and what each reveals stand in each docstring.

Bit arrays are packed eight to a byte, first bit highest (``numpy.packbits``).
"""

from __future__ import annotations

from dataclasses import dataclass

from federation.messages import Message
from models.boosting.sets import Way


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Message, kind="boosting.open"):
    """Guest → host. The run's terms: key, layout of packed sums, row counts, and the parameters a host needs.

    The first ``n_fit`` of ``n_rows`` rows carry gradients; the others are only routed.

    ``value_bits``: bits of one derivative, which prove the layout; ``feature_fraction``: share of its features a host
    offers to a tree, drawn from ``random_state``; ``max_cat_to_onehot``: a category of so many levels or more may be
    cut into sets of levels; ``num_leaves``: most leaves of a tree that grows best leaf first, or 0: it grows level by
    level; ``first_tree``: number of the first tree that hosts take part in; ``continues``: digest of the half that this
    run adds trees to, of a finished model or of a checkpoint of this run, or nothing.

    Reveals to host: the public key, how many rows are used for fitting, and these parameters.
    向数据方透露：公钥、用于拟合的行数，以及这些参数。
    """

    model_id: str
    cipher: str
    key: bytes
    value_bits: int
    slot: int
    pairs: int
    n_rows: int
    n_fit: int
    n_estimators: int
    max_depth: int
    max_bin: int
    min_child_samples: int
    feature_fraction: float
    random_state: int
    max_cat_to_onehot: int
    num_leaves: int = 0
    first_tree: int = 0
    continues: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(Message, kind="boosting.ready"):
    """Host → guest. How much work a tree is: features, bins, candidate cuts, and additions of ciphertexts at the root.
    ``left``: where trees are added to a finished model, bits of shape ``(n_cuts, n_rows)``: the side of every row at
    each cut of the host's half. A run that is resumed needs none: the guest kept what it had been told.

    Reveals to guest: how many features the host uses, how finely, and how far their bins go together; where trees are
    added, on which side of every unnamed cut of the earlier model each row lies; no name, no threshold.
    向银行透露：数据方使用的特征数量、分箱数量以及分箱的相关程度；续训时还包括各行位于原模型每个未命名切分的哪一侧；不透露名称与阈值。
    """

    n_features: int
    n_bins: int
    n_candidates: int
    n_additions: int
    left: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradients(Message, kind="boosting.gradients"):
    """Guest → host. ``ciphertexts``: one per row that takes part in the tree, from the ``start``-th of them on,
    gradient and hessian packed and encrypted. ``rows``: with the first batch, a bit per row that fits, set where it
    takes part; empty: all do.

    Reveals to host: which rows take part (all, unless the guest samples rows; sampled by gradient, that hints at
    labels), and nothing else (semantic security of the cipher).
    向数据方透露：参与本棵树的数据行（默认为全部；若按梯度抽样，则会间接反映标签），此外无任何信息（密码的语义安全性）。
    """

    tree: int
    start: int
    rows: bytes
    ciphertexts: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Message, kind="boosting.stored"):
    """Host → guest. How many rows of this tree's gradients have arrived.

    Reveals to guest: nothing.
    向银行透露：无。
    """

    n_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grow(Message, kind="boosting.grow"):
    """Guest → host. One level of a tree, or its newest nodes: how their parents were cut, and which need sums.

    ``cuts``: (node, left child, right child) of the parents; ``left``: a bit per row, set where the row went left.
    ``pairs``: (node to sum, its sibling or -1): the guest derives the sibling's sums by subtraction.

    Reveals to host: which rows share a node of the tree, whoever owned the cut.
    向数据方透露：哪些行处于同一树节点（无论由哪一方切分）。
    """

    tree: int
    cuts: tuple[tuple[int, int, int], ...]
    left: bytes
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums(Message, kind="boosting.sums"):
    """Host → guest. Encrypted left-side sums of candidate cuts, unnamed and in a random order that is kept for one
    tree.

    ``flags``: bits of shape ``(n_pairs, 3, n_candidates)``: a sum follows; the cut may be used for the node; for its
    sibling. ``ciphertexts``: the sums that follow, pair after pair, several to a ciphertext, re-randomised.
    ``directions``: with the root of a tree, bits of shape ``(2, n_candidates)``, set where predictions must rise or
    fall with the feature of a cut that is shown; empty if the host asks for nothing of the kind. ``categories``: with
    the root of a tree, a uint32 (little endian) per candidate: those with one number above 0 are levels of one category
    that may be cut into sets of levels; empty if there is none.

    Reveals to guest: gradient and hessian sums on one side of unnamed cuts (in the first tree: how many applicants
    and how many defaults), never over fewer rows than the host's floor, nor between neighbouring cuts of a feature;
    which unnamed cuts must lie which way, if the host has such constraints; and which unnamed cuts are levels of one
    category, and so how often each of its unnamed levels occurs: who knows such shares from elsewhere can guess names.
    向银行透露：未命名切分一侧的梯度与二阶梯度之和（在第一棵树中即申请人数与违约数），所含行数以及同一特征相邻切分之间的行数均不低于数据方下限；若数据方设有单调约束，还包括各未命名切分的约束方向；以及哪些未命名切分是同一类别特征的取值，从而得知各未命名取值的占比：若从别处已知此类占比，则可猜测其名称。
    """

    flags: bytes
    ciphertexts: bytes
    directions: bytes = b""
    categories: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choose(Message, kind="boosting.choose"):
    """Guest → the host that owns the best cuts of a level. ``choices``: (node, ways to cut it that tie for the best).

    A way is (candidates, further candidates, number of these): all of the first, and so many of the second, which the
    host takes in its own order, go left together. More than one in all must be levels of one category.

    Reveals to host: that these cuts of its features were the best of all parties for these nodes; of sets of levels
    also that their mean gradients are neighbours in the node, and which levels have equal sums there.
    向数据方透露：其特征的这些切分是相应节点的最优切分；若为取值集合，还包括这些取值在该节点内的平均梯度相邻，以及哪些取值的和相等。
    """

    tree: int
    choices: tuple[tuple[int, tuple[Way, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen(Message, kind="boosting.chosen"):
    """Host → guest. ``handles``: the host's number of each cut; ``left``: a bit per row of the run, set where it goes
    left.

    Reveals to guest: on which side of an unnamed cut each row of the node lies.
    向银行透露：节点内各行位于未命名切分的哪一侧。
    """

    handles: tuple[int, ...]
    left: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep(Message, kind="boosting.keep"):
    """Guest → host, between two trees. Keep your half as of now, on your own disk, so that the run can go on from here
    if it dies. ``n_handles``: cuts the host has made so far.

    Reveals to host: nothing; it knows its cuts.
    向数据方透露：无；其切分数量自知。
    """

    n_handles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Message, kind="boosting.kept"):
    """Host → guest, once it is on the disk. ``digest``: salted SHA-256 of the host's half as of now.

    Reveals to guest: nothing about the half's content; that the host can go on from here.
    向银行透露：不透露该部分模型的内容；仅表明数据方可由此恢复。
    """

    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall(Message, kind="boosting.recall"):
    """Guest → host, before a run that died is opened again. ``digests``: of halves the host said it had kept, newest
    first.

    Reveals to host: that the run goes on, and which of its checkpoints the guest still has.
    向数据方透露：运行将恢复，以及银行仍持有哪些检查点。
    """

    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled(Message, kind="boosting.recalled"):
    """Host → guest. ``held``: of each digest whether the host still has that half whole, made on these very rows.

    Reveals to guest: which checkpoints the host still has; that its rows and their values are those of then (if not it
    declines, which tells that they changed).
    向银行透露：数据方仍持有哪些检查点，以及其数据行与取值未变（若有变则拒绝，由此可知有变）。
    """

    held: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal(Message, kind="boosting.seal"):
    """Guest → host. Training is over; the first ``n_handles`` cuts belong to the model.

    Reveals to host: how many of its cuts the model uses.
    向数据方透露：模型采用了其多少个切分。
    """

    n_handles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed(Message, kind="boosting.sealed"):
    """Host → guest. ``digest``: salted SHA-256 of the host's half, which ties the halves together. ``features``: of
    each cut the number of its feature, in an order drawn for this model.

    Reveals to guest: which unnamed cuts of the model belong to one feature of the host, and how many of its features
    the model uses; nothing else about the half's content.
    向银行透露：模型中哪些未命名切分属于数据方的同一特征，以及模型采用了其多少个特征；不透露该部分模型的其他内容。
    """

    digest: str
    features: tuple[int, ...] = ()
