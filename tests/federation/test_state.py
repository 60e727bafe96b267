"""What a host remembers survives being written down."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from federation.alignment.host import AlignmentState
from federation.vertical.boosting.state import BoostingState

ints = st.integers(-(2**63), 2**63 - 1)
rows = arrays(np.int64, st.integers(0, 20))


def same(a: object, b: object) -> bool:
    return all(
        type(x) is type(y) and (np.array_equal(x, y) and x.dtype == y.dtype if isinstance(x, np.ndarray) else x == y)
        for x, y in ((getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    )


@given(st.builds(AlignmentState, phase=st.text(), key=st.binary(), n_evaluated=ints, order=rows, rows=rows))
def test_alignment_state_comes_back(state: AlignmentState) -> None:
    assert same(AlignmentState.load(state.dump()), state)


@given(
    st.builds(
        BoostingState,
        model_id=st.text(),
        key=st.binary(),
        ciphertexts=st.binary(),
        order=rows,
        node_of=rows,
        masks=st.lists(st.tuples(ints, st.binary())).map(tuple),
        splits=st.lists(st.tuples(ints, ints, st.booleans())).map(tuple),
    )
)
def test_boosting_state_comes_back(state: BoostingState) -> None:
    assert same(BoostingState.load(state.dump()), state)


def test_restored_arrays_can_be_written_to() -> None:
    again = BoostingState.load(BoostingState(node_of=np.zeros(3, dtype=np.int64)).dump())
    again.node_of[0] = 7
    assert again.node_of.tolist() == [7, 0, 0]


def test_what_cannot_be_restored_is_not_kept() -> None:
    with pytest.raises(TypeError, match="cannot be kept"):
        BoostingState(phase=object()).dump()
