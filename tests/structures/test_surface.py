"""Surfaces and ligands, against clusters of ASE, plain geometry and published bond lengths."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule as build
from ase.cluster import Icosahedron, Octahedron
from ase.data import covalent_radii
from scipy.spatial import ConvexHull, cKDTree
from scipy.stats import kstest

from exitwave.errors import StructureError
from exitwave.structures.body import SiteRole, make_body
from exitwave.structures.composites import core_shell, polycrystal
from exitwave.structures.crystal import cut, fill
from exitwave.structures.materials import load_material
from exitwave.structures.shapes import make_solid
from exitwave.structures.surface import (
    CLOSEST_TO_LIGAND,
    marked_surface,
    surface_area,
    surface_atoms,
    surface_normals,
    with_ligands,
)
from exitwave.structures.transforms import random_quaternion, rotation_matrix
from exitwave.structures.volumes import box, sphere

GOLD = load_material("Au")


def has(body, role):
    return (body.role & role) > 0


@pytest.mark.parametrize("method", ["coordination", "alpha_shape"])
@pytest.mark.parametrize("shells", [3, 4, 5])
def test_the_outer_shell_of_an_icosahedron_is_its_surface(method, shells):
    # A. L. Mackay, Acta Cryst. 15 (1962) 916: 10 n^2 + 2 atoms in shell n.
    atoms = Icosahedron("Au", shells)
    found = surface_atoms(atoms.positions, method=method)
    assert found.sum() == 10 * (shells - 1) ** 2 + 2
    assert np.linalg.norm(atoms.positions[found], axis=1).min() > np.linalg.norm(atoms.positions[~found], axis=1).max()


@pytest.mark.parametrize("method", ["coordination", "alpha_shape"])
@pytest.mark.parametrize(("length", "cutoff"), [(6, 0), (7, 2), (9, 3)])
def test_facets_of_octahedra_are_surface_and_what_is_below_is_not(method, length, cutoff):
    atoms = Octahedron("Pt", length, cutoff)
    hull = ConvexHull(atoms.positions)
    depth = -(atoms.positions @ hull.equations[:, :3].T + hull.equations[:, 3]).max(axis=1)
    np.testing.assert_array_equal(surface_atoms(atoms.positions, method=method), depth < 1e-3)


@pytest.mark.parametrize("material", ["Au", "Fe", "CdSe", "PbS", "CeO2", "Si"])
@pytest.mark.parametrize("method", ["coordination", "alpha_shape"])
def test_the_surface_of_a_turned_sphere_is_its_rim(material, method):
    rng = np.random.default_rng(1)
    body = cut(load_material(material), sphere(14.0), rng).moved(rotation_matrix(random_quaternion(rng)))
    found = surface_atoms(body.positions, body.numbers, method)
    depth = 14 - np.linalg.norm(body.positions, axis=1)
    assert found[depth < 0.3].all()
    assert not found[depth > 4.0].any()


def test_inner_defects_are_not_on_the_alpha_shape():
    rng = np.random.default_rng(0)
    body = polycrystal(GOLD, sphere(16.0), 5, rng)
    body = body.kept(np.linalg.norm(body.positions - body.positions[np.argmin(abs(body.positions).sum(1))], axis=1) > 0)
    found = surface_atoms(body.positions, method="alpha_shape")
    assert not found[np.linalg.norm(body.positions, axis=1) < 11].any()


@pytest.mark.parametrize("turned", [False, True])
def test_the_area_of_a_cube_is_that_of_its_six_faces(turned):
    edge = 5 * GOLD.cell[0, 0]
    positions, _ = fill(GOLD, box([edge] * 3, [edge / 2] * 3))
    if turned:
        positions = positions @ rotation_matrix(random_quaternion(np.random.default_rng(0))).T
    assert surface_area(positions) == pytest.approx(6 * edge**2, rel=1e-3)


@pytest.mark.parametrize("material", ["Au", "CdSe", "PbS"])
def test_the_area_of_a_large_sphere_is_near_that_of_the_sphere(material):
    body = cut(load_material(material), sphere(22.0), np.random.default_rng(0))
    assert surface_area(body.positions) == pytest.approx(4 * np.pi * 22**2, rel=0.12)


def test_normals_point_outwards():
    body = cut(GOLD, sphere(18.0), np.random.default_rng(0))
    atoms = np.flatnonzero(surface_atoms(body.positions))
    normals = surface_normals(body.positions, atoms)
    radial = body.positions[atoms] / np.linalg.norm(body.positions[atoms], axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
    assert np.einsum("ij,ij->i", normals, radial).min() > 0.8


@pytest.mark.parametrize(
    ("material", "name", "anchor"), [("Au", "CH3SH", "S"), ("CdSe", "H3CNH2", "N"), ("Pt", "CO", "C"), ("Au", "S", "S")]
)
def test_ligands_are_bound_at_the_sum_of_covalent_radii_and_touch_nothing_else(material, name, anchor):
    bare = cut(load_material(material), sphere(13.0), np.random.default_rng(0))
    body = with_ligands(bare, name, anchor, 2.0, np.random.default_rng(1))
    molecule = build(name)
    count = body.details["ligands"]
    assert count > 5
    np.testing.assert_array_equal(body.positions[: len(bare)], bare.positions)
    np.testing.assert_array_equal(has(body, SiteRole.ADSORBATE), np.arange(len(body)) >= len(bare))
    ligands = body.positions[len(bare) :].reshape(count, len(molecule), 3)
    tree = cKDTree(bare.positions)
    # Every molecule is rigid.
    inside = np.linalg.norm(ligands[:, :, None] - ligands[:, None], axis=-1)
    np.testing.assert_allclose(inside, np.broadcast_to(molecule.get_all_distances(), inside.shape), atol=1e-9)
    # Its binding atom stands on a surface atom.
    number = molecule.symbols.indices()[anchor][0]
    around = tree.query(ligands[:, number], k=8)
    bonds = covalent_radii[bare.numbers[around[1]]] + covalent_radii[molecule.numbers[number]]
    assert (np.abs(around[0] - bonds) < 1e-6).any(axis=1).all()
    # Nothing else is close.
    rest = np.delete(ligands, number, axis=1).reshape(-1, 3)
    if len(rest):
        assert tree.query(rest)[0].min() >= CLOSEST_TO_LIGAND
    owner = np.repeat(np.arange(count), len(molecule))
    pairs = cKDTree(ligands.reshape(-1, 3)).query_pairs(CLOSEST_TO_LIGAND - 1e-9, output_type="ndarray")
    assert (owner[pairs[:, 0]] == owner[pairs[:, 1]]).all()


def test_the_gold_sulphur_bond_is_that_of_thiolates():
    # 2.40 to 2.50 A on the terminating sites of Au102 (P. D. Jadzinsky et al., Science 318 (2007) 430): 2.3 to 2.5.
    assert covalent_radii[79] + covalent_radii[16] == pytest.approx(2.4, abs=0.1)


def test_as_many_ligands_as_asked_for_while_there_is_room():
    bare = cut(GOLD, sphere(18.0), np.random.default_rng(0))
    area = surface_area(bare.positions) / 100
    for density in (0.0, 0.5, 1.5):
        body = with_ligands(bare, "CO", "C", density, np.random.default_rng(2))
        assert body.details["ligands"] == round(density * area)
    crowded = with_ligands(bare, "CO", "C", 100.0, np.random.default_rng(2))
    assert crowded.details["ligands"] < 40 * area


def test_ligands_spread_over_the_whole_surface_at_any_angle():
    bare = cut(GOLD, sphere(16.0), np.random.default_rng(0))
    heights = []
    for seed in range(8):
        body = with_ligands(bare, "CO", "C", 0.6, np.random.default_rng(seed))
        heights.append(body.positions[len(bare) :: 2, 2] / np.linalg.norm(body.positions[len(bare) :: 2], axis=1))
    # Archimedes: heights of points uniform over a sphere are uniform.
    assert kstest(np.concatenate(heights), "uniform", (-1, 2)).pvalue > 0.01


def test_marking_knows_adsorbates_from_the_particle():
    bare = marked_surface(cut(GOLD, sphere(13.0), np.random.default_rng(0)))
    body = marked_surface(with_ligands(bare, "CH3SH", "S", 2.0, np.random.default_rng(1)))
    np.testing.assert_array_equal(body.role[: len(bare)], bare.role)
    assert (body.role[len(bare) :] == SiteRole.ADSORBATE).all()


def test_a_second_kind_of_ligand_keeps_clear_of_the_first():
    bare = cut(GOLD, sphere(13.0), np.random.default_rng(0))
    once = with_ligands(bare, "CH3SH", "S", 1.0, np.random.default_rng(1))
    twice = with_ligands(once, "CO", "C", 1.0, np.random.default_rng(2))
    assert len(twice) > len(once)
    distance = cKDTree(once.positions[len(bare) :]).query(twice.positions[len(once) :])[0]
    assert distance.min() >= CLOSEST_TO_LIGAND


def test_a_molecule_may_come_from_a_file(tmp_path):
    path = tmp_path / "water.xyz"
    build("H2O").write(path)
    body = with_ligands(cut(GOLD, sphere(9.0)), str(path), "O", 1.0, np.random.default_rng(0))
    assert set(body.numbers.tolist()) == {1, 8, 79}


@pytest.mark.parametrize("shape", [np.zeros((1, 3)), np.eye(3), np.random.default_rng(0).random((40, 3)) * [30, 30, 0]])
def test_too_few_atoms_for_a_solid_are_all_surface(shape):
    assert surface_atoms(shape, method="alpha_shape").all()
    body = marked_surface(make_body(shape, np.full(len(shape), 79, dtype=np.uint8), sphere(50.0), "Au"))
    assert len(body) == len(shape)


@pytest.mark.parametrize(
    ("name", "anchor", "message"),
    [("phlogiston", "S", "molecule is 'phlogiston'"), ("CH3SH", "N", "anchor is 'N'")],
)
def test_what_cannot_bind_is_one_clear_error(name, anchor, message):
    with pytest.raises(StructureError, match=message):
        with_ligands(cut(GOLD, sphere(9.0)), name, anchor, 1.0, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("material", "shape"),
    [
        *(("Au", shape) for shape in ("cube", "octahedron", "cuboctahedron")),
        *(("PbS", shape) for shape in ("cube", "octahedron", "sphere")),
        *(("CdSe-zb", shape) for shape in ("cube", "octahedron", "cuboctahedron", "sphere")),
        ("CdSe", "sphere"),
        ("Si", "octahedron"),
    ],
)
def test_both_methods_find_the_same_surface_of_a_convex_particle_however_it_is_turned(material, shape):
    # Crystals whose holes have six or eight atoms at one distance, which make the Delaunay tetrahedra degenerate.
    crystal = load_material(material)
    body = cut(crystal, make_solid(shape, crystal, 14.0))
    found = surface_atoms(body.positions, body.numbers)
    turned = body.moved(rotation_matrix(random_quaternion(np.random.default_rng(3))))
    for positions in (body.positions, turned.positions):
        np.testing.assert_array_equal(surface_atoms(positions, method="alpha_shape"), found)


@pytest.mark.parametrize("material", ["Au", "CdSe", "PbS", "TiO2", "CeO2"])
def test_the_area_is_that_of_a_sphere_through_the_outermost_atoms(material):
    crystal = load_material(material)
    area = surface_area(cut(crystal, sphere(24.0), np.random.default_rng(0)).positions)
    # They lie up to the distance of neighbours inside the sphere that cuts; the rough surface of an oxide adds to it.
    assert (24 - crystal.nearest_neighbour_distance()) ** 2 < area / (4 * np.pi) < 1.03 * 24**2


def test_vacancies_inside_are_seen_by_coordination_but_not_on_the_alpha_shape():
    selenide = load_material("CdSe")
    body = cut(selenide, sphere(16.0), np.random.default_rng(0))
    whole = surface_atoms(body.positions, method="alpha_shape")
    depth = 16 - np.linalg.norm(body.positions, axis=1)
    gone = np.zeros(len(body), dtype=bool)
    gone[np.argsort(-depth)[:30:7]] = True
    left = body.kept(~gone)
    np.testing.assert_array_equal(surface_atoms(left.positions, method="alpha_shape"), whole[~gone])
    assert surface_atoms(left.positions, left.numbers)[depth[~gone] > 8].any()


def test_boundaries_and_interfaces_inside_a_particle_are_not_marked_as_its_surface():
    for shell, thickness in (("Pt", 3.0), ("Pt", 7.0), ("Fe3O4", 7.0)):
        rng = np.random.default_rng(0)
        core = cut(GOLD, sphere(12.0), rng)
        body = marked_surface(core_shell(core, load_material(shell), sphere(12 + thickness), False, 2, rng))
        depth = 12 + thickness - np.linalg.norm(body.positions, axis=1)
        marked = has(body, SiteRole.SURFACE)
        assert marked[depth < 0.3].all()
        assert not marked[depth > 4.5].any()
    grains = marked_surface(polycrystal(GOLD, sphere(16.0), 6, np.random.default_rng(1)))
    assert not has(grains, SiteRole.SURFACE)[np.linalg.norm(grains.positions, axis=1) < 11.5].any()


def test_ligands_stand_upright_on_a_facet_with_the_binding_atom_below():
    edge = 8 * GOLD.cell[0, 0]
    positions, numbers = fill(GOLD, box([edge] * 3))
    bare = make_body(positions, numbers, box([edge] * 3), "Au")
    body = with_ligands(bare, "CH3SH", "S", 2.0, np.random.default_rng(0))
    ligands = body.positions[len(bare) :].reshape(body.details["ligands"], -1, 3)
    sulphur, rest = build("CH3SH").symbols.indices()["S"][0], np.arange(len(build("CH3SH"))) != 1
    top = positions[:, 2].max()
    above = ligands[(ligands[:, sulphur, 2] > top) & (np.abs(ligands[:, sulphur, :2]) < edge / 2 - 7).all(axis=1)]
    assert len(above) > 3
    np.testing.assert_allclose(above[:, sulphur, 2] - top, covalent_radii[79] + covalent_radii[16])
    direction = above[:, rest].mean(axis=1) - above[:, sulphur]
    assert (direction[:, 2] / np.linalg.norm(direction, axis=1) > 0.99).all()
    # They are turned about the normal at random: all copies differ.
    bonds = (above[:, 0] - above[:, sulphur])[:, :2]
    assert len(np.unique(np.arctan2(bonds[:, 1], bonds[:, 0]).round(3))) == len(above)


def test_the_same_seed_binds_the_same_molecules():
    bare = cut(GOLD, sphere(10.0))
    first, again, other = (with_ligands(bare, "CH3S", "S", 2.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.positions.tobytes() == again.positions.tobytes() != other.positions.tobytes()
    # And the surface that they bind to is marked.
    np.testing.assert_array_equal(has(first, SiteRole.SURFACE)[: len(bare)], surface_atoms(bare.positions))


def test_an_unreadable_file_or_method_is_one_clear_error(tmp_path):
    path = tmp_path / "broken.xyz"
    path.write_text("three\natoms\n")
    with pytest.raises(StructureError, match=r"molecule is '.*broken.xyz', which cannot be read \("):
        with_ligands(cut(GOLD, sphere(9.0)), str(path), "S", 1.0, np.random.default_rng(0))
    with pytest.raises(StructureError, match=r"^method is 'convex'; allowed: coordination, alpha_shape$"):
        surface_atoms(np.zeros((9, 3)), method="convex")
