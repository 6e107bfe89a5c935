import numpy as np

from exitwave.items import item_rng


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
