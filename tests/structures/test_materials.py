"""Every material of the library against published densities, bonds and coordination, and errors of the lookup."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_masses, chemical_symbols, reference_states
from ase.io import write
from ase.neighborlist import neighbor_list

from exitwave.errors import StructureError
from exitwave.structures.crystal import fill
from exitwave.structures.materials import (
    _library,
    check_material,
    layered_material_names,
    load_material,
    material_names,
    stacked_material_names,
)
from exitwave.structures.volumes import sphere

# Mass density [g/cm³], nearest-neighbour distance [Å] and numbers of neighbours within 1.12 times that distance by
# element. Densities of GaAs, CdS, CdSe, PbS, Ge and Si are from S. O. Kasap's table of semiconductors (CdSe: the lower
# of its two), the W-Se bond from an encyclopaedia, both looked at; the rest is common handbook knowledge (CRC
# Handbook), at second hand. Of SiGe and CdSe-zb no measured density is at hand: theirs is arithmetic on the constant.
PUBLISHED = {
    "Ag": (10.50, 2.889, {"Ag": 12}),
    "Al": (2.70, 2.86, {"Al": 12}),
    "Au": (19.3, 2.884, {"Au": 12}),
    "Cu": (8.93, 2.556, {"Cu": 12}),
    "Ni": (8.91, 2.492, {"Ni": 12}),
    "Pd": (12.02, 2.751, {"Pd": 12}),
    "Pt": (21.45, 2.775, {"Pt": 12}),
    "Fe": (7.87, 2.482, {"Fe": 8}),
    "Co": (8.9, 2.50, {"Co": 12}),
    "Si": (2.329, 2.352, {"Si": 4}),
    "Ge": (5.323, 2.450, {"Ge": 4}),
    "SiGe": (3.94, 2.40, {"Si": 4, "Ge": 4}),
    "GaAs": (5.318, 2.448, {"Ga": 4, "As": 4}),
    "CdSe": (5.74, 2.63, {"Cd": 4, "Se": 4}),
    "CdSe-zb": (5.74, 2.62, {"Cd": 4, "Se": 4}),
    "CdS": (4.82, 2.53, {"Cd": 4, "S": 4}),
    "ZnS-zb": (4.09, 2.34, {"Zn": 4, "S": 4}),
    "ZnO": (5.68, 1.98, {"Zn": 4, "O": 4}),
    "PbS": (7.59, 2.97, {"Pb": 6, "S": 6}),
    "MgO": (3.58, 2.106, {"Mg": 6, "O": 6}),
    "CeO2": (7.22, 2.34, {"Ce": 8, "O": 4}),
    "TiO2": (4.25, 1.95, {"Ti": 6, "O": 3}),
    "TiO2-anatase": (3.89, 1.934, {"Ti": 6, "O": 3}),
    "Fe3O4": (5.20, 1.89, {"Fe": 5.333, "O": 4}),
    "graphene": (2.26, 1.42, {"C": 3}),
    "hBN": (2.28, 1.446, {"B": 3, "N": 3}),
    "MoS2": (5.00, 2.41, {"Mo": 6, "S": 3}),
    "MoSe2": (6.98, 2.53, {"Mo": 6, "Se": 3}),
    "WS2": (7.7, 2.405, {"W": 6, "S": 3}),
    "WSe2": (9.32, 2.526, {"W": 6, "Se": 3}),
}


def as_atoms(crystal):
    return Atoms(numbers=crystal.numbers, scaled_positions=crystal.fractional, cell=crystal.cell, pbc=True)


def test_every_material_has_published_numbers_to_be_held_against_and_a_source():
    assert set(PUBLISHED) == set(material_names())
    assert all(len(entry["source"]) > 10 for entry in _library().values())


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_material_has_its_published_density_bond_and_coordination(name):
    density, bond, coordination = PUBLISHED[name]
    crystal = load_material(name)
    mass = atomic_masses[crystal.numbers].sum() * 1.66053906660
    assert mass / np.linalg.det(crystal.cell) == pytest.approx(density, rel=0.015)
    assert crystal.nearest_neighbour_distance() == pytest.approx(bond, rel=0.005)
    # In magnetite the octahedral bonds are 1.09 times the tetrahedral ones; second neighbours are at 1.15 and more.
    centres, others = neighbor_list("ij", as_atoms(crystal), 1.12 * bond)
    counts = np.bincount(centres, minlength=len(crystal.numbers))
    for element, expected in coordination.items():
        mine = crystal.numbers == chemical_symbols.index(element)
        assert counts[mine].mean() == pytest.approx(expected, abs=1e-3)
    if len(coordination) > 1:  # bonds of a compound join unlike elements
        assert np.all(crystal.numbers[centres] != crystal.numbers[others])


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name in chemical_symbols])
def test_lattice_constants_of_elements_are_those_of_ase(name):
    reference = reference_states[chemical_symbols.index(name)]
    crystal = load_material(name)
    a, c = np.linalg.norm(crystal.cell, axis=1)[[0, 2]]
    assert a == pytest.approx(reference["a"], rel=2.5e-3)
    if reference["symmetry"] == "hcp":
        assert c / a == pytest.approx(reference["c/a"], rel=2.5e-3)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("CdSe", bulk("CdSe", "wurtzite", a=4.2985, c=7.0152, u=0.375)),
        ("Co", bulk("Co", "hcp", a=2.5071, c=4.0695)),
        ("GaAs", bulk("GaAs", "zincblende", a=5.6533, cubic=True)),
        ("Si", bulk("Si", "diamond", a=5.43102, cubic=True)),
        ("CeO2", bulk("CeO2", "fluorite", a=5.411, cubic=True)),
        ("PbS", bulk("PbS", "rocksalt", a=5.9362, cubic=True)),
    ],
)
def test_prototypes_are_those_of_ase(name, reference):
    ours = as_atoms(load_material(name))
    assert len(ours) == len(reference)
    np.testing.assert_allclose(
        np.sort(neighbor_list("d", ours, 7.0)), np.sort(neighbor_list("d", reference, 7.0)), atol=1e-9
    )


def test_mistake_02_lattice_rows_wurtzite_has_four_bonds_of_one_length():
    positions, numbers = fill(load_material("CdSe"), sphere(12.0, (1.0, 0.2, 3.0)))
    inner = np.linalg.norm(positions - [1.0, 0.2, 3.0], axis=1) < 9
    distances = np.linalg.norm(positions[inner][:, None] - positions, axis=-1)
    nearest = np.argsort(distances, axis=1)[:, 1:5]
    np.testing.assert_allclose(np.take_along_axis(distances, nearest, axis=1), 2.63, atol=0.005)
    assert np.all(numbers[nearest] != numbers[inner][:, None])


def test_fe3o4_is_an_inverse_spinel_of_tetrahedra_and_octahedra():
    atoms = as_atoms(load_material("Fe3O4"))
    centres = neighbor_list("i", atoms, 2.2)
    counts = np.bincount(centres)[atoms.numbers == 26]
    assert sorted(counts) == [4] * 8 + [6] * 16


@pytest.mark.parametrize("name", layered_material_names())
def test_layered_materials_have_two_layers_apart_along_c(name):
    crystal = load_material(name)
    assert crystal.layers == 2
    np.testing.assert_allclose(crystal.cell[2, :2], 0, atol=1e-12)
    heights = np.sort(crystal.fractional[:, 2] * crystal.cell[2, 2])
    gaps = np.diff(np.append(heights, heights[0] + crystal.cell[2, 2]))
    # Two gaps wider than any bond along c, all else closer.
    assert np.sum(gaps > 2.7) == 2
    assert np.sum(gaps > 1.7) == 2


def test_layers_are_known_where_they_are_named():
    assert layered_material_names() == ["MoS2", "MoSe2", "WS2", "WSe2", "graphene", "hBN"]
    assert all((load_material(name).layers > 0) == (name in layered_material_names()) for name in material_names())
    assert all(
        (load_material(name).stacking is not None) == (name in stacked_material_names()) for name in material_names()
    )


@pytest.mark.parametrize("load", [check_material, load_material])
def test_unknown_material_lists_what_is_allowed(load):
    with pytest.raises(StructureError, match=r"'Unobtainium'.*Ag, Al, Au, .*, hBN, or the path of a CIF file"):
        load("Unobtainium")
    with pytest.raises(StructureError, match=r"'missing\.cif', but there is no such file"):
        load("missing.cif")


def test_a_crystal_is_read_once_and_again_when_its_file_has_changed(tmp_path):
    assert load_material("Au") is load_material("Au")
    path = tmp_path / "NaCl.cif"
    write(path, bulk("NaCl", "rocksalt", a=5.64))
    first = load_material(str(path))
    assert first is load_material(str(path))
    assert first.nearest_neighbour_distance() == pytest.approx(2.82)
    write(path, bulk("NaCl", "rocksalt", a=5.70))
    assert load_material(str(path)).nearest_neighbour_distance() == pytest.approx(2.85)


def test_one_of_several_structures_in_a_file_is_a_material(tmp_path):
    path = tmp_path / "metals.cif"
    write(path, [bulk("Au", a=4.078), bulk("Cu", a=3.615)])
    for block, number in (("image0", 79), ("image1", 29)):
        check_material(f"{path}#{block}")
        assert set(load_material(f"{path}#{block}").numbers) == {number}
    with pytest.raises(
        StructureError, match=r"holds 2 structures; allowed: .*metals\.cif#image0, .*metals\.cif#image1"
    ):
        load_material(str(path))
    with pytest.raises(StructureError, match=r"'gone\.cif#image0', but there is no such file"):
        check_material("gone.cif#image0")


def test_defects_where_no_planes_are_known_are_refused_before_anything_is_read(tmp_path):
    path = tmp_path / "NaCl.cif"
    path.write_text("not read")
    for material in (str(path), "Fe", "CeO2", "MoS2"):
        check_material(material)
        with pytest.raises(StructureError, match=r"planar_defects\.number is above 0.*allowed: 0, or Ag, Al, Au"):
            check_material(material, planar_defects=True)
    for material in stacked_material_names():
        check_material(material, planar_defects=True)


def test_layers_of_a_material_without_layers_are_refused():
    check_material("MoS2", layered=True)
    with pytest.raises(StructureError, match=r"'Au', which is not a layered material.*allowed: MoS2, MoSe2"):
        check_material("Au", layered=True)
