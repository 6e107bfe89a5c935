import numpy as np
import pandas as pd
import pytest

from exitwave.config.models import Segmentation
from exitwave.labels.mask import mask_of, signed_distance
from exitwave.training.kinds import task_of


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.15, 0.2618, 0.3, 0.4])
def test_a_stored_value_is_compared_with_the_threshold_that_was_written(threshold):
    """Not with the threshold rounded to half precision, which 0.15 and 0.3 are below."""
    nearest = np.float16(threshold)
    stored = np.array([np.nextafter(nearest, np.float16(0)), nearest, np.nextafter(nearest, np.float16(1))])
    np.testing.assert_array_equal(mask_of(stored, threshold), [float(value) > threshold for value in stored])
    task = task_of(Segmentation(kind="segmentation", target={"minimum": threshold}), {})
    expected = [float(value) >= threshold for value in stored]
    np.testing.assert_array_equal(task.targets({"phase": stored.reshape(1, 1, 3)}, None)[0, 0], expected)


def test_half_and_single_precision_of_the_same_values_give_the_same_mask():
    stored = np.random.default_rng(0).uniform(0, 0.6, 100_000).astype(np.float16)
    for threshold in (0.1, 0.15, 0.3):
        np.testing.assert_array_equal(mask_of(stored, threshold), mask_of(stored.astype(np.float32), threshold))


def test_a_pixel_without_a_value_is_not_in_the_mask():
    assert mask_of(np.array([np.nan, 0.2], np.float16), 0.1).tolist() == [False, True]
    assert mask_of(np.array([0, 1], np.uint8), 0.5).tolist() == [False, True]


def test_a_signed_distance_is_that_of_every_pixel_to_the_nearest_on_the_other_side():
    """Against all pairs of pixels; the outline is half a pixel before the nearest pixel of the other side."""
    rng = np.random.default_rng(1)
    for _ in range(5):
        mask = rng.random((13, 17)) < 0.2
        places, inside = np.argwhere(np.ones_like(mask)), mask.ravel()
        apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
        nearest = np.where(inside[:, None] == inside[None], np.inf, apart).min(axis=1) - 0.5
        expected = np.where(inside, -nearest, nearest).reshape(mask.shape)
        np.testing.assert_allclose(signed_distance(mask, 0.25), 0.25 * expected, atol=1e-12)


def test_the_signed_distance_of_a_disk_is_the_radius_from_its_middle_less_its_own():
    y, x = np.mgrid[:96, :96] * 0.05
    from_middle = np.hypot(y - 2.31, x - 2.44)
    distances = signed_distance(from_middle < 1.2, 0.05)
    np.testing.assert_allclose(distances, from_middle - 1.2, atol=0.75 * 0.05)
    assert abs((distances - (from_middle - 1.2)).mean()) < 0.2 * 0.05


def test_a_signed_distance_follows_its_mask_when_that_is_turned_or_flipped():
    mask = np.random.default_rng(2).random((16, 16)) < 0.3
    for way in (np.rot90, np.fliplr, np.flipud, np.transpose):
        np.testing.assert_array_equal(signed_distance(way(mask), 1.0), way(signed_distance(mask, 1.0)))


@pytest.mark.parametrize("all_of_it", [True, False])
def test_a_mask_without_outline_keeps_its_sign_and_next_to_no_distance_in_half_precision(all_of_it):
    distances = signed_distance(np.full((8, 8), all_of_it), 0.01).astype(np.float16)
    assert ((distances < 0) == all_of_it).all()
    assert (distances != 0).all()
    assert np.abs(distances).max() < 1e-4


def test_targets_of_the_boundary_loss_are_distances_in_nm_whose_sign_is_the_mask():
    task = task_of(Segmentation(kind="segmentation", boundary_weight=1), {})
    masks = np.random.default_rng(3).random((3, 16, 16)) < 0.3
    masks[2] = True
    rows = pd.DataFrame({"pixel_size": [0.8, 1.6, 0.8]})
    targets = task.targets({"drawn": masks}, rows)
    assert targets.dtype == np.float16
    np.testing.assert_array_equal(task.truth(targets), masks)
    np.testing.assert_allclose(targets[1], signed_distance(masks[1], 0.16), rtol=1e-3)
    assert task.statistics(targets, rows)["particle_fraction"]["max"] == 1
