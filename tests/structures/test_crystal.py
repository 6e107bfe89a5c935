"""Crystals from every source, and solids filled with their atoms."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import chemical_symbols
from ase.geometry import cellpar_to_cell
from ase.io import write
from ase.neighborlist import neighbor_list
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from scipy.spatial import cKDTree

from exitwave.errors import StructureError
from exitwave.structures import crystal as module
from exitwave.structures.crystal import (
    close_pairs,
    closest,
    crystal_from_ase,
    crystal_from_cell,
    crystal_from_pymatgen,
    crystal_from_space_group,
    cut,
    describe_crystal,
    fill,
)
from exitwave.structures.crystal_files import read_cif
from exitwave.structures.volumes import Everywhere, box, half_space, sphere

THIRD, TWO_THIRDS = 1 / 3, 2 / 3

triclinic_cells = st.tuples(*[st.floats(2.5, 7)] * 3, *[st.floats(50, 130)] * 3)
points = st.tuples(*[st.floats(-12, 12)] * 3)


def triclinic(parameters, sites):
    """A crystal of any cell that is not too flat, of atoms that are not too close."""
    alpha, beta, gamma = parameters[3:]
    assume(alpha + beta + gamma < 340 and max(alpha, beta, gamma) < (alpha + beta + gamma) / 2 - 5)
    cell = cellpar_to_cell(parameters)
    assume(np.linalg.det(cell) > 15)
    try:
        return crystal_from_cell("any", cell, sites, ["He", "H", "F"][: len(sites)])
    except StructureError:
        assume(False)


def as_atoms(crystal):
    return Atoms(numbers=crystal.numbers, scaled_positions=crystal.fractional, cell=crystal.cell, pbc=True)


def filled_by_ase(crystal, solid, origin, reach):
    """The same by a supercell of ASE, far larger than the solid."""
    atoms = as_atoms(crystal)
    heights = 1 / np.linalg.norm(np.linalg.inv(crystal.cell), axis=0)
    copies = 2 * np.ceil(reach / heights).astype(int) + 3
    positions = atoms.repeat(copies).positions - (copies // 2) @ crystal.cell + origin
    return positions[solid.contains(positions)]


def assert_same_points(first, second):
    assert len(first) == len(second)
    if len(first):
        assert cKDTree(first).query(second)[0].max() < 1e-8


@settings(max_examples=40, deadline=None)
@given(
    triclinic_cells,
    st.lists(st.tuples(*[st.floats(-1, 2)] * 3), min_size=1, max_size=3),
    points,
    points,
    st.floats(0.5, 7),
)
def test_filled_sphere_equals_a_supercell_of_ase_for_any_lattice(parameters, sites, centre, origin, radius):
    crystal = triclinic(parameters, sites)
    solid = sphere(radius, centre)
    positions, numbers = fill(crystal, solid, origin)
    reach = radius + np.linalg.norm(np.subtract(centre, origin))
    assert_same_points(positions, filled_by_ase(crystal, solid, np.array(origin), reach))
    assert len(numbers) == len(positions)


@settings(max_examples=20, deadline=None)
@given(triclinic_cells, st.tuples(*[st.floats(3, 12)] * 3))
def test_filled_box_minus_sphere_equals_a_supercell_of_ase(parameters, edges):
    crystal = triclinic(parameters, [(0, 0, 0), (0.4, 0.6, 0.5)])
    solid = box(edges) - sphere(2.5)
    positions, _ = fill(crystal, solid)
    assert_same_points(positions, filled_by_ase(crystal, solid, np.zeros(3), 11.0))


def test_fill_keeps_the_element_of_every_site():
    crystal = crystal_from_ase(bulk("NaCl", "rocksalt", a=5.64, cubic=True), "NaCl")
    positions, numbers = fill(crystal, sphere(12.0), (0.1, 0.2, 0.3))
    parity = np.round((positions - [0.1, 0.2, 0.3]) / 2.82).sum(axis=1) % 2
    assert np.array_equal(numbers == 11, parity == 0)


def test_fill_in_pieces_is_the_same(monkeypatch):
    crystal = crystal_from_ase(bulk("Au"), "Au")
    whole = fill(crystal, sphere(15.0))
    monkeypatch.setattr(module, "_CHUNK", 100)
    pieces = fill(crystal, sphere(15.0))
    np.testing.assert_array_equal(pieces[0], whole[0])
    np.testing.assert_array_equal(pieces[1], whole[1])


def test_atoms_on_a_facet_belong_to_the_solid():
    crystal = crystal_from_ase(bulk("Po", "sc", a=4.0), "simple")
    assert len(fill(crystal, box((40, 40, 40)))[0]) == 11**3
    assert len(fill(crystal, sphere(4.0))[0]) == 7


def test_sphere_holds_as_many_atoms_as_its_volume():
    crystal = crystal_from_ase(bulk("Pt", cubic=True), "Pt")
    count = len(fill(crystal, sphere(30.0, (1.0, 2.0, 0.5)))[0])
    assert count == pytest.approx(4 / 3 * np.pi * 30.0**3 * 4 / 3.92**3, rel=0.01)


def test_fill_of_an_unbounded_volume_is_an_error():
    crystal = crystal_from_ase(bulk("Au"), "Au")
    for solid in (half_space((0, 0, 1)), Everywhere(), ~sphere(3.0)):
        with pytest.raises(StructureError, match=r"without bounds cannot be filled.*allowed"):
            fill(crystal, solid)


def test_cut_without_a_generator_has_an_atom_at_the_origin_and_with_one_it_is_anywhere():
    crystal = crystal_from_ase(bulk("Au", cubic=True), "Au")
    body = cut(crystal, sphere(10.0))
    assert np.linalg.norm(body.positions, axis=1).min() == 0
    assert body.details["material"] == "Au"
    rng = np.random.default_rng(8)
    offsets = np.array([cut(crystal, sphere(10.0), rng).positions[0] for _ in range(200)]) / crystal.cell[0, 0] * 2
    lattice = np.mod(offsets, 1)
    # Every place in the cell is as likely: each eighth of it holds about an eighth of the places.
    counts = np.bincount((lattice > 0.5) @ [4, 2, 1], minlength=8)
    assert np.all(np.abs(counts - 25) < 20)
    first, second = (cut(crystal, sphere(9.0), np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.positions, second.positions)


def test_cut_without_an_atom_is_an_error():
    crystal = crystal_from_ase(bulk("Au"), "Au")
    with pytest.raises(StructureError, match=r"radius 0\.2 Å, cut from 'Au', holds no atom; allowed.*2\.88 Å"):
        cut(crystal, sphere(0.2, (1.0, 1.0, 1.0)))


@settings(max_examples=60, deadline=None)
@given(triclinic_cells, st.lists(st.tuples(*[st.floats(-1, 2)] * 3), min_size=1, max_size=3))
def test_nearest_neighbour_distance_is_that_of_ase(parameters, sites):
    crystal = triclinic(parameters, sites)
    expected = neighbor_list("d", as_atoms(crystal), 7.01).min()
    assert crystal.nearest_neighbour_distance() == pytest.approx(expected, abs=1e-9)


def test_nearest_neighbour_distance_of_a_skew_primitive_cell():
    crystal = crystal_from_ase(bulk("Au", "fcc", a=4.07825), "Au")
    assert crystal.nearest_neighbour_distance() == pytest.approx(4.07825 / np.sqrt(2))


def test_mistake_02_lattice_rows_triclinic_cif_keeps_its_neighbours(tmp_path):
    reference = Atoms(
        "CuPdAg",
        cell=[4.1, 5.2, 6.3, 78, 66, 104],
        pbc=True,
        scaled_positions=[[0.02, 0.03, 0.05], [0.45, 0.55, 0.35], [0.7, 0.2, 0.75]],
    )
    path = tmp_path / "triclinic.cif"
    write(path, reference)
    positions, numbers = fill(read_cif(path), sphere(16.0, (0.5, 2.0, 1.0)))
    tree = cKDTree(positions)
    for atom, number in enumerate(reference.numbers):
        centres, distances = neighbor_list("id", reference, 5.0)
        expected = np.sort(distances[centres == atom])
        inner = positions[(numbers == number) & (np.linalg.norm(positions - [0.5, 2, 1], axis=1) < 10.9)]
        assert len(inner) > 5
        for p in inner:
            found = np.sort(np.linalg.norm(positions[tree.query_ball_point(p, 5.0)] - p, axis=1))[1:]
            np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize(
    ("group", "setting", "parameters", "sites"),
    [
        (225, 1, [5.411, 5.411, 5.411, 90, 90, 90], {"Ce": [[0, 0, 0]], "O": [[0.25, 0.25, 0.25]]}),
        ("P 42/m n m", 1, [4.594, 4.594, 2.959, 90, 90, 90], {"Ti": [[0, 0, 0]], "O": [[0.305, 0.305, 0]]}),
        (
            194,
            1,
            [3.16, 3.16, 12.294, 90, 90, 120],
            {"Mo": [[THIRD, TWO_THIRDS, 0.25]], "S": [[THIRD, TWO_THIRDS, 0.621]]},
        ),
        (227, 2, [8.396] * 3 + [90] * 3, {"Fe": [[0.125] * 3, [0.5] * 3], "O": [[0.2549] * 3]}),
        (2, 1, [4.0, 5.0, 6.0, 80, 95, 100], {"Si": [[0.1, 0.2, 0.3]], "O": [[0.4, 0.8, 0.6]]}),
    ],
)
def test_space_group_gives_the_distances_that_pymatgen_has(group, setting, parameters, sites):
    ours = crystal_from_space_group("any", group, parameters, sites, setting)
    symbols = {225: "Fm-3m", "P 42/m n m": "P4_2/mnm", 194: "P6_3/mmc", 227: "Fd-3m", 2: "P-1"}
    species = [element for element, places in sites.items() for _ in places]
    coordinates = [place for places in sites.values() for place in places]
    if group == 227:  # pymatgen has the first origin, at the tetrahedral site
        coordinates = [np.add(place, 0.125) for place in coordinates]
    theirs = Structure.from_spacegroup(symbols[group], Lattice.from_parameters(*parameters), species, coordinates)
    assert len(ours.numbers) == len(theirs)
    expected = np.sort(theirs.get_neighbor_list(4.13)[3])
    np.testing.assert_allclose(np.sort(neighbor_list("d", as_atoms(ours), 4.13)), expected, atol=1e-6)


def test_crystal_of_pymatgen_is_that_of_ase():
    structure = Structure(Lattice.from_parameters(4, 5, 6, 80, 70, 100), ["Fe", "O"], [[0, 0, 0], [1.3, -0.4, 0.6]])
    structure.add_oxidation_state_by_element({"Fe": 2, "O": -2})
    ours = crystal_from_pymatgen(structure, "FeO")
    expected = np.sort(structure.get_neighbor_list(5.13)[3])
    np.testing.assert_allclose(np.sort(neighbor_list("d", as_atoms(ours), 5.13)), expected, atol=1e-8)
    assert ours.numbers.tolist() == [26, 8]


def test_partially_occupied_sites_of_pymatgen_are_refused():
    for occupancy in ({"Au": 0.5}, {"Au": 0.5, "Cu": 0.5}):
        with pytest.raises(StructureError, match="'alloy' has partially occupied sites"):
            crystal_from_pymatgen(Structure(Lattice.cubic(4), [occupancy], [[0, 0, 0]]), "alloy")


def test_coinciding_atoms_are_refused():
    atoms = Atoms("Au2", positions=[[0, 0, 0], [0.1, 0, 0]], cell=[4, 4, 4], pbc=True)
    with pytest.raises(StructureError, match=r"Au and Au 0\.1 Å apart; allowed: 1\.77 Å or more"):
        crystal_from_ase(atoms, "doubled")
    with pytest.raises(StructureError, match=r" 0 Å apart"):
        crystal_from_space_group("doubled", 225, [4, 4, 4, 90, 90, 90], {"Au": [[0, 0, 0], [0.5, 0.5, 0]]})


@pytest.mark.parametrize("seed", range(8))
def test_close_pairs_are_those_that_ase_finds(seed):
    rng = np.random.default_rng(seed)
    # Skew and thin cells too, and atoms outside of them.
    cell = cellpar_to_cell([*rng.uniform(1.2, 5, 3), *rng.uniform(55, 115, 3)])
    numbers = rng.choice([1, 6, 29, 55], 2 + seed).astype(np.uint8)
    fractional = rng.uniform(-2, 2, (len(numbers), 3))
    first, second, offsets = close_pairs("cell", cell, fractional, numbers)
    lengths = np.linalg.norm(offsets @ cell, axis=1)
    cutoffs = {
        (chemical_symbols[a], chemical_symbols[b]): closest(a, b) for a in (1, 6, 29, 55) for b in (1, 6, 29, 55)
    }
    atoms = Atoms(numbers, scaled_positions=fractional, cell=cell, pbc=True)
    expected = neighbor_list("ijd", atoms, cutoffs)
    assert len(first) == len(expected[0]) > 0
    assert sorted(zip(first, second, lengths.round(6), strict=True)) == sorted(
        zip(expected[0], expected[1], expected[2].round(6), strict=True)
    )
    moved = fractional[second] - fractional[first] - offsets
    assert moved == pytest.approx(np.rint(moved), abs=1e-9)


@pytest.mark.parametrize(
    ("symbols", "bond", "closest"),
    [
        # Bonds at second hand from tables: hydrogen and nitrogen molecules, water, vanadyl, uranyl, and the O-O contact
        # that a wrong setting of anatase has, which no peroxide or oxygen molecule (1.21 Å) comes near.
        ("HH", 0.741, 0.59),
        ("NN", 1.098, 0.9),
        ("OH", 0.958, 0.6),
        ("VO", 1.58, 1.4),
        ("UO", 1.76, 1.65),
        ("OO", 1.208, 0.79),
    ],
)
def test_the_shortest_bonds_of_chemistry_pass_and_shorter_ones_are_refused(symbols, bond, closest):
    def pair(distance):
        atoms = Atoms(symbols, positions=[[0, 0, 0], [0, 0, distance]], cell=[8, 8, 8], pbc=True)
        return crystal_from_ase(atoms, "pair")

    assert pair(bond).nearest_neighbour_distance() == pytest.approx(bond)
    with pytest.raises(StructureError, match=f"has {symbols[0]} and {symbols[1]} {closest:.3g} Å apart; allowed"):
        pair(closest)


def test_an_atom_too_close_to_its_own_image_is_refused():
    with pytest.raises(StructureError, match=r"Cu and Cu 1 Å apart"):
        crystal_from_ase(bulk("Cu", "sc", a=1.0), "nanometres")


def test_a_crystal_is_described_by_what_tells_a_right_one_from_a_wrong_one():
    # Ceria: 7.22 g/cm³ and bonds of sqrt(3)/4 of 5.411 Å.
    sites = {"Ce": [[0, 0, 0]], "O": [[0.25, 0.25, 0.25]]}
    ceria = crystal_from_space_group("ceria", 225, [5.411] * 3 + [90] * 3, sites)
    assert describe_crystal(ceria) == "CeO2, 12 atoms in 158 Å³, 7.22 g/cm³, nearest neighbours 2.34 Å (Ce-O)"
    supercell = crystal_from_ase(bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(2), "NaCl")
    assert describe_crystal(supercell).startswith("NaCl, 64 atoms in 1,435 Å³, 2.16 g/cm³")
    gold = describe_crystal(crystal_from_ase(bulk("Au", a=4.078), "Au"))
    assert gold == "Au, 1 atom in 17 Å³, 19.3 g/cm³, nearest neighbours 2.88 Å (Au-Au)"


def test_bad_cells_elements_and_space_groups_are_refused():
    with pytest.raises(StructureError, match="no three-dimensional cell"):
        crystal_from_ase(Atoms("Au", positions=[[0, 0, 0]]), "loose")
    with pytest.raises(StructureError, match="no three-dimensional cell"):
        crystal_from_cell("flat", [[1, 0, 0], [0, 1, 0], [1, 1, 0]], [[0, 0, 0]], ["Au"])
    with pytest.raises(StructureError, match="no atoms"):
        crystal_from_cell("empty", np.eye(3) * 4, [], [])
    with pytest.raises(StructureError, match="element 'Xx'"):
        crystal_from_cell("odd", np.eye(3) * 4, [[0, 0, 0]], ["Xx"])
    with pytest.raises(StructureError, match="no known element"):
        crystal_from_ase(Atoms("X", positions=[[0, 0, 0]], cell=[4, 4, 4], pbc=True), "ghost")
    with pytest.raises(StructureError, match="coordinates that are no numbers"):
        crystal_from_cell("blank", np.eye(3) * 4, [[0, 0, np.nan]], ["Au"])
    for group in (231, "Q 7"):
        with pytest.raises(StructureError, match=r"space group.*not known.*allowed"):
            crystal_from_space_group("odd", group, [4, 4, 4, 90, 90, 90], {"Au": [[0, 0, 0]]})
