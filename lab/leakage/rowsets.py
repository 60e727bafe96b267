"""What a host sees of the fitted rows: which of them shared a node, tree by tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from federation.messages import Message
from federation.script import Responder
from federation.vertical.bits import unpack_bits
from federation.vertical.boosting.messages import Choose, Chosen, Grow, Open

Sets = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RowSets:
    """Row sets of nodes as one host saw them.

    Attributes:
        n_rows: fitted rows of the run.
        trees: number of a tree → its sets other than the root, shape ``(n_sets, n_rows)``; trees of which the host
            heard nothing, or saw the root alone, are absent.
    """

    n_rows: int
    trees: Mapping[int, Sets]


@dataclass(slots=True)
class Watching:
    """A host's responder whose owner keeps what passes through the door: an honest-but-curious host.

    It reads the messages that ``responder`` answers, and its answers, and nothing else: row sets of the nodes that were
    summed, whoever owned the cut, and sides of the host's own cuts, also those whose children need no sums.
    """

    responder: Responder
    _n_rows: int = 0
    _n_fit: int = 0
    _nodes: dict[int, Sets] = field(default_factory=dict)
    _trees: dict[int, dict[bytes, None]] = field(default_factory=dict)

    def answer(self, request: Message) -> Message:
        reply = self.responder.answer(request)
        match request, reply:
            case Open(), _:
                self._n_rows, self._n_fit = request.n_rows, request.n_fit
            case Grow(), _:
                self._grown(request)
            case Choose(), Chosen():
                left = self._fitted(reply.left)
                for node, _ in request.choices:
                    self._keep(request.tree, self._nodes[node] & left, self._nodes[node] & ~left)
        return reply

    @property
    def seen(self) -> RowSets:
        trees = {
            tree: np.array([np.frombuffer(packed, dtype=np.bool_) for packed in sets])
            for tree, sets in self._trees.items()
        }
        return RowSets(self._n_fit, trees)

    def _grown(self, m: Grow) -> None:
        if not m.cuts:
            self._nodes = {0: np.ones(self._n_fit, dtype=np.bool_)}
            return
        left = self._fitted(m.left)
        for node, left_child, right_child in m.cuts:
            here = self._nodes.pop(node)
            self._nodes |= {left_child: here & left, right_child: here & ~left}
            self._keep(m.tree, self._nodes[left_child], self._nodes[right_child])

    def _fitted(self, bits: bytes) -> Sets:
        return unpack_bits(bits, self._n_rows)[: self._n_fit]

    def _keep(self, tree: int, *sets: Sets) -> None:
        # The host hears of most of its own cuts twice: each set is kept once.
        self._trees.setdefault(tree, {}).update(dict.fromkeys(s.tobytes() for s in sets))
