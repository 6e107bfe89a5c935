"""Zone axes of crystals: the shortest periods, no two equivalent, in indices of the primitive and conventional cell."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from exitwave.structures.crystal import crystal_from_ase
from exitwave.structures.standard import StandardCrystal, standardised
from exitwave.structures.zone_axes import in_conventional, in_stored, zone_axes


def crystal(atoms: Atoms) -> StandardCrystal:
    return standardised(crystal_from_ase(atoms, "crystal"), "crystal")


def triclinic() -> Atoms:
    return Atoms("NaCl", scaled_positions=[[0.02, 0.1, 0.05], [0.45, 0.52, 0.61]], cell=[3.1, 3.9, 5.2, 81, 95, 74])


CRYSTALS = {
    "fcc": bulk("Au", a=4.08),
    "diamond": bulk("Si", a=5.431),
    "bcc": bulk("Fe", a=2.87),
    "hcp": bulk("Mg"),
    "wurtzite": bulk("GaN", "wurtzite", a=3.19, c=5.19),
    "zincblende": bulk("GaAs", "zincblende", a=5.65),
    "rhombohedral": bulk("Bi"),
    "tetragonal": bulk("In"),
    "triclinic": triclinic(),
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fcc", {(1, 1, 0): 4.08 / 2**0.5, (1, 0, 0): 4.08, (2, 1, 1): 4.08 * 1.5**0.5, (3, 1, 0): 4.08 * 2.5**0.5}),
        ("diamond", {(1, 1, 0): 5.431 / 2**0.5, (1, 0, 0): 5.431, (2, 1, 1): 5.431 * 1.5**0.5}),
        ("bcc", {(1, 1, 1): 2.87 * 0.75**0.5, (1, 0, 0): 2.87, (1, 1, 0): 2.87 * 2**0.5}),
        ("hcp", {(1, 0, 0): 3.21, (0, 0, 1): 5.21304, (1, -1, 0): 3.21 * 3**0.5}),
    ],
)
def test_zone_axes_of_well_known_crystals(name: str, expected: dict[tuple[int, int, int], float]) -> None:
    found = zone_axes(crystal(CRYSTALS[name]), len(expected))
    assert [axis.conventional for axis in found] == list(expected)
    np.testing.assert_allclose([axis.period for axis in found], list(expected.values()), rtol=1e-5)


@pytest.mark.parametrize("name", CRYSTALS)
def test_zone_axes_are_all_short_periods_and_no_two_are_equivalent(name: str) -> None:
    standard = crystal(CRYSTALS[name])
    found = zone_axes(standard, 8)
    structure = Structure(standard.crystal.cell, standard.crystal.numbers, standard.crystal.fractional)
    point_group = SpacegroupAnalyzer(structure).get_point_group_operations(cartesian=True)
    turned = [operator.rotation_matrix for operator in point_group]
    turned += [-matrix for matrix in turned]  # the Laue class
    cell = standard.crystal.cell
    vectors = [np.array(axis.indices) @ cell for axis in found]

    def equivalent(one: np.ndarray, other: np.ndarray) -> bool:
        return any(np.linalg.norm(matrix @ one - other) < 0.01 for matrix in turned)

    assert not any(equivalent(one, other) for one, other in combinations(vectors, 2))
    assert np.all(np.diff([axis.period for axis in found]) > -1e-5)
    # Every shorter lattice vector is one of them, or equivalent to one.
    span = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"), -1).reshape(-1, 3)
    span = span[np.gcd.reduce(span, axis=1) == 1]
    short = [vector for vector in span @ cell if np.linalg.norm(vector) < found[-1].period - 1e-3]
    assert short
    assert all(any(equivalent(vector, one) for one in vectors) for vector in short)


@pytest.mark.parametrize("name", CRYSTALS)
def test_indices_in_both_cells_are_one_direction(name: str) -> None:
    standard = crystal(CRYSTALS[name])
    for axis in zone_axes(standard, 8):
        stored = np.array(axis.indices) @ standard.crystal.cell
        assert np.linalg.norm(stored) == pytest.approx(axis.period)
        conventional = np.array(axis.conventional) @ standard.conventional
        np.testing.assert_allclose(stored / axis.period, conventional / np.linalg.norm(conventional), atol=1e-6)
        assert tuple(in_stored(standard, np.array(axis.conventional))) == axis.indices
        assert tuple(in_conventional(standard, np.array(axis.indices))) == axis.conventional


def test_a_longer_list_begins_with_a_shorter_one() -> None:
    standard = crystal(triclinic())
    assert zone_axes(standard, 20)[:3] == zone_axes(standard, 3)
    assert len(zone_axes(standard, 20)) == 20
