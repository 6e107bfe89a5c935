"""CIF files: the right crystal or a refusal, against readers of other packages and published densities and bonds."""

import logging
import re

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from ase.neighborlist import neighbor_list
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifParser, CifWriter

from exitwave.errors import StructureError
from exitwave.structures.crystal import crystal_from_ase, crystal_from_pymatgen, describe_crystal
from exitwave.structures.crystal_files import read_cif

SITE = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
LABELLED = ("label", "fract_x", "fract_y", "fract_z")
OCCUPIED = (*SITE, "occupancy")
CUBIC = "_symmetry_space_group_name_H-M 'F m -3 m'\n_symmetry_Int_Tables_number 225\n"


def named(symbol):
    return f"_space_group_name_H-M_alt '{symbol}'\n"


def operators(*texts):
    return "loop_\n_space_group_symop_operation_xyz\n" + "".join(f"'{text}'\n" for text in texts)


def contents(formula, units):
    return f"_chemical_formula_sum '{formula}'\n_cell_formula_units_Z {units}\n"


@pytest.fixture
def cif(tmp_path):
    """Writes a file of one structure and gives its path."""

    def write_file(cell, symmetry, sites, extra="", columns=SITE, block="some"):
        cell = [cell] * 3 + [90] * 3 if isinstance(cell, float) else cell
        tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
        text = f"data_{block}\n{extra}" + "".join(f"_cell_{t} {v}\n" for t, v in zip(tags, cell, strict=True))
        loop = "loop_\n" + "".join(f"_atom_site_{column}\n" for column in columns)
        path = tmp_path / f"{block}.cif"
        path.write_text(text + symmetry + loop + "\n".join(sites) + "\n")
        return path

    return write_file


def as_atoms(crystal):
    return Atoms(numbers=crystal.numbers, scaled_positions=crystal.fractional, cell=crystal.cell, pbc=True)


def space_group(crystal, symprec=0.02):
    return spglib.get_symmetry_dataset((crystal.cell, crystal.fractional, crystal.numbers), symprec=symprec).number


def assert_same_crystal(one, other, tolerance=1e-3):
    """The same pairs of elements at the same distances, which no choice of origin or axes changes."""
    assert sorted(one.numbers) == sorted(other.numbers)
    assert abs(np.linalg.det(one.cell)) == pytest.approx(abs(np.linalg.det(other.cell)), rel=1e-3)

    def pairs(crystal):
        i, j, d = neighbor_list("ijd", as_atoms(crystal), 5.03)
        low, high = np.sort([crystal.numbers[i], crystal.numbers[j]], axis=0)
        order = np.lexsort((d.round(2), high, low))
        return low[order], high[order], np.sort(d)

    for ours, theirs in zip(pairs(one), pairs(other), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=tolerance)


def refused(path, *words):
    with pytest.raises(StructureError) as caught:
        read_cif(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert "; allowed: " in sentence
    for word in words:
        assert word in sentence, sentence
    return sentence


# Cell, symbol, sites and their published density [g/cm³], nearest neighbours [Å] and space group. Densities and bonds
# are common handbook knowledge (CRC Handbook, mineral data), at second hand.
CRYSTALS = {
    "gold": (4.078, "F m -3 m", ["Au1 Au 0 0 0"], 19.3, 2.884, 225),
    "NiO": (4.177, "F m -3 m", ["Ni1 Ni 0 0 0", "O1 O 0.5 0.5 0.5"], 6.81, 2.09, 225),
    "CeO2": (5.411, "F m -3 m", ["Ce1 Ce4+ 0 0 0", "O1 O2- 0.25 0.25 0.25"], 7.22, 2.34, 225),
    "anatase, first origin": (
        [3.785, 3.785, 9.514, 90, 90, 90],
        "I 41/a m d :1",
        ["Ti1 Ti 0 0 0", "O1 O 0 0 0.2081"],
        3.89,
        1.934,
        141,
    ),
    "anatase, second origin": (
        [3.785, 3.785, 9.514, 90, 90, 90],
        "I 41/a m d :2",
        ["Ti1 Ti 0 0.75 0.125", "O1 O 0 0.75 0.3331"],
        3.89,
        1.934,
        141,
    ),
    "Bi2Te3": (
        [4.395, 4.395, 30.44, 90, 90, 120],
        "R -3 m",
        ["Bi1 Bi 0 0 0.4", "Te1 Te 0 0 0", "Te2 Te 0 0 0.2095"],
        7.86,
        3.07,
        166,
    ),
    "Bi2Te3 on rhombohedral axes": (
        [10.459, 10.459, 10.459, 24.26, 24.26, 24.26],
        "R -3 m",
        ["Bi1 Bi 0.4 0.4 0.4", "Te1 Te 0 0 0", "Te2 Te 0.2095 0.2095 0.2095"],
        7.86,
        3.07,
        166,
    ),
    "WO3": (
        [7.306, 7.54, 7.692, 90, 90.88, 90],
        "P 21/n",
        [
            *("W1 W 0.2528 0.0260 0.2855", "W2 W 0.2497 0.0344 0.7805", "O1 O 0.0003 0.0337 0.2122"),
            *("O2 O 0.9939 0.4636 0.2177", "O3 O 0.2836 0.2605 0.2848", "O4 O 0.2080 0.2588 0.7332"),
            *("O5 O 0.2856 0.0410 0.0041", "O6 O 0.2841 0.4868 0.9944"),
        ],
        7.27,
        1.74,
        14,
    ),
    "LaMnO3": (  # in a setting of P n m a
        [5.5367, 5.7473, 7.6929, 90, 90, 90],
        "P b n m",
        [
            *("La1 La 0.9922 0.0490 0.25", "Mn1 Mn 0.5 0 0"),
            *("O1 O 0.0745 0.4874 0.25", "O2 O 0.7256 0.3066 0.0384"),
        ],
        6.57,
        1.91,
        62,
    ),
    "ZnO": (
        [3.2495, 3.2495, 5.2069, 90, 90, 120],
        "P 63 m c",
        ["Zn1 Zn 0.3333 0.6667 0", "O1 O 0.3333 0.6667 0.3821"],
        5.67,
        1.975,
        186,
    ),
}


@pytest.mark.parametrize("name", sorted(CRYSTALS))
def test_a_space_group_named_without_operators_gives_the_published_crystal(cif, name):
    cell, symbol, sites, density, bond, number = CRYSTALS[name]
    crystal = read_cif(cif(cell, named(symbol), sites))
    assert crystal.density() == pytest.approx(density, rel=0.005)
    assert crystal.nearest_neighbour_distance() == pytest.approx(bond, rel=0.01)
    assert space_group(crystal) == number


@pytest.mark.parametrize("name", sorted(CRYSTALS))
def test_files_that_pymatgen_writes_with_operators_are_read_as_pymatgen_and_ase_read_them(cif, tmp_path, name):
    crystal = read_cif(cif(*CRYSTALS[name][:1], named(CRYSTALS[name][1]), CRYSTALS[name][2]))
    structure = Structure(crystal.cell, crystal.numbers, crystal.fractional)
    path = tmp_path / "written.cif"
    CifWriter(structure, symprec=0.01).write_file(path)
    ours = read_cif(path)
    (theirs,) = CifParser(path).parse_structures(primitive=False)
    assert_same_crystal(ours, crystal_from_pymatgen(theirs, "pymatgen"))
    assert_same_crystal(ours, crystal_from_ase(read(path), "ase"))
    # It writes the conventional cell.
    assert ours.density() == pytest.approx(crystal.density(), rel=1e-4)
    assert ours.nearest_neighbour_distance() == pytest.approx(crystal.nearest_neighbour_distance(), rel=1e-3)


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("NaCl", "rocksalt", a=5.64),
        bulk("Ti", "hcp", a=2.95, c=4.68),
        Atoms("CuPdAg", cell=[4.1, 5.2, 6.3, 78, 66, 104], pbc=True, scaled_positions=np.eye(3) * 0.4),
    ],
)
def test_files_of_ase_are_read_as_they_were_written(tmp_path, atoms):
    path = tmp_path / "written.cif"
    write(path, atoms)
    crystal = read_cif(path)
    np.testing.assert_allclose(crystal.cell, atoms.cell.standard_form()[0], atol=1e-6)
    assert_same_crystal(crystal, crystal_from_ase(atoms, "ase"))


def test_a_symbol_a_hall_symbol_and_operators_mean_the_same(cif):
    cell, _, sites, *_ = CRYSTALS["WO3"]
    listed = ("x,y,z", "-x+1/2,y+1/2,-z+1/2", "-x,-y,-z", "x+1/2,-y+1/2,z+1/2")
    reference = read_cif(cif(cell, operators(*listed), sites))
    assert space_group(reference) == 14
    for symmetry in (
        named("P 1 21/n 1"),
        named("P 21/n") + operators(*listed),
        "_space_group_name_Hall '-P 2yn'\n",
        named("P 1 21/n 1") + "_space_group_IT_number 14\n_space_group_name_Hall '-P 2yn'\n",
        named("P 21/c").replace("P 21/c'", "P 1 21/c 1'") + "_space_group_IT_number 14\n" + operators(*listed),
        # Without quotes, as careless programs write.
        "_symmetry_space_group_name_H-M P 1 21/n 1\n",
        operators(*listed).replace("'", "").replace(",", ", "),
    ):
        crystal = read_cif(cif(cell, symmetry, sites))
        assert_same_crystal(crystal, reference, tolerance=1e-9)


# Symbols of elements


@pytest.mark.parametrize(
    ("labels", "columns"),
    [
        (("NI1", "O1"), LABELLED),
        (("Ni1", "O1"), LABELLED),
        (("ni1", "o1"), LABELLED),
        (("X1 NI", "X2 O"), SITE),
        (("X1 Ni2+", "X2 O2-"), SITE),
        (("N1 ni", "X2 o"), SITE),
        (("NI1 ?", "O1 ."), SITE),
        (("NI1", "OW1"), LABELLED),
    ],
)
def test_elements_are_known_whatever_the_case_of_their_symbols(cif, labels, columns):
    sites = [f"{labels[0]} 0 0 0", f"{labels[1]} 0.5 0.5 0.5"]
    for extra in ("", contents("Ni O", 4), contents("NI O", 4)):
        crystal = read_cif(cif(4.177, CUBIC, sites, extra, columns))
        assert sorted(crystal.numbers) == [8] * 4 + [28] * 4


def test_the_formula_tells_what_capital_letters_mean(cif):
    # Ca(OH)2, portlandite: HO1 is hydrogen, not holmium. O-H 0.94 Å, density 2.24 g/cm³.
    sites = ["CA1 0 0 0", "O1 0.3333 0.6667 0.234", "HO1 0.3333 0.6667 0.425"]
    cell = [3.593, 3.593, 4.909, 90, 90, 120]
    crystal = read_cif(cif(cell, named("P -3 m 1"), sites, contents("Ca H2 O2", 1), LABELLED))
    assert crystal.numbers.tolist() == [20, 8, 8, 1, 1]
    assert crystal.density() == pytest.approx(2.24, rel=0.01)
    # Without it holmium would be 0.94 Å from oxygen.
    refused(cif(cell, named("P -3 m 1"), sites, "", LABELLED), "O and Ho 0.938 Å apart")


@pytest.mark.parametrize(
    ("label", "others"),
    [("CO1", ["Fe1 0.5 0.5 0.5"]), ("OSI1", ["O1 0.5 0.5 0.5"]), ("Wat1", []), ("Xx1", []), ("T1", []), ("?", [])],
)
def test_a_label_that_may_be_two_elements_or_none_is_refused(cif, label, others):
    refused(
        cif(4.2, CUBIC, [f"{label} 0 0 0", *others], columns=LABELLED), f"the site '{label}'", "nothing tells which"
    )


def test_a_type_symbol_that_the_formula_lacks_is_not_read_as_another_element(cif):
    sites = ["X1 Co 0 0 0", "X2 O 0.5 0.5 0.5"]
    refused(cif(4.26, CUBIC, sites, contents("C O", 4)), "the cell holds O4 Co4")


def test_deuterium_is_hydrogen(cif):
    sites = ["Li1 Li 0 0 0", "D1 D 0.5 0.5 0.5"]
    for formula in ("Li D", "Li H"):
        crystal = read_cif(cif(4.07, CUBIC, sites, contents(formula, 4)))
        assert sorted(crystal.numbers) == [1] * 4 + [3] * 4


# Symmetry


def test_an_origin_that_is_not_said_is_decided_by_contents_and_distances_or_refused(cif):
    diamond, plain = ["C1 C 0 0 0"], named("F d -3 m")
    refused(cif(3.567, plain, diamond), "read in 2 ways", "8 or 16 atoms", "'F d -3 m :2'")
    for extra in (contents("C", 8), "_exptl_crystal_density_diffrn 3.52\n"):
        crystal = read_cif(cif(3.567, plain, diamond, extra))
        assert describe_crystal(crystal) == "C, 8 atoms in 45 Å³, 3.52 g/cm³, nearest neighbours 1.54 Å (C-C)"
    for suffix, sites in ((":1", "0 0 0"), (" S", "0 0 0"), (":2", "0.125 0.125 0.125"), (" Z", "0.125 0.125 0.125")):
        assert len(read_cif(cif(3.567, named(f"F d -3 m{suffix}"), [f"C1 C {sites}"])).numbers) == 8
    code = "_space_group_IT_coordinate_system_code 2\n"
    assert len(read_cif(cif(3.567, plain + code, ["C1 C 0.125 0.125 0.125"])).numbers) == 8
    # Anatase: of the two origins one puts oxygen atoms 0.79 Å apart.
    for origin in ("anatase, first origin", "anatase, second origin"):
        cell, symbol, sites, density, *_ = CRYSTALS[origin]
        crystal = read_cif(cif(cell, named(symbol[:-3]), sites))
        assert crystal.density() == pytest.approx(density, rel=0.01)
        other = ":1" if symbol.endswith(":2") else ":2"
        refused(cif(cell, named(symbol[:-2] + other), sites), "Å apart")


def test_no_symmetry_is_refused_unless_the_contents_agree(cif):
    gold, whole = ["Au1 Au 0 0 0"], ["A Au 0 0 0", "B Au 0 0.5 0.5", "C Au 0.5 0 0.5", "D Au 0.5 0.5 0"]
    for extra in ("", contents("Au", 4), "_chemical_formula_sum Au\n", "_exptl_crystal_density_diffrn 19.3\n"):
        sentence = refused(cif(4.078, "", gold, extra))
        assert "4.82 g/cm³" in sentence
    refused(cif(4.078, "", whole), "does not say how symmetry repeats its sites")
    for symmetry, extra in (("", contents("Au", 4)), (named("P 1"), ""), (operators("x,y,z"), "")):
        assert len(read_cif(cif(4.078, symmetry, whole, extra)).numbers) == 4
    refused(cif(4.078, named("P 1"), gold, contents("Au", 4)), "_cell_formula_units_Z is 4", "holds Au1")


def test_operators_that_contradict_the_name_are_decided_by_the_contents_or_refused(cif):
    gold, only = ["Au1 Au 0 0 0"], CUBIC + "_symmetry_equiv_pos_as_xyz x,y,z\n"
    refused(cif(4.078, only, gold), "read in 2 ways", "1 or 4 atoms")
    assert len(read_cif(cif(4.078, only, gold, contents("Au", 4))).numbers) == 4
    # All atoms are listed already: both readings are one crystal.
    whole = [*gold, "Au2 Au 0 0.5 0.5", "Au3 Au 0.5 0 0.5", "Au4 Au 0.5 0.5 0"]
    assert len(read_cif(cif(4.078, only, whole)).numbers) == 4
    assert len(read_cif(cif(4.078, CUBIC, whole)).numbers) == 4


@pytest.mark.parametrize(
    ("cell", "symmetry", "words"),
    [
        (4.078, named("F m -3 q"), ["symbol 'F m -3 q'", "not known"]),
        (4.078, "_space_group_IT_number 231\n", ["number 231", "not known"]),
        (4.078, "_space_group_name_Hall '-F 4 2 7'\n", ["Hall symbol", "not known"]),
        (4.078, named("F d -3 m") + "_space_group_IT_number 225\n", ["number 225", "'F d -3 m'", "different"]),
        ([4, 4, 5, 90, 90, 90], CUBIC, ["does not have the symmetry of its space group"]),
        ([10, 10, 10, 60, 60, 60], named("R -3 m :H"), ["does not have the symmetry"]),
        ([4, 4, 5, 90, 90, 90], operators("x,y,z", "y,z,x", "z,x,y"), ["does not have the symmetry of the operators"]),
        (4.078, operators("x,y,z", "-y,x,z"), ["2 symmetry operators are no group"]),
        (4.078, operators("x,y,z", "x,y,q"), ["'x,y,q'"]),
        # The group is known by a name only, and no operators but x,y,z are there.
        (4.078, named("F m -3 q") + operators("x,y,z"), ["nothing shows that they are the whole cell"]),
        (4.078, "_cell_modulation_dimension 1\n" + CUBIC, ["modulated"]),
    ],
)
def test_symmetry_that_is_unknown_or_contradicts_itself_is_refused(cif, cell, symmetry, words):
    refused(cif(cell, symmetry, ["Au1 Au 0 0 0"]), *words)


def test_a_number_alone_leaves_axes_open_and_the_contents_may_tell(cif):
    assert len(read_cif(cif(4.078, "_space_group_IT_number 225\n", ["Au1 Au 0 0 0"])).numbers) == 4
    cell, _, sites, density, *_ = CRYSTALS["WO3"]
    crystal = read_cif(cif(cell, "_space_group_IT_number 14\n", sites))
    assert crystal.density() == pytest.approx(density, rel=0.005)
    # Atoms that are far apart in any of the three settings of P 21/c with this axis.
    refused(cif([8, 9, 10, 90, 95, 90], "_space_group_IT_number 14\n", ["Xe1 Xe 0.1 0.2 0.3"]), "read in 3 ways")


# Contents


def test_formula_and_number_of_units_are_held_against_the_contents(cif):
    salt = ["Na1 Na 0 0 0", "Cl1 Cl 0.5 0.5 0.5"]
    # As databases, ASE, and pymatgen, which gives the contents of the whole cell beside Z, write them.
    good = [contents("Na Cl", 4), contents("Cl1 Na1", 4), contents("NaCl", 4), contents("Na4 Cl4", 4)]
    good += ["_chemical_formula_sum 'Na Cl'\n", "_cell_formula_units_Z 4\n", contents("?", "?"), contents("NA CL", 4)]
    for extra in good:
        assert len(read_cif(cif(5.64, CUBIC, salt, extra)).numbers) == 8
    bad = [contents("Na Cl", 8), contents("Na Cl", 1), contents("Na2 Cl", 4), contents("K Cl", 4)]
    bad += ["_chemical_formula_sum 'Na Cl2'\n", "_cell_formula_units_Z 3\n", contents("Na Cl O", 4)]
    for extra in bad:
        refused(cif(5.64, CUBIC, salt, extra), "the cell holds Na4 Cl4")
    refused(cif(5.64, CUBIC, salt, "_exptl_crystal_density_diffrn 4.3\n"), "4.3 g/cm³", "2.16 g/cm³")
    refused(cif(5.64, CUBIC, salt, "_cell_volume 45\n"), "_cell_volume is 45 Å³", "179.41 Å³")


def test_hydrogen_that_was_not_found_is_tolerated_with_a_warning_and_too_much_of_it_is_not(cif, caplog):
    cell, group = [3.593, 3.593, 4.909, 90, 90, 120], named("P -3 m 1")
    sites = ["Ca1 Ca 0 0 0", "O1 O 0.3333 0.6667 0.234"]
    with caplog.at_level(logging.WARNING):
        crystal = read_cif(cif(cell, group, sites, contents("Ca H2 O2", 1)))
    assert crystal.numbers.tolist() == [20, 8, 8]
    assert "2 hydrogen atoms of the formula have no site" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        read_cif(cif(cell, group, [*sites, "H1 H ? ? ?"], contents("Ca H2 O2", 1)))
    assert "1 hydrogen sites without coordinates" in caplog.text
    hydrogen = "H1 H 0.3333 0.6667 0.425"
    refused(cif(cell, group, [*sites, hydrogen], contents("Ca H O2", 1)), "holds H2 O2 Ca1")
    refused(cif(cell, group, [*sites, hydrogen], contents("Ca O2", 1)), "holds H2 O2 Ca1")
    refused(cif(cell, group, ["Ca1 Ca 0 0 0", "O1 O ? ? ?"]), "of 'O1' is '?'")


# Occupancies


@pytest.mark.parametrize("occupancy", ["?", ".", "1", "1.0", "1.0000", "0.998(4)", "1.002(4)", "0.99(1)", "0.9995"])
def test_an_occupancy_that_is_one_within_its_uncertainty_or_not_said_is_one(cif, occupancy):
    crystal = read_cif(cif(4.078, CUBIC, [f"Au1 Au 0 0 0 {occupancy}"], columns=OCCUPIED))
    assert crystal.density() == pytest.approx(19.3, rel=0.005)


@pytest.mark.parametrize("occupancy", ["0.95(1)", "0.98", "0.9(1)", "0.5", "0", "1.5"])
def test_partial_occupancy_is_refused(cif, occupancy):
    refused(cif(4.078, CUBIC, [f"Au1 Au 0 0 0 {occupancy}"], columns=OCCUPIED), "'some' has partially occupied sites")


def test_sites_of_two_elements_are_refused_and_parts_of_one_element_that_fill_a_site_are_not(cif):
    for parts in ("0.6 0.4", "1 1", "? ?"):
        first, second = parts.split()
        sites = [f"Au1 Au 0 0 0 {first}", f"Cu1 Cu 0 0 0 {second}"]
        refused(cif(4.0, CUBIC, sites, columns=OCCUPIED), "up to 2 elements on a site")
    iron = ["Fe1 Fe2+ 0 0 0 0.5", "Fe2 Fe3+ 0 0 0 0.5", "O1 O 0.5 0.5 0.5 1"]
    assert len(read_cif(cif(4.3, CUBIC, iron, columns=OCCUPIED)).numbers) == 8
    refused(cif(4.3, CUBIC, [iron[0], iron[2]], columns=OCCUPIED), "partially occupied")
    refused(cif(4.3, CUBIC, ["O1 O 0 0 0 full"], columns=OCCUPIED), "_atom_site_occupancy of 'O1' is 'full'")


# Coordinates


@pytest.mark.parametrize(
    "printed", ["0.33 0.67", "0.333 0.667", "0.333 0.666", "0.3333 0.6667", "0.33333333 0.66666667"]
)
def test_printed_thirds_are_put_on_their_symmetry_elements(cif, printed):
    cell, symbol, *_ = CRYSTALS["ZnO"]
    crystal = read_cif(cif(cell, named(symbol), [f"Zn1 Zn {printed} 0", f"O1 O {printed} 0.3821"]))
    reference = crystal_from_ase(bulk("ZnO", "wurtzite", a=3.2495, c=5.2069, u=0.3821), "ZnO")
    assert_same_crystal(crystal, reference, tolerance=1e-6)


def test_a_place_near_a_symmetry_element_is_not_put_on_it(cif):
    cell, symbol, *_ = CRYSTALS["ZnO"]
    refused(cif(cell, named(symbol), ["Zn1 Zn 0.35 0.65 0"]), "Zn and Zn 0.162 Å apart")
    # Silicon atoms of one printed decimal that lie further apart than bonds are two.
    sites = ["Si1 Si 0.3 0.1 0.2"]
    crystal = read_cif(cif([9, 10, 11, 90, 90, 90], operators("x,y,z", "-x,-y,-z", "-x,y,-z", "x,-y,z"), sites))
    assert len(crystal.numbers) == 4
    np.testing.assert_allclose(crystal.fractional[0], [0.3, 0.1, 0.2])


def test_mistake_02_lattice_rows_first_axis_lies_along_x(cif):
    crystal = read_cif(cif([4, 5, 6, 80, 70, 100], named("P 1"), ["Au1 Au 0.1 0.2 0.3"]))
    reference = Lattice.from_parameters(4, 5, 6, 80, 70, 100)
    np.testing.assert_allclose(crystal.cell @ crystal.cell.T, reference.matrix @ reference.matrix.T, atol=1e-9)
    np.testing.assert_allclose(crystal.cell[0], [4, 0, 0], atol=1e-12)
    assert crystal.cell[1, 2] == 0


# Files


def test_of_several_structures_one_is_chosen_by_its_name(cif, tmp_path):
    gold = cif(4.078, CUBIC, ["Au1 Au 0 0 0"], block="gold").read_text()
    copper = cif(3.615, CUBIC, ["Cu1 Cu 0 0 0"], block="Copper").read_text()
    path = tmp_path / "both.cif"
    path.write_text("data_global\n_journal_year 1926\n" + gold + copper)
    refused(path, "holds 2 structures", f"{path}#gold, {path}#Copper")
    assert set(read_cif(f"{path}#gold").numbers) == {79}
    chosen = read_cif(f"{path}#copper")
    assert set(chosen.numbers) == {29}
    assert chosen.name == "both#copper"
    refused(f"{path}#silver", "0 structures of that name", f"{path}#gold")
    # One structure beside blocks of other things needs no name, and a # may be part of a file's own name.
    alone = tmp_path / "sample#1.cif"
    alone.write_text("data_global\n_journal_year 1926\n" + gold)
    assert set(read_cif(alone).numbers) == {79}
    path.write_text(gold + gold)
    refused(f"{path}#gold", "2 structures of that name")


def test_syntax_of_other_programs_is_read(tmp_path):
    path = tmp_path / "odd.cif"
    text = (
        "\ufeff#\\#CIF_1.1\r\n# by hand\r\nDATA_gold\r\n_publ_section_title\r\n;\r\ndata_ and loop_ in a text\r\n;\r\n"
        "_cell_length_a   4.0780(5) # at 293 K\r\n_cell_length_b 4.078(1)\r\n_CELL_LENGTH_C\r\n4.078\r\n"
        "_cell_angle_alpha 90.\r\n_cell_angle_beta 9.0e1\r\n_cell_angle_gamma 90\r\n"
        "_space_group.name_H-M_alt \"F m -3 m\"\r\n_publ_author_name 'it's one text'\r\n"
        "loop_ _atom_site.type_symbol _atom_site.fract_x\r\n_atom_site.fract_y _atom_site.fract_z\r\n"
        "Au 0.0\r\n+0 .0\r\n"
    )
    path.write_text(text, encoding="utf-8", newline="")
    assert read_cif(path).density() == pytest.approx(19.3, rel=0.005)
    path.write_bytes(text.lstrip("\ufeff").replace("293 K", "293 °").encode("latin-1"))
    assert len(read_cif(path).numbers) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "this is not a CIF file\n", ["cannot be read as a crystal", "'this' in line 1"]),
        (lambda text: "", ["no line that starts with data_"]),
        (lambda text: "data_x\n", ["no data block has both a cell and fractional coordinates"]),
        (lambda text: text.replace("_cell_length_b 4.078\n", ""), ["no _cell_length_b"]),
        (lambda text: text.replace("_b 4.078", "_b -4.078"), ["the cell 4.078, -4.078"]),
        (lambda text: text.replace("_b 4.078", "_b 1e400"), ["'1e400'"]),
        (lambda text: text.replace("gamma 90", "gamma 190"), ["190"]),
        (lambda text: text.replace("_b 4.078", "_b four"), ["'four'"]),
        (lambda text: text.replace("0 0 0", "0 0 zero"), ["_atom_site_fract_z of 'Au1' is 'zero'"]),
        (lambda text: text.replace("0 0 0", "0 0"), ["loop of 5 columns with 4 values"]),
        (lambda text: text + "_cell_length_a 5\n", ["_cell_length_a is given twice"]),
        (lambda text: text + "Au2 Au 0 0\n", ["columns with 9 values"]),
        (lambda text: text + ";\nno end\n", ["has no end"]),
        (lambda text: re.sub("_atom_site_label\n|_atom_site_type_symbol\n|Au1 Au ", "", text), ["lacks a column"]),
    ],
)
def test_a_file_that_is_damaged_is_refused_with_the_reason(cif, change, words):
    path = cif(4.078, CUBIC, ["Au1 Au 0 0 0"])
    path.write_text(change(path.read_text()))
    assert path.name in refused(path, *words)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    refused(tmp_path / "missing.cif", "missing.cif", "cannot be read as a crystal (No such file", "a CIF file")
    refused(tmp_path, "cannot be read as a crystal (Is a directory")
