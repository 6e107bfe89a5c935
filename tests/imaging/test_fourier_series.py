"""Images that repeat: exact between the places where they are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exitwave.imaging.fourier_series import at_places

CORNER, VECTORS = np.array([1.3, -0.4]), np.array([[3.1, 0.6], [-0.9, 4.2]])


def series(rows: int, columns: int, places: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """A sum of waves with frequencies of the lattice, each damped as a Gaussian does."""
    rng = np.random.default_rng(seed)
    found = np.zeros(places.shape[:-1])
    for along in range(-(columns // 2), columns // 2 + 1):
        for across in range(-(rows // 2), rows // 2 + 1):
            frequency = np.linalg.solve(VECTORS, [along, across])
            wave = np.cos(2 * np.pi * (places - CORNER) @ frequency + rng.uniform(0, 6))
            found += rng.normal() * wave * np.exp(-2 * np.pi**2 * sigma**2 * frequency @ frequency)
    return found


@given(st.integers(0, 3), st.integers(0, 3), st.floats(0, 0.8), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_a_series_is_exact_anywhere_and_blurred_by_a_gaussian(rows, columns, sigma, seed):
    n, m = 2 * rows + 1, 2 * columns + 1
    fractions = np.stack(np.meshgrid(np.arange(m) / m, np.arange(n) / n), -1)
    known = series(n, m, CORNER + fractions @ VECTORS, 0.0, seed)
    places = np.random.default_rng(seed).uniform(-20, 20, (4, 7, 2))
    found = at_places(known, CORNER, VECTORS, places, sigma)
    np.testing.assert_allclose(found, series(n, m, places, sigma, seed), atol=1e-9)
    np.testing.assert_allclose(at_places(known, CORNER, VECTORS, places + VECTORS[1], sigma), found, atol=1e-9)


def test_many_places_are_those_of_few():
    values = np.random.default_rng(0).random((5, 7))
    places = np.random.default_rng(1).uniform(0, 50, (130, 130, 2))
    found = at_places(values, CORNER, VECTORS, places, 0.3)
    np.testing.assert_allclose(found[-1, -5:], at_places(values, CORNER, VECTORS, places[-1, -5:], 0.3), atol=1e-12)


def test_an_even_number_is_refused():
    with pytest.raises(ValueError, match="4 x 5 values of a cell; allowed: odd numbers"):
        at_places(np.zeros((4, 5)), CORNER, VECTORS, np.zeros((1, 2)), 0.0)
