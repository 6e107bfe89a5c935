"""Sums of Gaussians against the dense sum over all atoms at all pixels, and what an exact sum keeps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exitwave.imaging.convolution import render

FloatArray = NDArray[np.float64]


def dense(
    positions: FloatArray, weights: FloatArray, sigma: float, pixel: float, size: int, corner: tuple[float, float]
) -> FloatArray:
    """Every Gaussian at the centre of every pixel."""
    y, x = np.mgrid[:size, :size] * pixel + pixel / 2 + np.array(corner[::-1])[:, None, None]
    image = np.zeros((size, size))
    for (place_x, place_y), weight in zip(positions, weights, strict=True):
        distance = (x - place_x) ** 2 + (y - place_y) ** 2
        image += weight * np.exp(-distance / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    return image


def atoms(count: int, low: float, high: float, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(low, high, (count, 2)), rng.uniform(1, 80, count) ** 1.7


@given(
    sigma=st.floats(0.15, 1.5),
    pixel=st.floats(0.1, 0.5),
    size=st.integers(16, 48),
    seed=st.integers(0, 2**16),
    corner=st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
)
def test_the_dense_sum_is_met(sigma: float, pixel: float, size: int, seed: int, corner: tuple[float, float]) -> None:
    edge = size * pixel
    positions, weights = atoms(80, -2.0, edge + 2.0, seed)
    found = render(positions + np.array(corner), weights, sigma, pixel, size, corner)
    expected = dense(positions + np.array(corner), weights, sigma, pixel, size, corner)
    assert found.shape == (size, size)
    assert np.abs(found - expected).max() <= 1e-5 * expected.max()


def test_the_sum_is_that_of_the_weights_inside() -> None:
    positions, weights = atoms(300, 4.0, 28.0)
    image = render(positions, weights, 0.5, 0.25, 128)
    assert image.sum() * 0.25**2 == pytest.approx(weights.sum(), rel=1e-4)


def test_a_shift_between_pixels_is_exact() -> None:
    pixel, sigma, shift = 0.2, 0.5, 0.37 * 0.2
    place = np.array([[6.3, 5.1]])
    image = render(place + shift, np.ones(1), sigma, pixel, 64)
    centres = (np.arange(64) + 0.5) * pixel
    lines = [np.exp(-((centres - p - shift) ** 2) / (2 * sigma**2)) for p in place[0]]
    expected = np.outer(lines[1], lines[0]) / (2 * np.pi * sigma**2)
    assert np.abs(image - expected).max() <= 1e-5 * expected.max()
    # Its middle is where the atom is, in both directions.
    found = [(image.sum(axis=axis) * centres).sum() / image.sum() for axis in (0, 1)]
    assert found == pytest.approx(place[0] + shift, abs=1e-5)


def test_rows_are_y_and_columns_are_x() -> None:
    image = render(np.array([[3.1, 12.7]]), np.ones(1), 0.3, 0.2, 80)
    y, x = np.unravel_index(image.argmax(), image.shape)
    assert (y, x) == (63, 15)


def test_the_corner_is_the_outer_one_of_the_first_pixel() -> None:
    image = render(np.array([[7.25, 4.25]]), np.ones(1), 0.3, 0.5, 16, corner=(7.0, 4.0))
    assert np.unravel_index(image.argmax(), image.shape) == (0, 0)
    assert image[0, 1] == pytest.approx(image[1, 0])


@pytest.mark.parametrize("period", [(11.0, 13.0), (3.0, 4.0)])
@pytest.mark.parametrize("corner", [(0.0, 0.0), (7.7, 9.3), (-25.0, 31.0)])
def test_a_periodic_field_is_its_images_laid_out(period: tuple[float, float], corner: tuple[float, float]) -> None:
    rng = np.random.default_rng(4)
    positions, weights = rng.uniform(0, 1, (12, 2)) * period, rng.uniform(1, 5, 12)
    found = render(positions, weights, 0.6, 0.25, 40, corner, period)
    steps = np.stack(np.meshgrid(np.arange(-20, 21), np.arange(-20, 21)), -1).reshape(-1, 2) * np.array(period)
    images = (positions + steps[:, None]).reshape(-1, 2)
    near = (np.abs(images - corner - 5.0) < 10).all(axis=1)
    expected = dense(images[near], np.tile(weights, len(steps))[near], 0.6, 0.25, 40, corner)
    assert np.abs(found - expected).max() <= 1e-5 * expected.max()


def test_threads_give_the_same_bytes() -> None:
    jobs = [atoms(400, -2.0, 14.0, seed) for seed in range(8)]
    alone = [render(*job, 0.5, 0.2, 64).tobytes() for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: render(*job, 0.5, 0.2, 64).tobytes(), jobs[::-1]))
    assert together[::-1] == alone


def test_no_atom_gives_no_light() -> None:
    assert not render(np.empty((0, 2)), np.empty(0), 0.5, 0.2, 16).any()
    assert not render(np.array([[50.0, 1.0], [-3.0, 1.0]]), np.ones(2), 0.5, 0.2, 16).any()
