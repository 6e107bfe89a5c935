"""Errors of probabilities: known by construction, and counted pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from exitwave.benchmark.calibration import CALIBRATION_COUNTS, count_calibration, curves, scores_from_counts


def counted(probability: np.ndarray, true: np.ndarray, pixel_size: float = 1.0) -> np.ndarray:
    found = count_calibration(probability, true, pixel_size)
    assert tuple(found) == CALIBRATION_COUNTS
    return np.array(list(found.values()))


def test_the_error_is_that_of_each_bin_by_its_share_of_pixels() -> None:
    rng = np.random.default_rng(1)
    probability, true = rng.random((60, 70)), rng.random((60, 70)) < 0.4
    expected = 0.0
    for low in np.arange(10) / 10:
        inside = (probability >= low) & (probability < low + 0.1)
        expected += inside.mean() * abs(probability[inside].mean() - true[inside].mean())
    assert float(scores_from_counts(counted(probability, true))["calibration_error"]) == pytest.approx(expected)


def test_probabilities_that_are_kept_have_no_error() -> None:
    rng = np.random.default_rng(2)
    probability = rng.random((400, 400))
    errors = scores_from_counts(counted(probability, rng.random((400, 400)) < probability))
    assert errors["calibration_error"] < 0.01


def test_at_rims_only_pixels_near_the_true_outline_count() -> None:
    y, x = np.mgrid[:100, :100]
    distance = 25 - np.hypot(y - 50, x - 50)  # above 0 inside
    true, sure = distance > 0, np.where(distance > 0, 0.95, 0.05)
    # Wrong by 0.3 in a band of 3 Å about the outline, and by 0.05 elsewhere; a pixel is 0.5 Å.
    probability = np.where(np.abs(distance) < 6, np.where(true, 0.65, 0.35), sure)
    found = curves(counted(probability, true, 0.5))
    pixels = found["rim"][0]
    assert pixels.sum() == pytest.approx(np.pi * 25 * 2 * 16, rel=0.05)  # 8 px on each side
    errors = scores_from_counts(counted(probability, true, 0.5))
    assert errors["calibration_error_rim"] == pytest.approx((0.35 * 12 + 0.05 * 4) / 16, abs=0.02)
    assert errors["calibration_error"] < 0.15
    assert found["all"][0].sum() == 100 * 100


def test_certain_predictions_and_images_without_outline() -> None:
    empty = np.zeros((10, 12), bool)
    errors = scores_from_counts(counted(empty.astype(float), empty))
    assert errors["calibration_error"] == 0
    assert np.isnan(errors["calibration_error_rim"])
    errors = scores_from_counts(counted(np.ones((10, 12)), empty))
    assert errors["calibration_error"] == 1


def test_counts_of_images_add_up() -> None:
    rng = np.random.default_rng(3)
    one, other, true = rng.random((20, 30)), rng.random((20, 30)), rng.random((20, 30)) < 0.5
    together = counted(np.vstack([one, other]), np.vstack([true, true]))
    summed = counted(one, true) + counted(other, true)
    assert scores_from_counts(summed)["calibration_error"] == pytest.approx(
        float(scores_from_counts(together)["calibration_error"])
    )
