"""Crystals of the library and of CIF files, and spheres cut from them."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from ase.neighborlist import neighbor_list
from scipy.spatial import cKDTree

from exitwave.errors import StructureError
from exitwave.structures.materials import check_material, crystal_from_ase, load_material, material_names
from exitwave.structures.nanoparticle import cut_sphere

FCC = ["Ag", "Au", "Cu", "Pd", "Pt"]


def interior_distances(positions, radius, reach):
    """Sorted distances to all neighbours within ``reach``, for atoms whose neighbours all lie in the sphere."""
    inner = positions[np.linalg.norm(positions, axis=1) < radius - reach - 1e-6]
    tree = cKDTree(positions)
    found = [np.sort(np.linalg.norm(positions[tree.query_ball_point(p, reach)] - p, axis=1))[1:] for p in inner]
    assert len(found) > 10
    return found


@pytest.mark.parametrize("material", FCC)
def test_mistake_02_lattice_rows_cubic_crystal_has_twelve_neighbours(material):
    crystal = load_material(material)
    a = crystal.cell[0, 0]
    positions, numbers = cut_sphere(crystal, np.array([0.3, 1.1, 2.7]), 11.0)
    assert set(numbers) == {Atoms(material).numbers[0]}
    for distances in interior_distances(positions, 11.0, 0.8 * a):
        np.testing.assert_allclose(distances, [a / np.sqrt(2)] * 12)


def test_mistake_02_lattice_rows_wurtzite_has_four_bonds_of_one_length():
    positions, numbers = cut_sphere(load_material("CdSe"), np.array([1.0, 0.2, 3.0]), 14.0)
    for distances in interior_distances(positions, 14.0, 3.4):
        np.testing.assert_allclose(distances, [2.63] * 4, atol=0.005)
    first, second = cKDTree(positions).query(positions, k=2)[1].T
    assert np.all(numbers[first] != numbers[second])


def test_mistake_02_lattice_rows_wurtzite_equals_ase():
    crystal = load_material("CdSe")
    reference = bulk("CdSe", "wurtzite", a=4.2985, c=7.0152, u=0.375)
    expected = np.sort(neighbor_list("d", reference, 7.5)) / len(reference)
    ours = Atoms(numbers=crystal.numbers, scaled_positions=crystal.fractional, cell=crystal.cell, pbc=True)
    np.testing.assert_allclose(np.sort(neighbor_list("d", ours, 7.5)) / len(ours), expected, atol=1e-9)


def test_mistake_02_lattice_rows_triclinic_cif_keeps_its_neighbours(tmp_path):
    reference = Atoms(
        "CuPdAg",
        cell=[4.1, 5.2, 6.3, 78, 66, 104],
        pbc=True,
        scaled_positions=[[0.02, 0.03, 0.05], [0.45, 0.55, 0.35], [0.7, 0.2, 0.75]],
    )
    path = tmp_path / "triclinic.cif"
    write(path, reference)
    positions, numbers = cut_sphere(load_material(str(path)), np.array([0.5, 2.0, 1.0]), 16.0)
    for number in np.unique(reference.numbers):
        atom = int(np.flatnonzero(reference.numbers == number)[0])
        centres, distances = neighbor_list("id", reference, 5.0)
        expected = np.sort(distances[centres == atom])
        tree = cKDTree(positions)
        inner = positions[(numbers == number) & (np.linalg.norm(positions, axis=1) < 10.9)]
        assert len(inner) > 5
        for p in inner:
            found = np.sort(np.linalg.norm(positions[tree.query_ball_point(p, 5.0)] - p, axis=1))[1:]
            np.testing.assert_allclose(found, expected, atol=2e-3)


def test_sphere_holds_as_many_atoms_as_its_volume():
    crystal = load_material("Pt")
    radius = 30.0
    count = len(cut_sphere(crystal, np.array([1.0, 2.0, 0.5]), radius)[0])
    assert count == pytest.approx(4 / 3 * np.pi * radius**3 * 4 / crystal.cell[0, 0] ** 3, rel=0.01)


@pytest.mark.parametrize(("material", "expected"), [("Au", 4.07825 / np.sqrt(2)), ("CdSe", 0.375 * 7.0152)])
def test_nearest_neighbour_distance(material, expected):
    assert load_material(material).nearest_neighbour_distance() == pytest.approx(expected, rel=1e-3)


def test_nearest_neighbour_distance_of_a_skew_primitive_cell():
    crystal = crystal_from_ase(bulk("Au", "fcc", a=4.07825), "Au")
    assert crystal.nearest_neighbour_distance() == pytest.approx(4.07825 / np.sqrt(2))


def test_every_material_of_the_library_has_planes_for_defects():
    for name in material_names():
        check_material(name, planar_defects=True)
        assert load_material(name).stacking is not None


@pytest.mark.parametrize("load", [check_material, load_material])
def test_unknown_material_lists_what_is_allowed(load):
    with pytest.raises(StructureError, match=r"'Unobtainium'.*Ag, Au, CdSe, Cu, Pd, Pt, or the path of a CIF file"):
        load("Unobtainium")
    with pytest.raises(StructureError, match=r"'missing\.cif', but there is no such file"):
        load("missing.cif")


def test_unreadable_cif_is_named(tmp_path):
    path = tmp_path / "broken.cif"
    path.write_text("this is not a CIF file\n")
    with pytest.raises(StructureError, match=r"broken\.cif.*cannot be read as a crystal"):
        load_material(str(path))


def test_partially_occupied_cif_is_refused(tmp_path):
    path = tmp_path / "alloy.cif"
    path.write_text(
        "data_alloy\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n_cell_angle_alpha 90\n"
        "_cell_angle_beta 90\n_cell_angle_gamma 90\n_space_group_name_H-M_alt 'P 1'\nloop_\n_atom_site_label\n"
        "_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_occupancy\n"
        "Au1 Au 0 0 0 0.6\nCu1 Cu 0 0 0 0.4\n"
    )
    with pytest.raises(StructureError, match="'alloy' has partially occupied sites"):
        load_material(str(path))


def test_coinciding_atoms_are_refused():
    atoms = Atoms("Au2", positions=[[0, 0, 0], [0.1, 0, 0]], cell=[4, 4, 4], pbc=True)
    with pytest.raises(StructureError, match=r"0\.1 Å apart"):
        crystal_from_ase(atoms, "doubled")


def test_defects_of_a_cif_are_refused_before_it_is_read(tmp_path):
    path = tmp_path / "NaCl.cif"
    write(path, bulk("NaCl", "rocksalt", a=5.64))
    with pytest.raises(StructureError, match=r"planar_defects\.number is above 0"):
        check_material(str(path), planar_defects=True)
    assert load_material(str(path)).nearest_neighbour_distance() == pytest.approx(2.82)
