import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exitwave.data.random import item_rng, split_position

identities = st.integers(0, 2**32 - 1).map(lambda n: f"{n:08x}")


def test_an_item_draws_the_same_whatever_was_drawn_before_it():
    forward = [item_rng(7, "images", "00c0ffee", item).random(4) for item in range(6)]
    backward = [item_rng(7, "images", "00c0ffee", item).random(4) for item in reversed(range(6))][::-1]
    np.testing.assert_array_equal(forward, backward)


def test_seed_stage_block_item_and_draw_each_give_another_stream():
    keys = [
        (7, "images", "00c0ffee", 1, 0),
        (8, "images", "00c0ffee", 1, 0),
        (7, "exit_waves", "00c0ffee", 1, 0),
        (7, "images", "00c0fffe", 1, 0),
        (7, "images", "00c0ffee", 2, 0),
        (7, "images", "00c0ffee", 1, 1),
        (7, "images", "00c0ffee", 0, 1),
        (7, "images", "00c0ffee", 1),
    ]
    assert len({item_rng(*key).integers(2**63) for key in keys}) == len(keys)


def test_items_are_independent_of_each_other():
    values = np.array([item_rng(0, "images", "00c0ffee", item).normal(size=200) for item in range(50)])
    correlation = np.corrcoef(values)[~np.eye(50, dtype=bool)]
    assert np.abs(correlation).max() < 0.35
    assert abs(correlation.mean()) < 0.01


@given(identities, st.integers(4, 300), st.floats(0.05, 0.95))
def test_any_prefix_of_items_covers_the_split_positions_evenly(identity, count, share):
    """So that a share of the structures is met even when there are few; a random position would miss by 1/sqrt(n)."""
    positions = np.array([split_position(identity, item) for item in range(count)])
    assert ((positions >= 0) & (positions < 1)).all()
    # Discrepancy of the golden-ratio sequence is O(log n / n).
    assert abs((positions < share).sum() - share * count) < 1.5 + 0.5 * np.log(count)


def test_the_split_position_depends_on_block_and_item_alone():
    assert split_position("00c0ffee", 3) == split_position("00c0ffee", 3)
    assert split_position("00c0ffee", 3) != split_position("00c0ffef", 3)
    assert split_position("00c0ffee", 3) != pytest.approx(split_position("00c0ffee", 4))
