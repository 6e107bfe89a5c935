"""Structures from files: crystals that fill the field, whole structures, what is refused, and groups for splits."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.build.tools import niggli_reduce
from ase.io import write
from ase.io.trajectory import Trajectory
from scipy.spatial import cKDTree

from exitwave.config.graph import Node
from exitwave.config.structures import StructureFiles
from exitwave.errors import StructureError
from exitwave.items import Asked, Item
from exitwave.structures import files
from exitwave.structures.export import write_structure
from exitwave.structures.groups import groups_by_content
from exitwave.structures.structure import item_arrays, structure_from
from exitwave.study.member import identity

ROOT = Path(__file__).resolve().parents[2]
GOLD = 4.08
EDGE = 30.0


def block(path: Path, **keys: Any) -> StructureFiles:
    keys = {"count": 4, "field_of_view": EDGE, **({"thickness": 20.0} if keys.get("fill", True) else {}), **keys}
    return StructureFiles.model_validate({"kind": "files", "path": path, **keys})


def check(wanted: StructureFiles) -> None:
    files.check(Node("structures", "own", wanted, {}))


def made(wanted: StructureFiles, *numbers: int) -> list[Item]:
    return list(files.make(wanted, [Asked(number, (np.random.default_rng(number),)) for number in numbers or (0,)]))


def atoms_of(item: Item) -> np.ndarray:
    return item.arrays["positions"].values.astype(float)


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    write(tmp_path / "Au.cif", bulk("Au", a=GOLD, cubic=True))
    return tmp_path / "Au.cif"


@pytest.fixture
def slab(tmp_path: Path) -> Atoms:
    """Au on a layer of C in a cell of the field, laterally periodic."""
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*[np.arange(10) * 3.0] * 2, indexing="ij"), -1).reshape(-1, 2)
    lateral = np.concatenate([grid, grid[:20] + 1.0])
    height = np.concatenate([np.full(100, 4.0), np.full(20, 9.0)]) + rng.uniform(0, 1, 120)
    return Atoms(
        ["C"] * 100 + ["Au"] * 20,
        positions=np.column_stack([lateral, height]),
        cell=[EDGE, EDGE, 14.0],
        pbc=(True, True, False),
    )


# --- crystals ---------------------------------------------------------------------------------


def test_a_crystal_fills_the_field_at_its_density(gold: Path) -> None:
    (item,) = made(block(gold, field_of_view=60.0, thickness=40.0))
    expected = 4 / GOLD**3 * 60**2 * 40
    assert item.row["n_atoms"] == pytest.approx(expected, rel=0.03)
    # No part of it is left empty: eight boxes hold as much each.
    octant = (atoms_of(item) > [30, 30, item.row["cell_height"] / 2]) @ [1, 2, 4]
    assert np.bincount(octant, minlength=8) == pytest.approx(np.full(8, expected / 8), rel=0.15)


def test_a_filled_crystal_is_not_strained_and_ends_at_the_edges(gold: Path) -> None:
    (item,) = made(block(gold))
    positions = atoms_of(item)
    nearest = cKDTree(positions).query(positions, k=2)[0][:, 1]
    assert nearest == pytest.approx(GOLD / np.sqrt(2), abs=2e-4)
    assert (positions[:, :2] >= 0).all()
    assert (positions[:, :2] <= EDGE).all()
    assert item.row["periodic"] == 0
    assert not structure_from(item.arrays, item.row).periodic


@pytest.mark.parametrize(
    ("zone_axis", "spacing", "repeat"),
    [
        ([0, 0, 1], GOLD / 2, GOLD),
        ([0, 1, 1], GOLD * np.sqrt(3 / 8), GOLD / np.sqrt(2)),
        ([1, 1, 1], GOLD / np.sqrt(6), GOLD * np.sqrt(3)),
    ],
)
def test_the_zone_axis_is_along_the_beam(gold: Path, zone_axis: list[int], spacing: float, repeat: float) -> None:
    """Distances of columns, and of atoms in a column, of a face-centred cubic crystal."""
    (item,) = made(block(gold, zone_axes=[zone_axis], thickness=30.0))
    positions = atoms_of(item)
    columns = cKDTree(positions[:, :2])
    together = columns.query_ball_point(positions[0, :2], 0.01)
    others = np.unique(positions[:, :2].round(2), axis=0)
    distances = cKDTree(others).query(others, k=8)[0]
    assert distances[distances > 0.1].min() == pytest.approx(spacing, abs=0.02)
    assert np.diff(np.sort(positions[together, 2])) == pytest.approx(repeat, abs=1e-3)
    assert item.row["zone_axis_tilt"] == pytest.approx(0, abs=1e-6)
    assert sorted(abs(int(index)) for index in item.row["zone_axis"].split()) == sorted(zone_axis)


def test_the_angle_about_the_beam_is_as_given(gold: Path) -> None:
    for angle in (0.0, 30.0):
        (item,) = made(block(gold, zone_axes=[[0, 0, 1]], in_plane=angle))
        positions = atoms_of(item)
        vectors = positions[np.linalg.norm(positions - positions[0], axis=1) < GOLD * 1.01] - positions[0]
        along = vectors[(np.abs(vectors[:, 2]) < 0.01) & (np.linalg.norm(vectors, axis=1) > GOLD * 0.99)]
        assert len(along)
        angles = np.degrees(np.arctan2(along[:, 1], along[:, 0])) - angle
        assert np.abs((angles + 45) % 90 - 45).max() < 0.01


def test_tilt_is_recorded_and_towards_any_side(gold: Path) -> None:
    items = made(block(gold, zone_axes=[[1, 1, 1]], tilt=2.0, in_plane=0.0), *range(6))
    assert [item.row["zone_axis_tilt"] for item in items] == pytest.approx([2.0] * 6)
    assert len({item.row["content_hash"] for item in items}) == 6


def test_without_zone_axes_orientations_are_random(gold: Path) -> None:
    items = made(block(gold, count=60, field_of_view=12.0, thickness=6.0), *range(60))
    tilts = [item.row["zone_axis_tilt"] for item in items]
    assert len(set(tilts)) == 60
    assert max(tilts) > 2


@pytest.mark.parametrize("vacuum", [0.0, 3.0])
def test_vacuum_is_above_and_below(gold: Path, vacuum: float) -> None:
    (item,) = made(block(gold, vacuum=vacuum))
    heights = atoms_of(item)[:, 2]
    assert heights.min() == pytest.approx(vacuum, abs=1e-4)
    assert item.row["cell_height"] - heights.max() == pytest.approx(vacuum, abs=1e-4)
    assert np.ptp(heights) <= 20 + 1e-4


def test_formats_give_the_same_structure(tmp_path: Path) -> None:
    crystal = bulk("GaAs", "zincblende", a=5.65, cubic=True)
    structures = []
    for name, written in (("a.cif", "cif"), ("GaAs_POSCAR", "vasp"), ("a.vasp", "vasp"), ("a.xyz", "extxyz")):
        write(tmp_path / name, crystal, format=written)
        (item,) = made(block(tmp_path / name))
        structures.append(atoms_of(item)[np.lexsort(atoms_of(item).T.round(2))])
    for other in structures[1:]:
        assert other == pytest.approx(structures[0], abs=2e-3)


def test_items_do_not_depend_on_the_others(gold: Path) -> None:
    write(gold.parent / "W.cif", bulk("W", cubic=True))
    wanted = block(gold.parent, thickness={"uniform": [10, 20]})
    forth, back = made(wanted, 0, 1, 2, 3), made(wanted, 3, 2, 1, 0)
    hashes = [item.row["content_hash"] for item in forth]
    assert hashes == [item.row["content_hash"] for item in back[::-1]]
    assert hashes == [made(wanted, number)[0].row["content_hash"] for number in range(4)]


def test_a_thickness_without_an_atom_is_refused(tmp_path: Path) -> None:
    layer = bulk("Au", a=GOLD, cubic=True)
    layer.cell[2, 2] = 40.0
    layer.positions[:, 2] = 0.0
    layer.positions[:, :2] = [[0, 0], [2, 2], [0, 2], [2, 0]]
    write(tmp_path / "layer.cif", layer)
    wanted = block(tmp_path / "layer.cif", thickness=0.5, zone_axes=[[0, 0, 1]])
    with pytest.raises(StructureError, match=r"^item \d: thickness: 0\.5 Å of .*layer\.cif' hold no atom"):
        made(wanted, *range(10))


# --- folders ----------------------------------------------------------------------------------


def test_a_folder_is_gone_through_once_and_again(tmp_path: Path) -> None:
    for folder, symbol in (("b", "W"), ("a", "Au"), ("a", "Ag")):
        (tmp_path / folder).mkdir(exist_ok=True)
        write(tmp_path / folder / f"{symbol}.cif", bulk(symbol, cubic=True))
    write(tmp_path / "POSCAR", bulk("Si", cubic=True), format="vasp")
    (tmp_path / "README.md").write_text("not a crystal")
    (tmp_path / ".hidden.cif").write_text("not a crystal")
    wanted = block(tmp_path, count=6)
    check(wanted)
    rows = [item.row for item in made(wanted, *range(6))]
    found = {row["file"]: (row["folder"], row["formula"], row["space_group"]) for row in rows[:4]}
    assert found == {
        "POSCAR": ("", "Si", 227),
        "a/Ag.cif": ("a", "Ag", 225),
        "a/Au.cif": ("a", "Au", 225),
        "b/W.cif": ("b", "W", 229),
    }
    assert [row["file"] for row in rows[4:]] == [row["file"] for row in rows[:2]]
    assert {row["crystal_system"] for row in rows} == {"cubic"}
    assert files.elements(wanted) == {"Si", "Ag", "Au", "W"}


def test_the_columns_are_those_that_the_block_says(gold: Path, slab: Atoms, tmp_path: Path) -> None:
    write(tmp_path / "slab.xyz", slab)
    for wanted in (block(gold), block(tmp_path / "slab.xyz", fill=False)):
        (item,) = made(wanted)
        assert list(item.row) == list(StructureFiles.COLUMNS)
        for name, column in StructureFiles.COLUMNS.items():
            assert isinstance(item.row[name], str) == column.text, name


def test_names_and_content_are_in_the_identity(gold: Path) -> None:
    folder = gold.parent

    def hashed() -> str:
        return identity("structures", block(folder), {}, 0)

    before = hashed()
    (folder / "README.md").write_text("about gold")
    assert hashed() == before
    (folder / "fcc").mkdir()
    gold.rename(folder / "fcc" / "Au.cif")
    moved = hashed()
    assert moved != before
    write(folder / "fcc" / "Au.cif", bulk("Au", a=4.09, cubic=True))
    assert hashed() not in (before, moved)


def test_a_changed_file_is_read_again(gold: Path) -> None:
    before = made(block(gold, zone_axes=[[0, 0, 1]]))[0].row["n_atoms"]
    write(gold, bulk("Au", a=2 * GOLD, cubic=True))
    assert made(block(gold, zone_axes=[[0, 0, 1]]))[0].row["n_atoms"] < before / 6


# --- whole structures -------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "format"), [("s.xyz", None), ("s.cif", None), ("s.xyz", "prismatic")])
def test_a_whole_structure_is_taken_as_it_is(slab: Atoms, tmp_path: Path, name: str, format: Any) -> None:
    write(tmp_path / "first.xyz", slab)
    (first,) = made(block(tmp_path / "first.xyz", fill=False, substrate_elements=["C"]))
    structure = structure_from(first.arrays, first.row)
    assert structure.positions == pytest.approx(slab.positions, abs=1e-4)
    assert structure.numbers.tolist() == slab.numbers.tolist()
    assert structure.object_id.tolist() == [0] * 100 + [1] * 20
    assert structure.cell.tolist() == [EDGE, EDGE, 14.0]
    assert structure.periodic
    write_structure(structure, tmp_path / name, format)
    (again,) = made(block(tmp_path / name, fill=False))
    assert atoms_of(again) == pytest.approx(slab.positions, abs=2e-4)
    assert again.arrays["object_id"].values.tolist() == [1] * 120
    assert again.row["space_group"] == 0
    assert again.row["zone_axis"] == ""


def test_stored_arrays_say_what_they_are(slab: Atoms, tmp_path: Path) -> None:
    write(tmp_path / "s.xyz", slab)
    (item,) = made(block(tmp_path / "s.xyz", fill=False))
    positions, cell = item.arrays["positions"], item.arrays["cell"]
    assert positions.axes[1].labels == ("x", "y", "z")
    assert (positions.unit, positions.ragged) == ("Å", True)
    assert (cell.unit, cell.ragged) == ("Å", False)
    structure = structure_from(item.arrays, item.row)
    assert structure.content_hash() == item.row["content_hash"]
    for name, array in item_arrays(structure).items():
        assert array.values.tobytes() == item.arrays[name].values.tobytes()
    without = {key: value for key, value in item.row.items() if key != "periodic"}
    assert structure_from(item.arrays, without).periodic


# --- what is refused --------------------------------------------------------------------------


PARTIAL = """data_x
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'P 1'
loop_
_atom_site_type_symbol
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Au Au1 0 0 0 0.5
"""
LATTICE = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3'
TEXTS = {
    "garbage.cif": ("this is no crystal", "cannot be read as a crystal"),
    "empty.cif": ("", "cannot be read as a structure"),
    "partial.cif": (PARTIAL, "partially occupied"),
    "POSCAR": ("Au\n1.0\n4 0 0\n0 4 0\n", "cannot be read as a structure"),
    "free.xyz": ("1\n\nAu 0 0 0\n", "no cell"),
    "none.xyz": (f"0\n{LATTICE}\n", "no atoms|cannot be read"),
    "nan.xyz": (f"1\n{LATTICE}\nAu nan 0 0\n", "not finite"),
    "close.xyz": (f"2\n{LATTICE}\nAu 0 0 0\nAu 3.9 0 0\n", r"0\.1 Å apart"),
    "partial.xyz": ("Prismatic\n4 4 4\n79 1 1 1 0.5 0.0\n14 3 3 3 1 0.0\n-1\n", "partially occupied"),
    "unknown.xyz": (f"1\n{LATTICE}\nX 0 0 0\n", "no known element"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_that_is_no_crystal_is_refused_by_name(tmp_path: Path, name: str) -> None:
    text, said = TEXTS[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(StructureError, match=f"^path: .*{name}.*{said}.*(allowed|needed)") as caught:
        check(block(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.traj", "a.xyz", "a.cif", "a.pckl"])
def test_nothing_is_unpickled(tmp_path: Path, name: str) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "harm"),)

    (tmp_path / name).write_bytes(pickle.dumps(Harm()))
    with pytest.raises(StructureError, match=f"^path: .*{name}"):
        check(block(tmp_path / name))
    assert not (tmp_path / "harm").exists()


def test_a_trajectory_is_refused_even_under_another_name(tmp_path: Path) -> None:
    with Trajectory(tmp_path / "a.traj", "w") as file:
        file.write(bulk("Au"))
    with pytest.raises(StructureError, match=r"a\.traj' is of the format traj"):
        check(block(tmp_path))
    (tmp_path / "a.traj").rename(tmp_path / "a.cif")
    with pytest.raises(StructureError, match=r"a\.cif' is of the format traj"):
        check(block(tmp_path))


def test_a_folder_without_structures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none yet")
    with pytest.raises(StructureError, match=r"^path: found no structure in the folder .*allowed: .*\.cif"):
        check(block(tmp_path))
    with pytest.raises(StructureError, match=r"^path: .*gone' cannot be read.*No such file"):
        check(block(tmp_path / "gone"))


def test_a_slab_is_no_crystal(slab: Atoms, tmp_path: Path) -> None:
    write(tmp_path / "slab.xyz", slab)
    with pytest.raises(StructureError, match=r"^path: .*slab\.xyz' has no cell that repeats.*fill: false"):
        check(block(tmp_path))


def changed_cell(slab: Atoms, cell: Any) -> Atoms:
    slab.set_cell(cell)
    return slab


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ([EDGE + 0.02, EDGE, 14], "30.02 by 30 Å; allowed: the field_of_view, 30 Å, within 0.01 Å"),
        ([[EDGE, 0, 0], [5, EDGE, 0], [0, 0, 14]], "allowed: an orthogonal one"),
        ([EDGE, EDGE, 8], "along the beam; allowed: 0 to the height of the cell, 8 Å"),
    ],
)
def test_a_whole_structure_fits_the_field(slab: Atoms, tmp_path: Path, cell: Any, said: str) -> None:
    write(tmp_path / "slab.xyz", changed_cell(slab, cell))
    with pytest.raises(StructureError, match=f"^path: .*slab.*{said}"):
        check(block(tmp_path, fill=False))


def test_atoms_that_meet_across_an_edge_are_refused_but_not_through_the_vacuum(tmp_path: Path) -> None:
    beam = Atoms("Au2", positions=[[1, 1, 0.0], [1, 1, 10.0]], cell=[EDGE, EDGE, 10.0], pbc=True)
    write(tmp_path / "s.xyz", beam)
    check(block(tmp_path, fill=False))
    beam.positions[1] = [EDGE + 0.8, 1, 0.0]
    write(tmp_path / "s.xyz", beam)
    with pytest.raises(StructureError, match=r"0\.2 Å apart"):
        check(block(tmp_path, fill=False))


def test_substrate_elements_are_in_the_files(slab: Atoms, tmp_path: Path) -> None:
    write(tmp_path / "slab.xyz", slab)
    check(block(tmp_path, fill=False, substrate_elements=["C"]))
    with pytest.raises(StructureError, match=r"^substrate_elements: found 'Si'; allowed: .*Au, C"):
        check(block(tmp_path, fill=False, substrate_elements=["C", "Si"]))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"thickness": None}, "thickness is left out"),
        ({"fill": False, "thickness": 20}, "thickness is given"),
        ({"fill": False, "vacuum": 2}, "vacuum is given"),
        ({"fill": False, "zone_axes": [[0, 0, 1]]}, "zone_axes is given"),
        ({"substrate_elements": ["C"]}, "substrate_elements are given"),
        ({"tilt": 2}, "tilt is given without zone_axes"),
        ({"in_plane": 0}, "in_plane is given without zone_axes"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"{said}.*allowed"):
        block(tmp_path, **keys)


# --- groups -----------------------------------------------------------------------------------


def group_of(path: Path, **keys: Any) -> tuple[str, float]:
    found = files.groups(block(path, **keys), "0123abcd", 5, 6)
    return found.names[0], float(found.positions[0])


def test_a_crystal_is_one_group_however_it_is_written(tmp_path: Path) -> None:
    crystal = bulk("GaAs", "zincblende", a=5.65)
    turned = crystal.copy()
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    reduced = crystal * (2, 1, 1)
    niggli_reduce(reduced)
    found = set()
    for number, atoms in enumerate([crystal, bulk("GaAs", "zincblende", a=5.65, cubic=True), turned, reduced]):
        path = tmp_path / str(number) / ("POSCAR" if number % 2 else "x.cif")
        path.parent.mkdir()
        write(path, atoms)
        found.add(group_of(path, thickness=10 + number, zone_axes=[[0, 0, 1]]))
    (only,) = found
    number = int.from_bytes(hashlib.blake2b(b"GaAs, space group 216", digest_size=8).digest(), "big")
    assert only == ("GaAs, space group 216", pytest.approx(number / 2**64, abs=1e-15))


def test_polymorphs_are_two_groups(tmp_path: Path) -> None:
    write(tmp_path / "zb.cif", bulk("ZnS", "zincblende", a=5.41))
    write(tmp_path / "w.cif", bulk("ZnS", "wurtzite", a=3.82, c=6.26))
    assert group_of(tmp_path / "zb.cif")[0] == "ZnS, space group 216"
    assert group_of(tmp_path / "w.cif")[0] == "ZnS, space group 186"


def test_groups_follow_the_items(tmp_path: Path) -> None:
    for symbol in ("Ag", "Au", "W"):
        write(tmp_path / f"{symbol}.cif", bulk(symbol))
    whole, part = files.groups(block(tmp_path), "0", 0, 7), files.groups(block(tmp_path), "1", 2, 7)
    assert [name.split(",")[0] for name in whole.names] == ["Ag", "Au", "W", "Ag", "Au", "W", "Ag"]
    assert part.names == whole.names[2:]
    assert part.positions.tolist() == whole.positions[2:].tolist()


def test_whole_structures_are_groups_by_what_they_hold(slab: Atoms, tmp_path: Path) -> None:
    write(tmp_path / "a.xyz", slab)
    write(tmp_path / "b.xyz", slab[np.random.default_rng(0).permutation(len(slab))])
    slab.positions[0, 2] += 0.01
    write(tmp_path / "c.xyz", slab)
    first, second, third = (group_of(tmp_path / f"{name}.xyz", fill=False) for name in "abc")
    assert first == second
    assert first != third
    assert group_of(tmp_path / "a.xyz", fill=False, substrate_elements=["C"]) == first


def test_the_first_items_are_of_all_folders() -> None:
    """So that a preview, or a study at scale laptop, is not all of one type."""
    rows = [item.row for item in made(block(ROOT / "resources" / "crystals", count=12), *range(12))]
    assert {row["folder"] for row in rows} == {"bcc", "fcc", "hcp", "zincblende"}


def test_positions_of_groups_are_even_and_below_one() -> None:
    positions = np.sort(groups_by_content([f"group {number}" for number in range(2000)]).positions)
    assert 0 <= positions[0] <= positions[-1] < 1
    assert np.abs(positions - (np.arange(2000) + 0.5) / 2000).max() < 1.63 / np.sqrt(2000)  # Kolmogorov, 1 %


def test_every_type_of_the_crystals_that_come_along_is_on_every_side() -> None:
    wanted = block(ROOT / "resources" / "crystals", count=24)
    sides: dict[str, list[str]] = {}
    positions = files.groups(wanted, "0", 0, 24).positions
    for item, position in zip(made(wanted, *range(24)), positions, strict=True):
        side = "test" if position < 0.25 else "validation" if position < 0.45 else "train"
        sides.setdefault(item.row["folder"], []).append(side)
    assert sorted(sides) == ["bcc", "fcc", "hcp", "zincblende"]
    for found in sides.values():
        assert found.count("train") == 3
        assert {"test", "validation"} <= set(found)


# --- cost -------------------------------------------------------------------------------------


def test_cost_follows_the_atoms(gold: Path) -> None:
    small = files.cost(Node("structures", "own", block(gold), {}))
    wanted = block(gold, field_of_view=60.0, thickness={"uniform": [20, 60]})
    large = files.cost(Node("structures", "own", wanted, {}))
    atoms = np.mean([item.row["n_atoms"] for item in made(wanted, *range(8))])
    assert large.stored == pytest.approx(1500 + 10 * atoms, rel=0.3)
    assert large.stored - 1500 == pytest.approx(8 * (small.stored - 1500))
    assert large.memory > small.memory
    assert large.seconds > small.seconds


def test_height_is_that_of_the_cell(gold: Path, slab: Atoms, tmp_path: Path) -> None:
    wanted = block(gold, thickness={"uniform": [20, 60]}, vacuum=3.0)
    assert files.height(wanted) == pytest.approx(np.mean([i.row["cell_height"] for i in made(wanted, *range(40))]), 0.1)
    write(tmp_path / "slab.xyz", slab)
    assert files.height(block(tmp_path / "slab.xyz", fill=False)) == pytest.approx(14.0)
