"""Disks against reflections: who counts, who does not, and what strain the places show."""

from __future__ import annotations

import numpy as np
import pytest

from exitwave.benchmark.matching import match_disks


def reflections(*rows: tuple[float, float, float]) -> np.ndarray:
    """List of places and structure factors on the Ewald sphere; the first is 000."""
    listed = np.zeros((len(rows), 9), np.float32)
    listed[:, [0, 1, 5]] = rows
    listed[1:, 2] = np.arange(1, len(rows))
    return listed


TRUE = reflections((64, 64, 30), (84, 64, 10), (44, 64, 8), (64, 84, 4), (64, 44, 2), (84, 84, 1.0))


def test_disks_strong_weak_false_and_missed() -> None:
    found = np.array([
        [64.1, 64, 5.0],  # 000 counts in no way
        [84.5, 64, 3.0],
        [44.0, 63, 2.0],
        [64.0, 86.5, 1.0],  # too far: false, and one missed
        [84.0, 84, 0.7],  # weak: a tenth of the strongest
        [20.0, 20, 0.5],
    ])  # fmt: skip
    matching = match_disks(found, TRUE, 2.0)
    assert (matching.tp, matching.fp, matching.fn) == (2, 2, 2)
    np.testing.assert_allclose(np.sort(matching.errors), [0.5, 1.0])
    assert matching.weight_found == pytest.approx(6.5)
    assert matching.weight_false == pytest.approx(1.5)
    assert matching.weight_true == pytest.approx(24)
    assert matching.weight_missed == pytest.approx(6)
    # Eq. (1) of the paper: TP = 5 / 6.5, FP = 1.5 / 6.5, FN = 6 / 24.
    assert matching.accuracy == pytest.approx((5 / 6.5) / (1 + 0.25))
    assert np.isnan(matching.strain.xx)


def test_disks_are_matched_one_to_one_and_the_nearest_first() -> None:
    found = np.array([[84.9, 64, 1.0], [84.2, 64, 0.5], [64, 64, 1.0]])
    matching = match_disks(found, TRUE, 2.0)
    assert (matching.tp, matching.fp) == (1, 1)
    np.testing.assert_allclose(matching.errors, [0.2], atol=1e-6)


def test_a_strong_reflection_takes_a_disk_from_a_weak_one_and_000_a_disk_from_none() -> None:
    listed = reflections((64, 64, 30), (84, 64, 10), (87, 64, 1.0), (67, 64, 5.0))
    matching = match_disks(np.array([[86.0, 64, 1.0], [65.0, 64, 1.0]]), listed, 2.5)
    assert (matching.tp, matching.fp, matching.fn) == (1, 0, 1)


def test_of_disks_that_nothing_can_resolve_the_weaker_is_not_asked_for() -> None:
    listed = reflections((64, 64, 30), (84, 64, 10), (85, 64, 8), (65, 64.5, 9))
    matching = match_disks(np.array([[84.2, 64, 1.0], [64, 64, 1.0]]), listed, 2.0)
    assert (matching.tp, matching.fp, matching.fn) == (1, 0, 0)


def test_weights_of_disks_fall_off_the_ewald_sphere() -> None:
    listed = TRUE.copy()
    listed[1, 6] = 0.2  # excitation error [1/Å], four standard deviations
    matching = match_disks(np.empty((0, 3)), listed, 2.0)
    assert (matching.tp, matching.fp, matching.fn) == (0, 0, 3)  # now of 8, 4 and 2 V; 1 V is weak
    assert matching.accuracy == 0


def test_disks_of_an_empty_pattern() -> None:
    nothing = match_disks(np.array([[64.0, 64, 1], [30, 30, 1]]), reflections((64, 64, 30)), 2.0)
    assert (nothing.tp, nothing.fp, nothing.fn) == (0, 1, 0)
    assert np.isnan(nothing.accuracy)
    assert match_disks(np.empty((0, 3)), np.empty((0, 9)), 2.0).fn == 0


def test_strain_that_the_places_of_disks_show() -> None:
    x, y = (20.0 * one.ravel() for one in np.meshgrid(np.arange(-2, 3), np.arange(-2, 3)))
    order = np.argsort(np.hypot(x, y), kind="stable")
    places = np.column_stack([64 + x, 64 + y])[order]
    listed = reflections(*((*place, 5.0) for place in places))
    change = np.array([[1.01, 0.002], [0.002, 0.995]])
    found = np.column_stack([(places - 64) @ change.T + [64.4, 63.7], np.ones(25)])
    matching = match_disks(found, listed, 2.3)
    assert matching.tp == 24
    # Reciprocal places 1 % too far out are a crystal that is too small.
    inverse = np.linalg.inv(change)
    np.testing.assert_allclose(
        [matching.strain.xx, matching.strain.yy, matching.strain.xy],
        [inverse[0, 0] - 1, inverse[1, 1] - 1, inverse[0, 1]], atol=1e-9,
    )  # fmt: skip
    few = match_disks(found[:4], listed, 2.3)
    line = match_disks(found[np.abs(found[:, 1] - 63.7) < 1], listed, 2.3)
    assert line.tp == 4
    assert np.isnan([few.strain.xx, line.strain.xx]).all()
