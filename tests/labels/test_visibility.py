"""Visibility of columns: against a matched filter on simulated noise, and against a Cramér-Rao bound done by hand."""

import numpy as np
import pytest

from exitwave.labels.visibility import visibility

SIZE, SIGMA = 64, 2.4


def spots(places: np.ndarray, electrons: np.ndarray, size: int = SIZE, sigma: float = SIGMA) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    heights = electrons / (2 * np.pi * sigma**2)
    return sum(
        height * np.exp(-((x - one[0]) ** 2 + (y - one[1]) ** 2) / (2 * sigma**2))
        for one, height in zip(places, heights, strict=True)
    )


def test_a_column_alone_is_as_visible_as_a_matched_filter_finds_it():
    place, electrons, background = np.array([[30.3, 33.8]]), np.array([60.0]), 5.0
    shape = spots(place, np.ones(1))
    expected = electrons[0] * shape + background
    rng = np.random.default_rng(1)
    template = shape - shape.mean()
    # Contrast of the filter's answer with and without the column, over its spread.
    with_it = (rng.poisson(np.broadcast_to(expected, (4000, SIZE, SIZE))) * template).sum(axis=(1, 2))
    without = (rng.poisson(background, (4000, SIZE, SIZE)) * template).sum(axis=(1, 2))
    measured = (with_it.mean() - without.mean()) / with_it.std()
    assert visibility(place, electrons, expected, SIGMA)[0] == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize("distance", [2.5, 4.0, 7.0])
def test_a_neighbour_hides_what_it_could_do_itself(distance):
    places = np.array([[30.0, 32.0], [30.0 + distance, 32.0]])
    electrons, background = np.array([20.0, 200.0]), 400.0
    expected = spots(places, electrons) + background
    step = 1e-4
    templates = [spots(places[:1], np.ones(1)), spots(places[1:], np.ones(1))]
    for axis in (0, 1):
        moved = np.zeros(2)
        moved[axis] = step
        templates.append((spots(places[1:] + moved, np.ones(1)) - spots(places[1:] - moved, np.ones(1))) / (2 * step))
    flat = np.array([one.ravel() for one in templates])
    information = (flat / expected.ravel()) @ flat.T
    by_hand = electrons[0] / np.sqrt(np.linalg.inv(information)[0, 0])
    assert visibility(places, electrons, expected, SIGMA)[0] == pytest.approx(by_hand, rel=0.06)


def test_far_columns_hide_nothing_and_dose_counts_by_its_root():
    places, electrons = np.array([[15.0, 15.0], [45.0, 45.0]]), np.array([50.0, 80.0])
    expected = spots(places, electrons) + 3
    both = visibility(places, electrons, expected, SIGMA)
    assert visibility(places[:1], electrons[:1], expected, SIGMA)[0] == pytest.approx(both[0], rel=1e-6)
    np.testing.assert_allclose(visibility(places, 4 * electrons, 4 * expected, SIGMA), 2 * both, rtol=1e-9)


def test_no_columns_and_two_in_one_place():
    assert visibility(np.zeros((0, 2)), np.zeros(0), np.ones((8, 8)), 1.0).shape == (0,)
    same = visibility(np.full((2, 2), 20.0), np.full(2, 50.0), np.full((SIZE, SIZE), 4.0), SIGMA)
    assert (same < 1e-2).all()
