"""Decahedra and icosahedra against ASE, WulffPack, published magic numbers and closed forms."""

import numpy as np
import pytest
from ase.build import bulk
from ase.cluster import Decahedron as AseDecahedron
from ase.cluster import Icosahedron as AseIcosahedron
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation
from scipy.stats import qmc
from wulffpack import Decahedron

from exitwave.errors import StructureError
from exitwave.structures.body import SiteRole
from exitwave.structures.crystal import Crystal, crystal_from_ase
from exitwave.structures.twinned import decahedron, icosahedron

A = 4.078
NEIGHBOURS = A / np.sqrt(2)
GOLD = crystal_from_ase(bulk("Au", a=A, cubic=True), "Au")
MARKS = {"111": 1.0, "100": 1.15}
INO = {"111": 1.0, "100": 0.8}


def coordination(positions: np.ndarray) -> list[int]:
    """Sorted numbers of neighbours; strain leaves those at 1.2 distances of neighbours as they are."""
    return sorted(len(found) - 1 for found in cKDTree(positions).query_ball_point(positions, 1.2 * NEIGHBOURS))


def icosahedron_radius(shells: int) -> float:
    """Radius of the sphere of the volume of an icosahedron of so many shells, a little more for rounding."""
    edge = shells * NEIGHBOURS * np.cbrt((3 - np.sqrt(5)) * np.sqrt(2))  # the stretch across a threefold axis
    return float(np.cbrt(5 * (3 + np.sqrt(5)) / 12 * edge**3 * 3 / (4 * np.pi)) * (1 + 1e-9))


@pytest.mark.parametrize(("shells", "number"), [(1, 13), (2, 55), (3, 147), (4, 309), (5, 561), (6, 923)])
def test_icosahedra_have_the_magic_numbers_of_mackay(shells, number):
    # A. L. Mackay, Acta Crystallogr. 15 (1962) 916.
    radius = icosahedron_radius(shells)
    assert len(icosahedron(GOLD, radius)) == number
    assert shells == 1 or len(icosahedron(GOLD, radius * (1 - 1e-6))) < number


@pytest.mark.parametrize("shells", [1, 2, 4])
def test_icosahedra_are_those_of_ase_but_for_their_scale(shells):
    ours = icosahedron(GOLD, icosahedron_radius(shells)).positions
    theirs = AseIcosahedron("Au", shells + 1, latticeconstant=A).positions
    ours, theirs = np.sort(pdist(ours)), np.sort(pdist(theirs))
    np.testing.assert_allclose(ours / ours[-1], theirs / theirs[-1], atol=1e-9)


@given(st.floats(3.0, 30.0))
@settings(deadline=None, max_examples=25)
def test_neighbours_in_icosahedra_have_their_strained_distances(radius):
    body = icosahedron(GOLD, radius)
    nearest = cKDTree(body.positions).query(body.positions, k=2)[0][:, 1]
    # The stretch along the edges that meet in the middle, from the closed forms in the module.
    np.testing.assert_allclose(nearest, 0.97588 * NEIGHBOURS, rtol=1e-5)
    assert body.solid.contains(body.positions).all()
    assert body.solid.volume() == pytest.approx(4 / 3 * np.pi * radius**3, rel=1e-6)


def test_neighbours_in_icosahedra_are_further_apart_across_the_radius():
    body = icosahedron(GOLD, icosahedron_radius(4))
    distances = pdist(body.positions)
    near = np.unique((distances[distances < 1.2 * NEIGHBOURS] / NEIGHBOURS).round(5))
    assert near[-1] / near[0] == pytest.approx(4 / np.sqrt(10 + 2 * np.sqrt(5)), abs=1e-4)
    # The density is that of the crystal: the volume of one atom is a^3 / 4.
    edge = near[-1] * NEIGHBOURS
    assert 20 * np.sqrt(2) / 12 * NEIGHBOURS**3 == pytest.approx(5 * (3 + np.sqrt(5)) / 12 * edge**3, rel=1e-4)


@pytest.mark.parametrize(("energies", "numbers"), [(MARKS, {75, 192, 212, 434}), (INO, {55, 147, 309, 561, 923})])
def test_decahedra_have_the_magic_numbers_of_marks_and_ino(energies, numbers):
    assert numbers <= {len(decahedron(GOLD, radius, energies)) for radius in np.arange(6, 16, 0.1)}


@pytest.mark.parametrize(
    ("energies", "number", "sizes"),
    [
        (MARKS, 75, (2, 2, 1)),
        (MARKS, 192, (3, 3, 1)),
        (MARKS, 212, (2, 2, 2)),
        (MARKS, 434, (3, 3, 2)),
        (INO, 55, (3, 3, 0)),
        (INO, 309, (5, 5, 0)),
    ],
)
def test_decahedra_have_the_neighbours_of_those_of_ase(energies, number, sizes):
    theirs = AseDecahedron("Au", *sizes, latticeconstant=A)
    assert len(theirs) == number
    ours = next(body for radius in np.arange(6, 16, 0.1) if len(body := decahedron(GOLD, radius, energies)) == number)
    assert coordination(ours.positions) == coordination(theirs.positions)
    # ASE strains them in another way, by a few per cent.
    np.testing.assert_allclose(np.sort(pdist(ours.positions)), np.sort(pdist(theirs.positions)), rtol=0.06)


@pytest.mark.parametrize("radius", [8.0, 11.0, 14.0, 17.0, 20.0])
@pytest.mark.parametrize("energies", [MARKS, INO, {"111": 1.0, "100": 1.15, "110": 1.05}])
def test_decahedra_have_as_many_atoms_as_those_of_wulffpack(energies, radius):
    # WulffPack cuts the unstrained wedge at the distances of its strained faces, which is up to 2 % off; none of
    # these sizes has an atomic plane in between.
    reference = Decahedron(
        {tuple(int(i) for i in plane): energy for plane, energy in energies.items()},
        0.02,
        bulk("Au", a=A),
        natoms=4 / 3 * np.pi * radius**3 * 4 / A**3,
    )
    assert len(decahedron(GOLD, radius, energies, 0.02)) == len(reference.atoms)


@pytest.mark.parametrize("twin_energy", [0.01, 0.1, 0.39])
@pytest.mark.parametrize("energies", [MARKS, INO, {"111": 1.0, "100": 1.15, "110": 1.05}, {"111": 1.0}])
def test_decahedra_have_the_shape_of_those_of_wulffpack(energies, twin_energy):
    reference = Decahedron(
        {tuple(int(i) for i in plane): energy for plane, energy in energies.items()}, twin_energy, bulk("Au", a=A)
    )
    # WulffPack strains along the tangent only; the corners of its wedge before that are kept.
    corners = np.concatenate([facet.original_vertices for facet in reference.facets if facet.original_grain])
    theirs = np.sort(pdist(np.unique(corners.round(5), axis=0)))
    stretch = np.sqrt(np.tan(np.pi / 5) * np.sqrt(2))
    tangent, inwards = np.array([1, -1, 0]) / np.sqrt(2), np.array([0, 0, 1])
    body = decahedron(GOLD, 20.0, energies, twin_energy)
    ours = body.solid.volumes[0].vertices()
    ours = (
        ours + np.outer(ours @ tangent, tangent) * (1 / stretch - 1) + np.outer(ours @ inwards, inwards) * (stretch - 1)
    )
    ours = np.sort(pdist(np.unique(ours.round(6), axis=0)))
    np.testing.assert_allclose(ours / ours[-1], theirs / theirs[-1], atol=1e-5)


@given(st.floats(9.0, 30.0), st.floats(0.7, 1.5), st.floats(0.8, 1.5), st.floats(0, 0.3))
@settings(deadline=None, max_examples=30)
def test_decahedra_are_five_equal_wedges_of_the_density_of_the_crystal(radius, square, prism, twin_energy):
    body = decahedron(GOLD, radius, {"111": 1.0, "100": square, "110": prism}, twin_energy)
    assert sum(wedge.volume() for wedge in body.solid.volumes) == pytest.approx(4 / 3 * np.pi * radius**3, rel=1e-6)
    # Neighbours along the twin planes: half along the axis, the rest strained across it.
    nearest = cKDTree(body.positions).query(body.positions, k=2)[0][:, 1]
    assert nearest.min() == pytest.approx(0.996743 * NEIGHBOURS, rel=1e-5)
    assert nearest.max() < 1.0137 * NEIGHBOURS
    assert body.solid.contains(body.positions).all()
    wedges = np.bincount(body.grain)
    np.testing.assert_array_equal(wedges[1:], wedges[1])
    turn = Rotation.from_rotvec(np.radians(72) * np.array([1, 1, 0]) / np.sqrt(2)).as_matrix()
    assert cKDTree(body.positions).query(body.positions @ turn.T)[0].max() < 1e-9


def test_the_wedges_of_a_decahedron_fill_it_without_overlap():
    body = decahedron(GOLD, 15.0, INO)
    centre, reach = body.solid.bounding_sphere()
    points = centre + reach * (2 * qmc.Sobol(3, rng=1).random(2**14) - 1)
    inside = np.array([wedge.contains(points) for wedge in body.solid.volumes])
    assert inside.sum(axis=0).max() == 1
    assert inside.any(axis=0).mean() * 8 * reach**3 == pytest.approx(4 / 3 * np.pi * 15.0**3, rel=0.02)


@pytest.mark.parametrize(("body", "twins"), [(decahedron(GOLD, 14.0, MARKS), 5), (icosahedron(GOLD, 14.0), 30)])
def test_atoms_of_twin_planes_are_told_and_lie_in_mirror_planes(body, twins):
    assert len(body.defects) == twins
    assert set(np.unique(body.role)) == {0, SiteRole.PLANAR_DEFECT}
    told = body.role == SiteRole.PLANAR_DEFECT
    heights = np.array([(body.positions - twin.point) @ twin.normal for twin in body.defects])
    assert (np.abs(heights[:, told]).min(axis=0) < 1e-9).all()
    tree = cKDTree(body.positions)
    for twin, height in zip(body.defects, heights, strict=True):
        assert twin.kind == "twin"
        assert body.solid.contains(twin.point)
        assert np.linalg.norm(twin.normal) == pytest.approx(1)
        assert tree.query(body.positions - 2 * height[:, None] * twin.normal)[0].max() < 1e-9
        # Atoms near the middle of the face of a twin lie in it.
        near = np.linalg.norm(body.positions - twin.point, axis=1) < 4.0
        np.testing.assert_array_equal(told[near], np.abs(height[near]) < 1e-6)


@pytest.mark.parametrize(("body", "grains"), [(decahedron(GOLD, 14.0, MARKS), 5), (icosahedron(GOLD, 14.0), 20)])
def test_grains_are_face_centred_cubic_and_the_first_lies_along_the_crystal(body, grains):
    assert set(np.unique(body.grain)) == set(range(grains))
    np.testing.assert_array_equal(body.quaternion, [0, 0, 0, 1])
    assert body.details["material"] == "Au"
    inner = (body.role == 0) & (body.grain == 0)
    tree = cKDTree(body.positions)
    full = [i for i in np.flatnonzero(inner) if len(tree.query_ball_point(body.positions[i], 1.2 * NEIGHBOURS)) == 13]
    assert full
    directions = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 1, -1], [1, 0, -1], [1, -1, 0]]) / np.sqrt(2)
    for atom in full:
        around = tree.query_ball_point(body.positions[atom], 1.2 * NEIGHBOURS)
        bonds = body.positions[[other for other in around if other != atom]] - body.positions[atom]
        bonds /= np.linalg.norm(bonds, axis=1)[:, None]
        # The strain turns directions by less than 4°.
        assert np.abs(bonds @ directions.T).max(axis=1).min() > np.cos(np.radians(4))


def test_particles_follow_the_axes_and_the_origin_of_the_cell():
    turn = Rotation.from_euler("ZXZ", [20, 40, 70], degrees=True).as_matrix()
    turned = Crystal("turned", GOLD.cell @ turn.T, (GOLD.fractional + np.array([0.1, 0.2, 0.3])) % 1, GOLD.numbers)
    for ours, theirs in (
        (decahedron(turned, 12.0, MARKS), decahedron(GOLD, 12.0, MARKS)),
        (icosahedron(turned, 12.0), icosahedron(GOLD, 12.0)),
    ):
        found, order = cKDTree(ours.positions).query(theirs.positions @ turn.T)
        assert len(ours) == len(theirs)
        assert found.max() < 1e-9
        np.testing.assert_array_equal(ours.role[order], theirs.role)
        assert ours.solid.contains(theirs.positions @ turn.T).all()


@pytest.mark.parametrize(
    "atoms", [bulk("Fe", a=2.866, cubic=True), bulk("NaCl", "rocksalt", a=5.64, cubic=True), bulk("Au", a=A)]
)
def test_other_crystals_are_refused(atoms):
    crystal = crystal_from_ase(atoms, "other")
    for make in (lambda: decahedron(crystal, 15.0, MARKS), lambda: icosahedron(crystal, 15.0)):
        with pytest.raises(StructureError, match="for 'other'; allowed: a face-centred cubic element"):
            make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: icosahedron(GOLD, 1.0), "allowed: 2.38"),
        (lambda: icosahedron(GOLD, float("nan")), "radius is nan"),
        (lambda: decahedron(GOLD, 3.0, MARKS), "no atom beside"),
        (lambda: decahedron(GOLD, -1.0, MARKS), "radius is -1"),
        (lambda: decahedron(GOLD, 15.0, MARKS, 2.5), "twin_energy is 2.5"),
        (lambda: decahedron(GOLD, 15.0, MARKS, -0.1), "twin_energy is -0.1"),
        (lambda: decahedron(GOLD, 15.0, {"111": 1.0, "11-1": 2.0}), "equivalent in 'Au'"),
    ],
)
def test_impossible_particles_are_refused(make, message):
    with pytest.raises(StructureError, match=message):
        make()
