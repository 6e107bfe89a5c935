"""Peaks of maps: places finer than a pixel, of what is known."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from exitwave.data.peaks import find_peaks
from known_lattices import spots


def grid(rng: np.random.Generator) -> np.ndarray:
    x, y = np.meshgrid(np.arange(8, 120, 11.3), np.arange(8, 120, 9.7))
    places = np.column_stack([x.ravel(), y.ravel()])
    return np.column_stack([places + rng.uniform(-0.5, 0.5, places.shape), rng.uniform(0.2, 1, len(places))])


def test_disks_as_gaussians_are_found_where_and_as_high_as_they_are() -> None:
    rng = np.random.default_rng(0)
    for sigma in (0.8, 1.0, 1.6):
        true = grid(rng)
        found = find_peaks(spots(true, sigma), 0.15)
        assert len(found) == len(true)
        assert (np.diff(found[:, 2]) <= 0).all()
        distance, number = cKDTree(true[:, :2]).query(found[:, :2])
        assert distance.max() < 1e-4
        np.testing.assert_allclose(found[:, 2], true[number, 2], rtol=1e-4)


def test_least_height_of_disks_holds_for_the_top_between_pixels() -> None:
    image = spots(np.array([[30.5, 40.5, 1.0], [80.0, 40.0, 0.9]]))
    assert image.max() < 0.95  # the higher one has no pixel above that
    assert len(find_peaks(image, 0.95)) == 1
    np.testing.assert_allclose(find_peaks(image, 0.95)[0], [30.5, 40.5, 1.0], atol=1e-5)


def test_of_two_close_disks_the_higher_stays_and_a_chain_is_thinned_from_the_top() -> None:
    chain = np.array([[20.0, 20, 1.0], [24.0, 20, 0.9], [28.0, 20, 0.8], [60.0, 60, 0.5]])
    found = find_peaks(spots(chain), 0.1, spacing=5.0)
    np.testing.assert_allclose(found[:, :2], chain[[0, 2, 3], :2], atol=0.02)
    assert len(find_peaks(spots(chain), 0.1, spacing=3.0)) == 4
    assert len(find_peaks(spots(chain), 0.1, most=2)) == 2


def test_disks_at_the_edge_on_plateaus_and_beside_dead_pixels() -> None:
    assert len(find_peaks(np.zeros((16, 16), np.float32), 0.0)) == 0
    assert len(find_peaks(np.ones((16, 16), np.float32), 0.5)) == 0
    flat = np.zeros((16, 16), np.float32)
    flat[5:7, 8] = 1
    assert len(find_peaks(flat, 0.5)) == 1
    corner = np.zeros((16, 16), np.float32)
    corner[0, 0] = corner[8, 8] = 1
    np.testing.assert_allclose(find_peaks(corner, 0.5), [[8, 8, 1]])
    broken = spots(np.array([[8.0, 8.0, 1.0], [30.0, 30.0, 1.0]]), size=40)
    broken[8, 9], broken[20, 20] = np.nan, np.inf
    found = find_peaks(broken, 0.5)
    np.testing.assert_allclose(found[:, :2], [[30, 30]], atol=1e-5)
    assert np.isfinite(found).all()
