"""Structures of kind crystals: which crystal an item is of and how it is turned, files, groups, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.io import write

from exitwave.config.crystals import Crystals, Orientations
from exitwave.config.graph import Node
from exitwave.errors import StructureError
from exitwave.items import Asked, Item, item_rng
from exitwave.structures import crystals
from exitwave.structures.unit_cell import UnitCell, unit_cell_from

FEW = ("NaCl", "Fluorite", "A_cF8_227_a", "Magnesium")
PARTIAL = """data_half
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Au1 Au 0 0 0 0.5
Cu1 Cu 0 0 0 0.5
"""


def block(**keys: Any) -> Crystals:
    if keys.get("source", "prototypes") == "prototypes":
        keys = {"prototypes": list(FEW), "substitutions": 1, **keys}
    return Crystals.model_validate({"kind": "crystals", "count": 40, **keys})


def check(wanted: Crystals) -> None:
    crystals.check(Node("structures", "own", wanted, {}))


def made(wanted: Crystals, numbers: list[int] | range) -> list[Item]:
    return list(crystals.make(wanted, [Asked(one, (item_rng(3, "structures", "1f", one),)) for one in numbers]))


def cell(item: Item) -> UnitCell:
    return unit_cell_from(item.arrays)


def angle(item: Item, conventional: np.ndarray) -> float:
    """Angle of the zone axis of an item to the beam [mrad]."""
    axis = cell(item).orientation @ (np.array([int(index) for index in item.row["zone_axis"].split()]) @ conventional)
    return float(1e3 * np.arctan2(np.hypot(axis[0], axis[1]), axis[2]))


def test_items_take_the_crystals_in_turn_and_each_is_seen_from_every_slot() -> None:
    wanted = block(crystals=4, count=24, orientations={"zone_axes": 2, "random": 1})
    items = made(wanted, range(12))
    assert [item.row["crystal"] for item in items] == [0, 1, 2, 3] * 3
    for number in range(4):
        rows = [item.row for item in items if item.row["crystal"] == number]
        assert sorted(row["orientation_kind"] for row in rows) == ["random", "zone_axis", "zone_axis"]
        assert len({row["zone_axis"] for row in rows if row["orientation_kind"] == "zone_axis"}) == 2
        assert len({row["formula"] for row in rows}) == len({row["prototype"] for row in rows}) == 1
    # The first items are of all slots.
    assert {item.row["orientation_kind"] for item in items[:4]} == {"random", "zone_axis"}


@pytest.mark.parametrize(
    ("axes", "random", "kinds"),
    [(5, 5, "zrzrzrzrzr"), (2, 1, "zzr"), (1, 3, "zrrr"), (0, 2, "rr"), (3, 0, "zzz"), (4, 2, "zzrzzr")],
)
def test_zone_axes_and_random_orientations_take_turns(axes: int, random: int, kinds: str) -> None:
    orientations = Orientations(zone_axes=axes, random=random)
    slots = [crystals.slot(orientations, number) for number in range(len(kinds))]
    assert "".join("r" if place is None else "z" for place in slots) == kinds
    assert [place for place in slots if place is not None] == list(range(axes))


def test_no_two_items_of_a_crystal_are_of_one_orientation() -> None:
    items = made(block(crystals=3, count=60), range(60))
    for number in range(3):
        turned = [cell(item).orientation for item in items if item.row["crystal"] == number]
        close = [np.abs(one - other).max() for i, one in enumerate(turned) for other in turned[:i]]
        assert len(turned) == 20
        assert min(close) > 1e-3


def test_orientations_are_rotations_and_the_mistilt_is_that_of_the_table() -> None:
    wanted = block(crystals=8, orientations={"zone_axes": 3, "random": 2, "mistilt": {"uniform": [1, 17]}})
    known = {one.formula: one for one in crystals._crystals(wanted, 40)}
    tilts = []
    for item in made(wanted, range(40)):
        unit = cell(item)
        np.testing.assert_allclose(unit.orientation @ unit.orientation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(unit.orientation) == pytest.approx(1)
        standard = known[item.row["formula"]]
        assert angle(item, standard.conventional) == pytest.approx(item.row["mistilt"], abs=1e-6)
        # The same direction in indices of the stored cell.
        stored = np.array([int(index) for index in item.row["zone_axis_primitive"].split()]) @ unit.cell
        conventional = np.array([int(index) for index in item.row["zone_axis"].split()]) @ standard.conventional
        assert np.linalg.norm(np.cross(stored, conventional)) < 1e-6
        if item.row["orientation_kind"] == "zone_axis":
            tilts.append(item.row["mistilt"])
    assert min(tilts) >= 1
    assert max(tilts) <= 17
    assert np.ptp(tilts) > 8


def test_random_orientations_are_named_by_the_nearest_low_index_axis() -> None:
    wanted = block(prototypes=["A_cF8_227_a"], substitutions=0, orientations={"zone_axes": 0, "random": 1})
    items = made(wanted, range(40))
    assert max(abs(int(index)) for item in items for index in item.row["zone_axis"].split()) == 3
    assert 30 < np.median([item.row["mistilt"] for item in items]) < 200


@pytest.mark.parametrize("in_plane", [0.0, 35.0])
def test_the_angle_in_the_plane_is_that_of_the_config(in_plane: float) -> None:
    keys = {"prototypes": ["A_cF8_227_a"], "substitutions": 0}
    turned, straight = (
        cell(made(block(**keys, orientations={"zone_axes": 1, "random": 0, "in_plane": value}), [5])[0]).orientation
        for value in (in_plane, 0.0)
    )
    step = turned @ straight.T
    assert np.degrees(np.arctan2(step[1, 0], step[0, 0])) == pytest.approx(in_plane, abs=1e-9)
    assert step[2, 2] == pytest.approx(1)


def test_items_are_the_same_bytes_in_any_order_and_whatever_the_count() -> None:
    wanted = block(orientations={"mistilt": {"uniform": [0, 10]}})
    forward, backward = made(wanted, range(12)), made(wanted.model_copy(update={"count": 1}), range(11, -1, -1))
    for one, other in zip(forward, backward[::-1], strict=True):
        assert one.row == other.row
        assert all(one.arrays[name].values.tobytes() == other.arrays[name].values.tobytes() for name in one.arrays)


def test_prototypes_are_the_groups() -> None:
    wanted = block(substitutions=3, count=30)
    items = made(wanted, range(30))
    found = crystals.groups(wanted, "ab", 0, 30)
    assert found.names == [item.row["prototype"] for item in items]
    of_name = {}
    for name, position in zip(found.names, found.positions, strict=True):
        assert of_name.setdefault(name, position) == position
    assert len(of_name) == len(set(of_name.values())) == 4
    assert crystals.groups(wanted, "cd", 7, 9).positions.tolist() == found.positions[7:9].tolist()


def test_what_is_told_of_the_crystals() -> None:
    wanted = block(crystals=2, count=2)
    items = made(wanted, range(2))
    assert crystals.elements(wanted) == set().union(*(one.elements for one in crystals._crystals(wanted, 2)))
    told = list(crystals.crystals(wanted))
    assert len(told) == 2
    for text, item in zip(told, items, strict=True):
        assert text.startswith(f"{item.row['source']}: ")
        assert item.row["volume"] == pytest.approx(abs(np.linalg.det(item.arrays["unit_cell"].values)))
        assert item.row["n_atoms"] == len(item.arrays["unit_cell_numbers"].values)
        assert item.row["content_hash"] == cell(item).content_hash()


def test_only_crystals_that_are_seen_are_told_of(tmp_path: Path) -> None:
    for name in ("Au", "Cu", "Ni"):
        write(tmp_path / f"{name}.cif", bulk(name))
    wanted = block(source="files", path=tmp_path, count=2)
    formulas = {item.row["formula"] for item in made(wanted, range(2))}
    assert len(formulas) == len(list(crystals.crystals(wanted))) == 2
    assert crystals.elements(wanted) == formulas


# --- files ------------------------------------------------------------------------------------


def test_a_crystal_of_a_file_is_the_same_whatever_its_cell(tmp_path: Path) -> None:
    gold = bulk("Au", a=4.08)
    write(tmp_path / "primitive.cif", gold)
    write(tmp_path / "large.vasp", make_supercell(bulk("Au", a=4.08, cubic=True), np.diag([2, 1, 1])))
    write(tmp_path / "salt.cif", bulk("NaCl", "rocksalt", a=5.64, cubic=True))
    wanted = block(source="files", path=tmp_path, count=3)
    check(wanted)
    items = made(wanted, range(3))
    rows = {item.row["source"]: item.row for item in items}
    assert set(rows) == {"primitive.cif", "large.vasp", "salt.cif"}
    assert {rows[name]["n_atoms"] for name in ("primitive.cif", "large.vasp")} == {1}
    assert rows["salt.cif"]["n_atoms"] == 2
    assert rows["salt.cif"]["prototype"] == "NaCl, space group 225"
    cells = [item.arrays["unit_cell"].values for item in items if item.row["formula"] == "Au"]
    np.testing.assert_allclose(cells[0], cells[1], atol=1e-5)
    found = crystals.groups(wanted, "ab", 0, 3)
    assert sorted(found.names) == ["Au, space group 225", "Au, space group 225", "NaCl, space group 225"]


def test_the_cell_of_a_file_is_turned_and_not_strained(tmp_path: Path) -> None:
    odd = Atoms("NaCl", scaled_positions=[[0.02, 0.1, 0.05], [0.45, 0.52, 0.61]], cell=[3.1, 3.9, 5.2, 81, 95, 74])
    write(tmp_path / "odd.cif", odd)
    (item,) = made(block(source="files", path=tmp_path / "odd.cif", count=1), [0])
    found = Atoms(item.arrays["unit_cell_numbers"].values, cell=cell(item).vectors, pbc=True)
    found.set_scaled_positions(item.arrays["fractional"].values)
    assert found.get_volume() == pytest.approx(odd.get_volume(), rel=1e-5)
    odd.pbc = True
    distances = [sorted(atoms.repeat(3).get_all_distances(mic=True).ravel().round(3))[:400] for atoms in (odd, found)]
    np.testing.assert_allclose(distances[0], distances[1], atol=2e-3)


def test_files_that_are_no_crystals_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "Au.cif", bulk("Au", a=4.08))
    wanted = block(source="files", path=tmp_path)
    check(wanted)
    (tmp_path / "half.cif").write_text(PARTIAL)
    with pytest.raises(StructureError, match=r"^path: .*half\.cif.*occup"):
        check(wanted)
    (tmp_path / "half.cif").write_text("nothing")
    with pytest.raises(StructureError, match=r"^path: .*half\.cif.*cannot be read"):
        check(wanted)
    (tmp_path / "half.cif").unlink()
    with pytest.raises(StructureError, match=r"^path: 'Au\.cif' has a primitive cell of 16\.98 Å³; allowed: up to"):
        check(block(source="files", path=tmp_path, largest_volume=10))
    (tmp_path / "Au.cif").unlink()
    with pytest.raises(StructureError, match=r"^path: found no structure in the folder"):
        check(wanted)


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"prototypes": ["Unobtainium"]}, r"^prototypes: found 'Unobtainium'; allowed: names such as"),
        ({"crystals": 500}, r"^crystals: found 500; allowed: up to \d, which is all there are$"),
        ({"largest_volume": 3.0}, r"^largest_volume: found 3 Å³, which leaves no crystal; allowed: a larger one$"),
    ],
)
def test_a_library_without_what_is_wanted_is_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(StructureError, match=said):
        check(block(**keys))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"source": "files"}, "path is left out with source files"),
        ({"source": "materials_project"}, "materials is left out"),
        ({"path": "a.cif"}, "path is given with source prototypes"),
        ({"source": "files", "path": "a.cif", "prototypes": ["NaCl"]}, "prototypes is given with source files"),
        ({"source": "files", "path": "a.cif", "substitutions": 2}, "substitutions is given with source files"),
        ({"source": "materials_project", "materials": ["../x"]}, "materials holds '../x'; allowed: identifiers"),
        (
            {"source": "materials_project", "materials": ["mp-1", "mp-1"]},
            "materials holds 'mp-1' 2 times; allowed: once",
        ),
        ({"orientations": {"zone_axes": 0, "random": 0}}, "zone_axes and random are both 0"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Crystals.model_validate({"kind": "crystals", "count": 1, **keys})
