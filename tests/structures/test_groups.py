import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from exitwave.structures.groups import groups_by_content, items_as_groups

identities = st.integers(0, 2**32 - 1).map(lambda n: f"{n:08x}")


@given(identities, st.integers(4, 300), st.floats(0.05, 0.95))
def test_any_prefix_of_items_covers_the_positions_evenly(identity, count, share):
    """So that a share of the structures is met even when there are few; a random position would miss by 1/sqrt(n)."""
    positions = items_as_groups(identity, 0, count).positions
    assert ((positions >= 0) & (positions < 1)).all()
    # Discrepancy of the golden-ratio sequence is O(log n / n).
    assert abs((positions < share).sum() - share * count) < 1.5 + 0.5 * np.log(count)


@given(identities, st.integers(0, 40), st.integers(1, 40), st.integers(1, 40))
def test_an_item_has_the_same_group_and_position_in_whatever_shard_it_is(identity, start, few, more):
    whole = items_as_groups(identity, 0, start + few + more)
    part = items_as_groups(identity, start, start + few)
    assert part.names == whole.names[start : start + few]
    np.testing.assert_array_equal(part.positions, whole.positions[start : start + few])


def test_every_item_of_every_block_is_a_group_of_its_own():
    blocks = [items_as_groups(identity, 0, 50) for identity in ("00c0ffee", "00c0ffef")]
    assert len({name for block in blocks for name in block.names}) == 100
    assert len({position for block in blocks for position in block.positions}) == 100


def test_groups_by_content_stand_where_they_do_in_every_block_and_order():
    names = ["Au fcc 4.08", "Ag fcc 4.09", "Au fcc 4.08", "CdSe wurtzite"]
    groups = groups_by_content(names)
    assert groups.names == names
    assert groups.positions[0] == groups.positions[2]
    assert len(set(groups.positions)) == 3
    np.testing.assert_array_equal(groups_by_content(names[::-1]).positions, groups.positions[::-1])
    assert groups_by_content(["CdSe wurtzite"]).positions == groups.positions[3]


def test_the_position_of_a_group_by_content_stays_what_it_is():
    """Else a crystal would change sides between versions; the digits are those of ``b2sum --length 64``."""
    expected = int("7e5e27f971b43d91", 16) / 2**64
    assert groups_by_content(["Au fcc 4.08"]).positions[0] == pytest.approx(expected, abs=2**-53, rel=0)


def test_positions_of_groups_by_content_are_spread_over_the_unit_interval():
    positions = groups_by_content([f"crystal {number}" for number in range(2000)]).positions
    assert kstest(positions, "uniform").pvalue > 0.01
    assert 0 <= positions.min() < positions.max() < 1
