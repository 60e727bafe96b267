"""Who may be in the next sum over all rows."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from federation.horizontal.aggregation.presence import Presence

NAMES = tuple(f"bank:{k:02d}" for k in range(16))
STEPS = st.lists(st.tuples(st.sampled_from(["leaves", "comes", "sum"]), st.sampled_from(NAMES)), max_size=40)


@given(STEPS, st.integers(3, 10))
def test_sites_stay_together_in_groups_of_three_whichever_sums_are_added_and_subtracted(
    steps: list[tuple[str, str]], n_first: int
) -> None:
    """Sites that were in the same sums all along cannot be told apart; every such group is of three or more, so no
    combination of the sums is of fewer sites' numbers."""
    presence, sums = Presence(NAMES[:n_first]), []
    for what, party in [*steps, ("sum", "")]:
        if what == "leaves":
            presence.sites = tuple(p for p in presence.sites if p != party)
        elif what == "comes":
            presence.sites = tuple(sorted({*presence.sites, party}))
        else:
            presence.keep_company()
            if len(presence.sites) >= 3:
                presence.summed = presence.sites
                sums.append(set(presence.sites))
    groups = Counter(tuple(party in sites for sites in sums) for party in set().union(*sums))
    assert all(n >= 3 for n in groups.values())


def test_two_stand_aside_with_one_that_left_and_never_come_back() -> None:
    presence = Presence(NAMES[:8])
    presence.summed = presence.sites
    presence.sites = NAMES[1:8]
    presence.keep_company()
    assert (presence.sites, presence.aside) == (NAMES[1:6], NAMES[6:8])
    presence.summed = presence.sites
    presence.sites = tuple(sorted((*presence.sites, NAMES[0], NAMES[6], NAMES[7])))
    presence.keep_company()
    assert presence.sites == NAMES[1:6]


def test_who_comes_late_waits_until_three_have_come() -> None:
    presence = Presence(NAMES[:4])
    presence.summed = presence.sites
    presence.sites = NAMES[:6]
    presence.keep_company()
    assert (presence.sites, presence.aside) == (NAMES[:4], NAMES[4:6])
    presence.sites = NAMES[:7]
    presence.keep_company()
    assert presence.sites == NAMES[:7]


def test_nobody_stands_aside_before_the_first_sum() -> None:
    presence = Presence(NAMES[:4])
    presence.keep_company()
    assert (presence.sites, presence.aside) == (NAMES[:4], ())
