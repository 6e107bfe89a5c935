import numpy as np
import pytest

from exitwave.config.models import Segmentation
from exitwave.labels.mask import mask_of
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
