"""Files for other programs, read back by ASE."""

import numpy as np
import pytest
from ase.io import read
from ase.io.prismatic import read_prismatic

from exitwave.errors import StructureError
from exitwave.structures.export import write_structure, write_unit_cell
from exitwave.structures.structure import Structure
from exitwave.waves.thermal import rms_displacement
from known_crystals import strontium_titanate, tilted


@pytest.fixture
def structure():
    rng = np.random.default_rng(0)
    cell = np.array([31.0, 31.0, 47.0])
    return Structure(
        positions=rng.random((40, 3)) * cell,
        numbers=np.repeat(np.array([79, 6], dtype=np.uint8), 20),
        object_id=np.repeat(np.array([2, 0], dtype=np.uint8), 20),
        role=np.arange(40, dtype=np.uint8),
        grain=np.tile(np.array([0, 1], dtype=np.uint8), 20),
        cell=cell,
    )


@pytest.mark.parametrize("suffix", [".xyz", ".extxyz", ".XYZ"])
def test_extended_xyz_keeps_everything(structure, tmp_path, suffix):
    path = tmp_path / f"atoms{suffix}"
    write_structure(structure, path)
    atoms = read(path, format="extxyz")
    np.testing.assert_allclose(atoms.positions, structure.positions, atol=1e-7)
    np.testing.assert_array_equal(atoms.numbers, structure.numbers)
    np.testing.assert_allclose(atoms.cell.array, np.diag(structure.cell))
    assert atoms.pbc.tolist() == [True, True, False]
    for name in ("object_id", "role", "grain"):
        np.testing.assert_array_equal(atoms.arrays[name], getattr(structure, name))


@pytest.mark.parametrize(("suffix", "tolerance"), [(".cif", 1e-9), (".pdb", 5.1e-4)])
def test_cif_and_pdb_keep_atoms_and_cell(structure, tmp_path, suffix, tolerance):
    path = tmp_path / f"atoms{suffix}"
    write_structure(structure, path)
    atoms = read(path)
    np.testing.assert_allclose(atoms.positions, structure.positions, atol=tolerance)
    np.testing.assert_array_equal(atoms.numbers, structure.numbers)
    np.testing.assert_allclose(atoms.cell.array, np.diag(structure.cell), atol=1e-3)
    if suffix == ".pdb":
        np.testing.assert_array_equal(atoms.arrays["residuenumbers"], structure.object_id)


def test_prismatic_file_has_its_columns_and_the_beam_enters_from_the_top(structure, tmp_path):
    path = tmp_path / "atoms.XYZ"
    rms = {symbol: rms_displacement(symbol, 200.0) for symbol in ("Au", "C")}
    write_structure(structure, path, format="prismatic", rms_displacements=rms)
    lines = path.read_text().splitlines()
    assert len(lines) == 43
    np.testing.assert_allclose(np.array(lines[1].split(), dtype=float), structure.cell)
    assert lines[-1].strip() == "-1"
    table = np.loadtxt(path, skiprows=2, comments="-1")
    np.testing.assert_array_equal(table[:, 0], structure.numbers)
    np.testing.assert_allclose(table[:, 1:3], structure.positions[:, :2], atol=1e-6)
    np.testing.assert_allclose(table[:, 3], structure.cell[2] - structure.positions[:, 2], atol=1e-6)
    np.testing.assert_array_equal(table[:, 4], 1)
    expected = np.repeat([rms["Au"], rms["C"]], 20)
    np.testing.assert_allclose(table[:, 5], expected, atol=1e-5)
    # Independently: ASE reads it too, with B = 8 π² rms².
    atoms = read_prismatic(path)
    np.testing.assert_array_equal(atoms.numbers, structure.numbers)
    np.testing.assert_allclose(atoms.arrays["debye_waller_factors"], 8 * np.pi**2 * expected**2, atol=1e-3)


def test_prismatic_without_displacements_has_atoms_at_rest_and_half_a_table_is_refused(structure, tmp_path):
    path = tmp_path / "atoms.XYZ"
    write_structure(structure, path, format="prismatic")
    np.testing.assert_array_equal(np.loadtxt(path, skiprows=2, comments="-1")[:, 5], 0)
    with pytest.raises(StructureError, match="rms_displacements has none for C; allowed"):
        write_structure(structure, path, format="prismatic", rms_displacements={"Au": 0.08})


def test_unknown_suffix_lists_what_is_allowed(structure, tmp_path):
    with pytest.raises(StructureError, match=r"suffix of '.*atoms\.vasp' is '\.vasp'; allowed: \.xyz, .*\.pdb"):
        write_structure(structure, tmp_path / "atoms.vasp")
    with pytest.raises(StructureError, match="format is 'vasp'"):
        write_structure(structure, tmp_path / "atoms.xyz", format="vasp")


def test_path_that_cannot_be_written_is_named(structure, tmp_path):
    for form in ("extxyz", "prismatic"):
        with pytest.raises(StructureError, match=r"missing.*cannot be written"):
            write_structure(structure, tmp_path / "missing" / "atoms.xyz", format=form)


def test_more_atoms_than_a_pdb_file_can_number_are_refused(tmp_path):
    none = np.zeros(100_000, dtype=np.uint8)
    large = Structure(np.zeros((100_000, 3)), none + 6, none, role=none, grain=none, cell=np.ones(3))
    with pytest.raises(StructureError, match="100000 atoms; allowed: up to 99999"):
        write_structure(large, tmp_path / "atoms.pdb")


@pytest.mark.parametrize("name", ["cell.cif", "cell.xyz"])
def test_unit_cells_are_written_for_other_programs(tmp_path, name):
    """In the frame of the beam; a CIF keeps lengths and angles of it."""
    cell = strontium_titanate(tilted(10, 0.3), shift=0.1)
    write_unit_cell(cell, tmp_path / name)
    found = read(tmp_path / name)
    assert found.numbers.tolist() == cell.numbers.tolist()
    assert found.cell.cellpar() == pytest.approx([3.905] * 3 + [90] * 3, abs=1e-5)
    assert found.get_scaled_positions() == pytest.approx(cell.fractional, abs=1e-5)
    if name.endswith(".xyz"):
        assert found.cell.array == pytest.approx(cell.vectors, abs=1e-6)


def test_unit_cells_are_not_written_as_what_has_no_cell(tmp_path):
    with pytest.raises(StructureError, match=r"^the suffix of .*cell\.pdb' is '\.pdb'; allowed, of a crystal"):
        write_unit_cell(strontium_titanate(), tmp_path / "cell.pdb")
