"""Equilibrium shapes against WulffPack and against shapes known in closed form."""

from itertools import pairwise

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal as from_space_group
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from wulffpack import SingleCrystal, Winterbottom
from wulffpack.core.geometry import get_standardized_structure

from exitwave.errors import StructureError
from exitwave.structures.crystal import Crystal, crystal_from_ase, fill
from exitwave.structures.shapes import make_solid
from exitwave.structures.wulff import (
    miller_indices,
    surface_faces,
    volume_and_centre,
    winterbottom_solid,
    wulff_solid,
)

A = 4.078
PRIMITIVE = {
    "Au": bulk("Au", a=A),
    "Fe": bulk("Fe", a=2.866),
    "Co": bulk("Co", "hcp", a=2.507, c=4.069),
    "Si": bulk("Si", a=5.431),
    "GaAs": bulk("GaAs", "zincblende", a=5.653),
    "TiO2": from_space_group(
        ["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=[4.594, 4.594, 2.959, 90, 90, 90]
    ),
    "CdSe": bulk("CdSe", "wurtzite", a=4.299, c=7.011, u=0.3762),
}


def standard(name: str) -> Crystal:
    return crystal_from_ase(get_standardized_structure(PRIMITIVE[name]), name)


def tuples(energies: dict[str, float]) -> dict[tuple[int, int, int], float]:
    return {miller_indices(plane): energy for plane, energy in energies.items()}


def atoms_of_volume(crystal: Crystal, radius: float) -> float:
    return 4 / 3 * np.pi * radius**3 * len(crystal.numbers) / abs(np.linalg.det(crystal.cell))


def common_point(solid, faces, interface=(0.0, 0.0, 0.0)) -> np.ndarray:
    """Where the distances of the faces, but for that of the interface, are proportional to their energies."""
    normals, energies = faces
    matches = (normals @ solid.normals.T > 1 - 1e-9) & (solid.normals @ interface < 1 - 1e-9)
    free = matches.any(axis=0)
    ours = np.column_stack([energies[matches.argmax(axis=0)], solid.normals])[free]
    found, residual, *_ = np.linalg.lstsq(ours, solid.distances[free], rcond=None)
    assert residual.size == 0 or residual[0] < 1e-12
    return found[1:]


@pytest.mark.parametrize("radius", [9.3, 17.7])
@pytest.mark.parametrize(
    ("name", "energies"),
    [
        ("Au", {"111": 1.0, "100": 1.15}),
        ("Au", {"111": 1.0, "100": 1.1, "110": 1.12, "321": 1.13}),
        ("Fe", {"110": 1.0, "100": 1.02, "2,1,1": 1.07}),
        ("Co", {"001": 1.0, "100": 1.07, "101": 1.1}),
        ("Si", {"111": 1.0, "100": 1.1}),
        ("TiO2", {"110": 1.0, "100": 1.2, "101": 1.5}),
        ("CdSe", {"100": 1.0, "001": 1.3, "00-1": 1.6, "101": 1.35}),
    ],
)
def test_particles_have_as_many_atoms_as_those_of_wulffpack(name, energies, radius):
    crystal = standard(name)
    reference = SingleCrystal(tuples(energies), PRIMITIVE[name], natoms=atoms_of_volume(crystal, radius))
    solid = wulff_solid(crystal, energies, radius)
    # WulffPack puts the origin of the lattice where the faces have their distances from, and we the centre of mass.
    origin = common_point(solid, surface_faces(crystal, energies))
    positions, numbers = fill(crystal, solid, origin)
    atoms = reference.atoms
    assert sorted(numbers) == sorted(atoms.numbers)
    order, expected = np.lexsort((positions - origin).round(4).T), np.lexsort(atoms.positions.round(4).T)
    np.testing.assert_allclose((positions - origin)[order].round(4), atoms.positions[expected].round(4), atol=2e-4)


@pytest.mark.parametrize("interface", [(1, 1, 1), (1, -1, 0), (1, 0, 0), (3, 2, 1)])
@pytest.mark.parametrize("energy", [0.05, 0.35, 0.8])
def test_particles_on_a_substrate_have_as_many_atoms_as_those_of_wulffpack(interface, energy):
    crystal, energies = standard("Au"), {"111": 1.0, "100": 1.15}
    solid = winterbottom_solid(crystal, energies, interface, energy, 15.3)
    reference = Winterbottom(
        tuples(energies), interface, energy, PRIMITIVE["Au"], natoms=atoms_of_volume(crystal, 15.3)
    )
    normal = np.array(interface) / np.linalg.norm(interface)
    positions, _ = fill(crystal, solid, common_point(solid, surface_faces(crystal, energies), normal))
    assert len(positions) == len(reference.atoms)


@pytest.mark.parametrize("energy", [-0.4, -0.9])
def test_wetting_particles_have_the_shape_of_those_of_wulffpack(energy):
    # WulffPack adds up volumes without sign, so that the sizes differ below 0; the shapes do not.
    solid = winterbottom_solid(standard("Au"), {"111": 1.0, "100": 1.15}, (1, 1, 1), energy, 10.0)
    reference = Winterbottom(tuples({"111": 1.0, "100": 1.15}), (1, 1, 1), energy, PRIMITIVE["Au"])
    ours = np.unique(solid.vertices().round(7), axis=0)
    theirs = np.unique(np.concatenate([facet.vertices for facet in reference.facets]).round(6), axis=0)
    ours, theirs = np.sort(pdist(ours)), np.sort(pdist(theirs))
    np.testing.assert_allclose(ours / ours[-1], theirs / theirs[-1], atol=1e-6)


@pytest.mark.parametrize("energy", [-0.7, 0.0, 0.6])
def test_a_cube_on_a_substrate_is_cut_to_its_height(energy):
    solid = winterbottom_solid(standard("Au"), {"100": 1.0}, (0, 0, -1), energy, 10.0)
    extent = np.ptp(solid.vertices(), axis=0)
    np.testing.assert_allclose(extent[2] / extent[:2], (1 + energy) / 2)


def test_the_interface_looks_along_its_plane():
    crystal, energies = standard("CdSe"), {"100": 1.0, "101": 1.2, "10-1": 1.2, "001": 1.1, "00-1": 1.1}
    below = winterbottom_solid(crystal, energies, (0, 0, 1), -0.2, 10.0)
    corners = below.vertices()
    # What is cut away lies on the side of the normal, so the largest face does.
    widths = [np.ptp(corners[np.abs(corners[:, 2] - z) < 1e-6, 0]) for z in (corners[:, 2].max(), corners[:, 2].min())]
    assert widths[0] > widths[1]


def test_faces_of_the_broken_bond_model_give_the_regular_truncated_octahedron():
    # An atom of (111) has 3 broken bonds and an area of sqrt(3)/4 a^2, one of (100) 4 and a^2/2: 1 to 2 / sqrt(3).
    crystal = standard("Au")
    ours = wulff_solid(crystal, {"111": 1.0, "100": 2 / np.sqrt(3)}, 20.0).vertices()
    regular = make_solid("truncated_octahedron", crystal, 20.0).vertices()
    np.testing.assert_allclose(np.sort(pdist(ours)), np.sort(pdist(regular)), atol=1e-6)


@given(
    st.sampled_from(["Au", "Fe", "Co", "TiO2", "GaAs"]),
    st.lists(st.floats(0.7, 1.4), min_size=4, max_size=4),
    st.floats(2, 60),
)
@settings(deadline=None, max_examples=30)
def test_shapes_have_their_volume_and_centre_and_the_symmetry_of_the_crystal(name, values, radius):
    crystal = standard(name)
    planes = ("111", "-1-1-1", "100", "001")
    if name != "GaAs":  # without a centre of symmetry, so that its {111} are two forms
        values[1] = values[0]
    if name in ("Au", "Fe", "GaAs"):
        values[3] = values[2]
    solid = wulff_solid(crystal, dict(zip(planes, values, strict=True)), radius)
    corners = solid.vertices()
    volume, centre = volume_and_centre(corners)
    assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=1e-6)
    np.testing.assert_allclose(centre, 0, atol=1e-6 * radius)
    # A twofold axis along c, fourfold or sixfold to the power, is common to all of these crystals.
    assert solid.contains(corners * [-1, -1, 1] * (1 - 1e-7)).all()


@given(st.floats(-0.95, 0.99), st.sampled_from([(1, 1, 1), (0, 0, 1), (1, 1, 0), (2, 1, 3)]))
@settings(deadline=None, max_examples=20)
def test_a_lower_energy_of_the_interface_makes_the_particle_flatter(energy, interface):
    crystal, energies = standard("Au"), {"111": 1.0, "100": 1.15}
    normal = np.array(interface) / np.linalg.norm(interface)
    heights = []
    for value in (energy, energy - 0.04):
        solid = winterbottom_solid(crystal, energies, interface, value, 10.0)
        volume, centre = volume_and_centre(solid.vertices())
        assert volume == pytest.approx(4 / 3 * np.pi * 1000, rel=1e-6)
        np.testing.assert_allclose(centre, 0, atol=1e-5)
        heights.append(np.ptp(solid.vertices() @ normal))
    assert heights[1] < heights[0]


def test_rounded_coordinates_keep_the_symmetry():
    cell = standard("CdSe").cell.round(3)
    sites = [[0.333, 0.667, 0.0], [0.667, 0.333, 0.5], [0.333, 0.667, 0.376], [0.667, 0.333, 0.876]]
    atoms = Atoms("Cd2Se2", cell=cell, scaled_positions=sites, pbc=True)
    crystal = crystal_from_ase(atoms, "rounded")
    assert len(surface_faces(crystal, {"100": 1.0})[0]) == 6
    assert len(surface_faces(crystal, {"001": 1.0})[0]) == 1


def test_forms_have_the_multiplicity_of_the_point_group():
    # International Tables A: general and special forms of m-3m, 6/mmm, 4/mmm and -43m.
    for name, plane, number in (
        ("Au", "321", 48), ("Au", "210", 24), ("Au", "111", 8), ("Au", "110", 12), ("Co", "101", 12),
        ("Co", "213", 24), ("GaAs", "111", 4), ("TiO2", "321", 16), ("TiO2", "001", 2), ("CdSe", "101", 6),
        ("CdSe", "213", 12),
    ):  # fmt: skip
        assert len(surface_faces(standard(name), {plane: 1.0})[0]) == number, (name, plane)


@pytest.mark.parametrize(
    ("text", "indices"),
    [("111", (1, 1, 1)), ("-110", (-1, 1, 0)), ("1-10", (1, -1, 0)), ("00-1", (0, 0, -1)), ("1, 0,-12", (1, 0, -12))],
)
def test_planes_are_read(text, indices):
    assert miller_indices(text) == indices


@pytest.mark.parametrize("text", ["000", "11", "1111", "1,1", "abc", "", "1.0,0,0", "10-10"])
def test_planes_that_cannot_be_read_are_refused(text):
    with pytest.raises(StructureError, match="three indices"):
        miller_indices(text)


@pytest.mark.parametrize(
    ("name", "energies", "message"),
    [
        ("Au", {"111": 1.0, "-111": 1.1}, "equivalent in 'Au'"),
        ("Au", {"111": 0.0}, "above 0"),
        ("Au", {"111": float("nan")}, "above 0"),
        ("CdSe", {"100": 1.0}, "do not close"),
        ("CdSe", {"100": 1.0, "001": 1.0}, "do not close"),
        ("Co", {"001": 1.0}, "do not close"),
    ],
)
def test_energies_that_give_no_shape_are_refused(name, energies, message):
    with pytest.raises(StructureError, match=message):
        wulff_solid(standard(name), energies, 10.0)


@pytest.mark.parametrize("energy", [-1.01, 1.01, float("nan")])
def test_particles_that_wet_or_leave_the_substrate_are_refused(energy):
    with pytest.raises(StructureError, match="wets the substrate"):
        winterbottom_solid(standard("Au"), {"111": 1.0, "100": 1.15}, (1, 1, 1), energy, 10.0)


def test_other_sizes_of_a_shape_are_its_scaled_copies():
    crystal = standard("Au")
    sizes = [wulff_solid(crystal, {"111": 1.0}, radius) for radius in (5.0, 10.0, 15.0)]
    for small, large in pairwise(sizes):
        np.testing.assert_array_equal(small.normals, large.normals)
        np.testing.assert_allclose(large.distances - small.distances, sizes[0].distances)
