"""What a tip records: surfaces of constant density in closed form, places between grid points, blunt tips, noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import j1

from exitwave.imaging.tunnelling import (
    currents_at,
    heights_of,
    logarithm,
    mean_density,
    over_cell,
    slow_series,
)

HEIGHTS = np.arange(2.0, 10.1, 0.25)
VECTORS = np.array([[3.0, 0.0], [-0.8, 4.2]])
CORNER = np.array([0.7, -1.1])
SLOPE = 2.1


def wave(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A density in the plane, by fractions of the two vectors; not the same along both, nor mirrored."""
    one = 1 + 0.4 * np.cos(2 * np.pi * first) + 0.2 * np.sin(2 * np.pi * (second - 2 * first))
    return one + 0.15 * np.cos(2 * np.pi * second)


def density() -> np.ndarray:
    row, column = np.mgrid[:9, :9] / 9
    return np.exp(-SLOPE * (HEIGHTS - 2))[:, None, None] * wave(column, row)


def places(number: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Places, and the density in the plane at them."""
    found = np.random.default_rng(1).uniform(-30, 30, (number, number, 2))
    fractions = (found - CORNER) @ np.linalg.inv(VECTORS)
    return found, wave(fractions[..., 0], fractions[..., 1])


def test_a_surface_of_constant_density_is_that_in_closed_form() -> None:
    setpoint = 1e-3
    surface = heights_of(logarithm(density(), VECTORS, 0.0), HEIGHTS, setpoint)
    at, expected = places()
    found = over_cell(surface, CORNER, VECTORS, at)
    np.testing.assert_allclose(found, 2 + np.log(expected / setpoint) / SLOPE, atol=1e-3)


def test_currents_between_planes_and_places_are_those_in_closed_form() -> None:
    at, expected = places()
    tip = np.random.default_rng(2).uniform(1.8, 10.4, expected.shape)  # also a little beyond the planes
    found = currents_at(logarithm(density(), VECTORS, 0.0), HEIGHTS, CORNER, VECTORS, at, tip)
    np.testing.assert_allclose(found, expected * np.exp(-SLOPE * (tip - 2)), rtol=2e-3)


def test_turned_and_moved_vectors_turn_and_move_the_image() -> None:
    surface = heights_of(logarithm(density(), VECTORS, 0.0), HEIGHTS, 1e-3)
    at, _ = places()
    turn = np.array([[np.cos(0.6), np.sin(0.6)], [-np.sin(0.6), np.cos(0.6)]])
    moved = np.array([5.3, -2.2])
    turned = over_cell(surface, CORNER @ turn + moved, VECTORS @ turn, at @ turn + moved)
    np.testing.assert_allclose(turned, over_cell(surface, CORNER, VECTORS, at), atol=1e-9)


def test_a_blunt_tip_averages_over_a_disk() -> None:
    radius, reciprocal = 1.3, 2 * np.pi * np.linalg.inv(VECTORS).T
    found = np.fft.fft2(np.exp(logarithm(density(), VECTORS, radius))[4], norm="forward")
    sharp = np.fft.fft2(np.exp(logarithm(density(), VECTORS, 0.0))[4], norm="forward")
    for first, second in ((1, 0), (0, 1), (-2, 1)):
        k = radius * np.linalg.norm(np.array([first, second]) @ reciprocal)
        assert found[second, first] == pytest.approx(2 * j1(k) / k * sharp[second, first], rel=1e-9)
    assert found[0, 0] == pytest.approx(sharp[0, 0])


def test_a_mean_density_is_that_of_its_height_and_setpoints_beyond_the_planes_are_refused() -> None:
    log_density = logarithm(density(), VECTORS, 0.0)
    assert mean_density(log_density, HEIGHTS, 4.1) == pytest.approx(np.exp(-SLOPE * 2.1), rel=1e-4)
    for setpoint in (5.0, 1e-9):
        with pytest.raises(ValueError, match="allowed: from"):
            heights_of(log_density, HEIGHTS, setpoint)


def test_the_power_of_slow_noise_falls_as_one_over_the_frequency() -> None:
    power = np.mean(
        [np.abs(np.fft.rfft(slow_series(2**14, np.random.default_rng(seed)))) ** 2 for seed in range(30)], axis=0
    )
    frequency = np.arange(1, len(power) - 1)
    slope = np.polyfit(np.log(frequency), np.log(power[1:-1]), 1)[0]
    assert slope == pytest.approx(-1, abs=0.05)
    assert slow_series(2**10, np.random.default_rng(0)).std() == pytest.approx(1)
