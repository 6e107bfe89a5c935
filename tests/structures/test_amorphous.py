"""Amorphous carbon."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from exitwave.errors import StructureError
from exitwave.structures.amorphous import amorphous_carbon

AVOGADRO = 6.02214076e23


def test_mistake_03_blocks_differ_by_seed():
    first, second = (amorphous_carbon(30, 20, 2.0, 1.4, np.random.default_rng(seed)) for seed in (1, 2))
    assert first.shape == second.shape
    nearest = cKDTree(first).query(second)[0]
    assert np.median(nearest) > 0.5


@pytest.mark.parametrize(("edge", "thickness", "distance"), [(30.0, 20.0, 1.4), (17.3, 5.0, 1.7), (60.0, 0.4, 1.4)])
def test_mistake_03_minimum_distance_holds_across_the_periodic_seam(edge, thickness, distance):
    positions = amorphous_carbon(edge, thickness, 1.8, distance, np.random.default_rng(3))
    images = [positions + np.array([i * edge, j * edge, 0]) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    nearest = cKDTree(np.concatenate(images)).query(positions, k=2)[0][:, 1]
    assert nearest.min() >= distance
    # Dense enough that atoms do meet, also over the seam: otherwise the test would show nothing.
    at_seam = (positions[:, :2] < distance / 2).any(axis=1)
    assert at_seam.any()
    assert nearest.min() < 1.1 * distance


def test_mistake_03_density_is_within_two_percent_also_inside():
    edge, thickness, density = 60.0, 40.0, 2.0
    positions = amorphous_carbon(edge, thickness, density, 1.4, np.random.default_rng(4))

    def grams_per_cm3(atoms, height):
        return atoms * 12.011 / AVOGADRO / (edge**2 * height * 1e-24)

    assert grams_per_cm3(len(positions), thickness) == pytest.approx(density, rel=0.02)
    inside = np.abs(positions[:, 2] - thickness / 2) < thickness / 4
    assert grams_per_cm3(inside.sum(), thickness / 2) == pytest.approx(density, rel=0.02)
    assert positions[:, :2].min() >= 0
    assert positions[:, :2].max() < edge
    assert positions[:, 2].min() >= 0
    assert positions[:, 2].max() <= thickness


def test_first_neighbours_are_isotropic():
    positions = amorphous_carbon(40, 40, 2.0, 1.4, np.random.default_rng(5))
    inner = positions[np.all(np.abs(positions - 20) < 17, axis=1)]
    tree = cKDTree(positions)
    bonds = np.concatenate([positions[tree.query_ball_point(p, 2.0)] - p for p in inner])
    bonds = bonds[np.linalg.norm(bonds, axis=1) > 0]
    bonds /= np.linalg.norm(bonds, axis=1, keepdims=True)
    np.testing.assert_allclose(np.mean(bonds**2, axis=0), 1 / 3, atol=0.01)


def test_density_beyond_random_packing_is_an_error():
    with pytest.raises(StructureError, match=r"density is 6 g/cm³.*stops at about [45]\.\d+ g/cm³"):
        amorphous_carbon(15, 10, 6.0, 1.4, np.random.default_rng(0))


def test_field_below_two_distances_is_an_error():
    with pytest.raises(StructureError, match="field_of_view is 2 Å"):
        amorphous_carbon(2, 10, 2.0, 1.4, np.random.default_rng(0))
