"""Strain of lattices: exact and to first order, references, against deformations that are known."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from exitwave.benchmark.lattice import Lattice
from exitwave.benchmark.strain import Strain, mean_lattice, strain_of
from exitwave.errors import LatticeError

VECTORS = np.array([[11.0, 3.0], [-2.0, 14.0]])


def turned(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def of_crystal(deformation: np.ndarray) -> np.ndarray:
    """Reciprocal vectors of a deformed crystal, by way of its real ones: their products stay whole numbers."""
    real = deformation @ np.linalg.inv(VECTORS).T
    return np.linalg.inv(real).T


def lattice(vectors: np.ndarray, used: int = 20) -> Lattice:
    return Lattice(np.array([64.0, 64.0]), vectors, 0.1, used)


def to_first_order(vectors: np.ndarray) -> Strain:
    """1 - G G0⁻¹ for F - 1, as py4DSTEM has it."""
    change = vectors @ np.linalg.inv(VECTORS)
    shear, rotation = -(change[0, 1] + change[1, 0]) / 2, (change[1, 0] - change[0, 1]) / 2
    return Strain(1 - change[0, 0], 1 - change[1, 1], shear, rotation)


def test_strain_and_rotation_of_any_deformed_crystal_are_exact() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        stretch = rng.uniform(-0.05, 0.05, (2, 2))
        stretch = (stretch + stretch.T) / 2
        angle = rng.uniform(-3, 3)
        found = strain_of(of_crystal(turned(angle) @ (np.eye(2) + stretch)), VECTORS)
        np.testing.assert_allclose([found.xx, found.yy, found.xy], stretch[[0, 1, 0], [0, 1, 1]], atol=1e-12)
        assert found.rotation == pytest.approx(angle)


def test_strain_to_first_order_is_wrong_by_its_square() -> None:
    for strain, limit in ((1e-3, 1e-6), (1e-2, 1e-4)):
        vectors = of_crystal(np.diag([1 + strain, 1.0]))
        exact, linear = strain_of(vectors, VECTORS), to_first_order(vectors)
        assert exact.xx == pytest.approx(strain, abs=1e-12)
        # 1 - 1 / (1 + e) = e - e² + e³ ...
        assert exact.xx - linear.xx == pytest.approx(strain**2 - strain**3, rel=1e-3)
        assert abs(exact.xx - linear.xx) <= limit
        assert linear.yy == pytest.approx(0, abs=1e-12)


def test_rotation_of_five_degrees_shows_no_strain() -> None:
    angle = np.radians(5)
    vectors = of_crystal(turned(angle))
    exact, linear = strain_of(vectors, VECTORS), to_first_order(vectors)
    np.testing.assert_allclose([exact.xx, exact.yy, exact.xy], 0, atol=1e-12)
    assert exact.rotation == pytest.approx(angle)
    assert linear.xx == pytest.approx(1 - np.cos(angle))  # 0.4 %
    assert linear.rotation == pytest.approx(np.sin(angle))


def test_strain_of_many_lattices_at_once_and_of_none() -> None:
    rng = np.random.default_rng(1)
    many = np.stack([of_crystal(np.eye(2) + rng.normal(0, 0.01, (2, 2))) for _ in range(6)]).reshape(2, 3, 2, 2)
    together = strain_of(many, VECTORS)
    assert together.xx.shape == (2, 3)
    one = strain_of(many[1, 2], VECTORS)
    assert (together.xy[1, 2], together.rotation[1, 2]) == (one.xy, one.rotation)
    for vectors in (np.full((2, 2), np.nan), np.ones((2, 2)), VECTORS[:, ::-1]):
        found = strain_of(vectors, VECTORS)
        assert np.isnan([found.xx, found.yy, found.xy]).all()
    assert np.isnan(strain_of(VECTORS, np.zeros((2, 2))).xx)


def test_strain_reference_is_the_median_whatever_the_vectors_are(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(2)
    lattices = [lattice(VECTORS @ change + rng.normal(0, 0.01, (2, 2)), 20)
                for change in ([[0, -1], [1, 0]], [[1, 1], [0, 1]], [[-1, 0], [0, -1]]) for _ in range(9)]  # fmt: skip
    outlier = lattice(1.3 * VECTORS, 40)
    with caplog.at_level(logging.WARNING):
        found = mean_lattice([*lattices, outlier, lattice(VECTORS @ [[0.5, 0], [0, 1]], 60)])
    assert "1 of 29 lattices" in caplog.text
    strain = strain_of(VECTORS @ np.rint(np.linalg.solve(VECTORS, found.vectors)), found.vectors)
    np.testing.assert_allclose([strain.xx, strain.yy, strain.xy], 0, atol=1e-3)
    assert found.used == 20
    with pytest.raises(LatticeError, match="at least one"):
        mean_lattice([])
