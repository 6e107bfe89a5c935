"""Structures of kind multilayer: one specimen in all boxes, its strain, its alloys, and its tilt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

from exitwave.config.crystals import Multilayer
from exitwave.config.graph import Node
from exitwave.errors import StructureError
from exitwave.items import Asked, Item
from exitwave.structures import multilayer
from exitwave.structures.specimen import box_of, place_of, specimen_of
from exitwave.structures.structure import structure_from
from exitwave.structures.unit_cell import UnitCell, unit_cell_from
from exitwave.waves.beams import structure_factors

A = 5.6034
"""Lattice constant of the substrate of Munshi et al. [Å]."""
LAYERS = [{"width": 40.0, "strain": 0.01, "alloy": {"Si": {"Ge": 0.5}}}, {"width": 50.0, "strain": -0.01}]
FIELD, THICKNESS = 24.0, 60.0


def block(**keys: Any) -> Multilayer:
    given: dict[str, Any] = {
        "kind": "multilayer",
        "count": 30,
        "field_of_view": FIELD,
        "lattice_constant": A,
        "layers": LAYERS,
        "repeats": 2,
        "substrate": {"Si": {"Ge": 0.25}},
        "thickness": THICKNESS,
        "scan": {"start": -25, "columns": 19, "step": 10},
    }
    return Multilayer.model_validate({**given, **keys})


def check(wanted: Multilayer) -> None:
    multilayer.check(Node("structures", "own", wanted, {}))


def made(wanted: Multilayer, *numbers: int) -> list[Item]:
    return list(multilayer.make(wanted, [Asked(one, (np.random.default_rng(one),)) for one in numbers]))


def in_specimen(wanted: Multilayer, item: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Atoms of an aligned box in the frame of the specimen, with elements and layers."""
    place = place_of(wanted, item)
    positions, numbers, layers = box_of(wanted, specimen_of(wanted), place)
    return positions + np.array([place.x - FIELD / 2, place.y - FIELD / 2, 0]), numbers, layers


def planes(coordinates: np.ndarray) -> np.ndarray:
    """Places of atomic planes, each the mean of its atoms."""
    ordered = np.sort(coordinates)
    return np.array([part.mean() for part in np.split(ordered, np.flatnonzero(np.diff(ordered) > 0.1) + 1)])


def tilt_of(positions: np.ndarray, period: float) -> np.ndarray:
    """Direction that the zone axis has in a box, from pairs of atoms a period apart."""
    pairs = cKDTree(positions).query_pairs(period + 0.02, output_type="ndarray")
    steps = positions[pairs[:, 1]] - positions[pairs[:, 0]]
    steps *= np.sign(steps[:, 2:])
    along = steps[(np.linalg.norm(steps, axis=1) > period - 0.02) & (steps[:, 2] > 0.98 * period)]
    assert len(along) > 100
    mean = along.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def test_boxes_cut_one_specimen() -> None:
    wanted = block()
    one, other = in_specimen(wanted, 3), in_specimen(wanted, 4)
    left, right = other[0][:, 0].min(), one[0][:, 0].max()
    shared = [atoms[0][:, 0] > left - 1e-4 for atoms in (one,)] + [other[0][:, 0] < right + 1e-4]
    assert shared[0].sum() == shared[1].sum() > 700
    distances, partners = cKDTree(other[0][shared[1]]).query(one[0][shared[0]])
    assert distances.max() < 1e-9
    for i in (1, 2):
        np.testing.assert_array_equal(one[i][shared[0]], other[i][shared[1]][partners])
    # The next row too.
    below = in_specimen(wanted, 3 + 19)
    distances, partners = cKDTree(below[0]).query(one[0])
    same = distances < 1e-9
    assert same.sum() > 700
    np.testing.assert_array_equal(one[1][same], below[1][partners[same]])
    # Another specimen has other atoms on the same sites.
    another = in_specimen(block(specimen=1), 3)
    np.testing.assert_array_equal(another[0], one[0])
    assert 0.2 < (another[1] != one[1]).mean() < 0.6


def test_planes_have_the_spacing_of_their_strain_and_none_along_the_interfaces() -> None:
    wanted = block()
    atoms = [in_specimen(wanted, item) for item in range(19)]
    positions, layers = (np.concatenate([one[i] for one in atoms]) for i in (0, 2))
    strains = {0: 0.0, 1: 0.01, 2: -0.01, 3: 0.01, 4: -0.01}
    assert set(np.unique(layers)) == set(strains)
    for layer, strain in strains.items():
        spacings = np.diff(planes(positions[layers == layer][:, 0]))
        np.testing.assert_allclose(spacings / (A / 4) - 1, strain, atol=1e-6)
    for axis, spacing in ((1, A / 2**0.5 / 4), (2, A / 2**0.5 / 2)):  # (0-11) planes are half as far apart with (011)
        found = planes(in_specimen(wanted, 8)[0][:, axis])
        whole = np.diff(found) / (A / 2**0.5 / 2)
        np.testing.assert_allclose(whole, np.round(whole), atol=1e-6)
        assert spacing <= np.diff(found).min() + 1e-6
    # Across an interface the map goes on: no gap and no overlap.
    assert np.diff(planes(positions[:, 0])).max() < A / 4 * 1.0101
    assert np.diff(planes(positions[:, 0])).min() > A / 4 * 0.9899


def test_interfaces_are_where_the_widths_put_them() -> None:
    wanted = block()
    atoms = [in_specimen(wanted, item) for item in range(19)]
    positions, layers = (np.concatenate([one[i] for one in atoms]) for i in (0, 2))
    for layer, (low, high) in enumerate([(-40, 0), (0, 40), (40, 90), (90, 130), (130, 180)]):
        x = positions[layers == layer][:, 0]
        assert low - 1e-5 <= x.min()
        assert x.max() <= high
        assert x.max() > min(high, 155) - 5


def test_alloys_are_random_with_their_composition() -> None:
    wanted = block(thickness=200.0, field_of_view=40.0, scan={"start": -60, "columns": 2, "step": 80})
    for item, expected in ((0, 0.25), (1, 0.5)):
        _, numbers, layers = box_of(wanted, specimen_of(wanted), place_of(wanted, item))
        germanium = numbers[layers == item] == 32
        assert abs(germanium.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / len(germanium))
    # Neighbours know nothing of each other, nor do sites that are one index apart.
    positions, numbers, layers = box_of(wanted, specimen_of(wanted), place_of(wanted, 0))
    for reach in (2.5, 4.0):
        pairs = cKDTree(positions).query_pairs(reach, output_type="ndarray")
        both = (numbers[pairs] == 32).all(axis=1).mean()
        assert abs(both - 0.25**2) < 0.012
    assert set(numbers) == {14, 32}
    pure = block(scan={"start": 65, "columns": 1, "step": 1})
    assert set(made(pure, 0)[0].arrays["numbers"].values[made(pure, 0)[0].arrays["grain"].values == 2]) == {14}


def test_only_the_sites_of_the_host_are_replaced() -> None:
    layers = [{"width": 100, "alloy": {"Ga": {"In": 0.2, "Al": 0.3}}}]
    wanted = block(
        material="GaAs", lattice_constant=None, substrate={}, layers=layers, scan={"columns": 1, "start": 50}
    )
    check(wanted)
    numbers = made(wanted, 0)[0].arrays["numbers"].values
    parts = {number: (numbers == number).mean() for number in (33, 31, 49, 13)}
    assert parts[33] == pytest.approx(0.5, abs=0.04)  # planes at the faces count
    assert [parts[31], parts[49], parts[13]] == pytest.approx([0.25, 0.1, 0.15], abs=0.03)
    assert multilayer.elements(wanted) == {"Ga", "As", "In", "Al"}


def test_the_box_is_full_and_the_probe_is_in_its_middle() -> None:
    wanted = block()
    first = made(wanted, 0)[0]
    structure = structure_from(first.arrays, first.row)
    assert structure.periodic is False
    np.testing.assert_array_equal(structure.cell, [FIELD, FIELD, THICKNESS])
    # Of the positions in the specimen too, so that planes at the faces average out.
    counts = [len(box_of(wanted, specimen_of(wanted), place_of(wanted, item))[1]) for item in range(0, 19 * 12, 19)]
    assert np.mean(counts) == pytest.approx(8 / A**3 * FIELD**2 * THICKNESS, rel=0.06)
    assert structure.positions.min() >= 0
    assert np.all(structure.positions.max(axis=0) <= structure.cell)
    assert np.all(structure.positions.max(axis=0) > structure.cell - A / 2)
    assert np.all(structure.positions.min(axis=0) < A / 2)


@pytest.mark.parametrize("item", [0, 5, 11, 18])
def test_the_tilt_is_that_of_the_table_and_what_positions_show(item: int) -> None:
    wanted = block(mistilt={"magnitude": [7, 77], "azimuth": [45, 315]}, field_of_view=20.0)
    row, part = made(wanted, item)[0].row, item / 18
    assert row["mistilt"] == pytest.approx(7 + 70 * part)
    azimuth = np.radians(45 + 270 * part)
    expected = row["mistilt"] * np.array([np.cos(azimuth), np.sin(azimuth)])
    assert [row["mistilt_x"], row["mistilt_y"]] == pytest.approx(expected.tolist())
    positions, _, _ = box_of(wanted, specimen_of(wanted), place_of(wanted, item))
    found = tilt_of(positions, A / 2**0.5)
    assert 1e3 * np.arccos(found[2]) == pytest.approx(row["mistilt"], abs=0.01)
    assert np.arctan2(found[1], found[0]) == pytest.approx(np.arctan2(expected[1], expected[0]), abs=1e-4)


def test_an_aligned_scan_has_no_tilt() -> None:
    item = made(block(), 7)[0]
    assert (item.row["mistilt"], item.row["mistilt_x"], item.row["mistilt_y"]) == (0, 0, 0)
    assert tilt_of(box_of(block(), specimen_of(block()), place_of(block(), 7))[0], A / 2**0.5)[2] == pytest.approx(1)


def lattice_is_that_of_the_atoms(item: Item, unit: UnitCell, around: np.ndarray) -> None:
    """Atoms within 6 Å of a place are sites of the local lattice."""
    positions = item.arrays["positions"].values.astype(float)
    near = positions[np.linalg.norm(positions - around, axis=1) < 6]
    assert len(near) > 20
    coordinates = (near - near[0]) @ np.linalg.inv(unit.vectors)
    sites = unit.fractional - unit.fractional[:, None]
    residues = coordinates[:, None] - sites.reshape(-1, 3)
    residues -= np.round(residues)
    assert np.abs(residues @ unit.vectors).max(axis=2).min(axis=1).max() < 2e-3  # as stored, in single precision


@pytest.mark.parametrize(("item", "strain"), [(0, 0.0), (4, 0.01), (9, -0.01), (13, 0.01)])
def test_the_local_lattice_is_that_of_the_atoms_around_the_probe(item: int, strain: float) -> None:
    wanted = block(mistilt={"magnitude": [7, 77], "azimuth": [45, 315]}, field_of_view=20.0)
    found = made(wanted, item)[0]
    unit = unit_cell_from(found.arrays)
    assert found.row["strain_xx"] == pytest.approx(strain, abs=1e-12)
    assert found.row["strain_yy"] == found.row["strain_xy"] == found.row["rotation"] == 0
    lattice_is_that_of_the_atoms(found, unit, np.array([10, 10, THICKNESS / 2]))
    assert unit.volume == pytest.approx(A**3 / 4 * (1 + strain))


@pytest.mark.parametrize("item", [0, 4, 9, 18])
def test_projected_strain_is_what_a_fit_to_the_disks_gives(item: int) -> None:
    wanted = block(mistilt={"magnitude": [7, 77], "azimuth": [45, 315]}, field_of_view=20.0)
    row, unit = made(wanted, item)[0].row, unit_cell_from(made(wanted, item)[0].arrays)
    straight = unit_cell_from(made(block(), 0)[0].arrays)  # the aligned substrate
    indices = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), -1).reshape(-1, 3)
    zone = np.abs((indices @ straight.reciprocal)[:, 2]) < 1e-9
    before, after = ((indices[zone] @ one.reciprocal)[:, :2] for one in (straight, unit))
    fitted = np.linalg.lstsq(before, after, rcond=None)[0].T  # g = fitted @ g_0
    gradient = np.linalg.inv(fitted).T
    strain = (gradient + gradient.T) / 2 - np.eye(2)
    found = [row[f"projected_{name}"] for name in ("xx", "yy", "xy", "rotation")]
    expected = [strain[0, 0], strain[1, 1], strain[0, 1], (gradient[1, 0] - gradient[0, 1]) / 2]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    # Of a tilt the disks show a strain of its own, in the second order of the angle.
    own = row["projected_xx"] + row["projected_yy"] - row["strain_xx"] - row["strain_yy"]
    assert own == pytest.approx((row["mistilt"] / 1e3) ** 2 / 2, rel=0.02)


def test_places_go_row_by_row_and_know_their_layer() -> None:
    wanted = block()
    rows = [item.row for item in made(wanted, 0, 2, 3, 7, 18, 19, 21)]
    assert [row["scan_column"] for row in rows] == [0, 2, 3, 7, 18, 0, 2]
    assert [row["scan_row"] for row in rows] == [0, 0, 0, 0, 0, 1, 1]
    assert [row["scan_x"] for row in rows] == [-25, -5, 5, 45, 155, -25, -5]
    assert [row["scan_y"] for row in rows] == [0, 0, 0, 0, 0, 10, 10]
    assert [row["layer"] for row in rows] == [0, 0, 1, 2, 4, 0, 0]
    assert [row["interface_distance"] for row in rows] == [25, 5, 5, 5, 25, 25, 5]
    apart = block(scan={"start": -25, "columns": 19, "step": 10, "row_step": 33})
    assert [item.row["scan_y"] for item in made(apart, 2, 19, 38)] == [0, 33, 66]


def test_items_are_the_same_in_any_order() -> None:
    wanted = block(mistilt={})
    forward, backward = made(wanted, 2, 6, 30), made(wanted, 30, 6, 2)[::-1]
    for one, other in zip(forward, backward, strict=True):
        assert one.row == other.row
        assert all(one.arrays[name].values.tobytes() == other.arrays[name].values.tobytes() for name in one.arrays)


def test_a_specimen_is_one_group_however_it_is_tilted_and_scanned() -> None:
    aligned, twisted = block(), block(mistilt={}, scan={"start": 0, "columns": 4}, thickness=20)
    found = multilayer.groups(aligned, "ab", 3, 9)
    assert len(set(found.names)) == 1
    assert len(found.names) == len(found.positions) == 6
    assert multilayer.groups(twisted, "cd", 0, 1).names == found.names[:1]
    assert multilayer.groups(block(specimen=1), "ab", 0, 1).names != found.names[:1]


def test_labels_are_those_of_the_mean_crystal() -> None:
    """|V_g| of Si0.3Ge0.7 is the mean of those of both, weighted with their shares."""
    wanted = block(layers=[{"width": 200, "alloy": {"Si": {"Ge": 0.7}}}], repeats=1)
    alloy = unit_cell_from(made(wanted, 10)[0].arrays)
    assert alloy.occupancy is not None
    hkl = np.array([[1, 1, 1], [2, 2, 0], [0, 2, 2]])
    found, *pure = (
        structure_factors(cell, hkl, np.zeros(len(cell.numbers)), "lobato")
        for cell in (alloy, *(_all_of(alloy, number) for number in (14, 32)))
    )
    assert found == pytest.approx(0.3 * pure[0] + 0.7 * pure[1])


def _all_of(alloy: UnitCell, number: int) -> UnitCell:
    of_element = alloy.numbers == number
    return UnitCell(alloy.cell, alloy.fractional[of_element], alloy.numbers[of_element], alloy.orientation)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"material": "Unobtainium"}, r"^material is 'Unobtainium', which is not in the library"),
        ({"substrate": {"Ge": {"Si": 0.5}}}, r"^substrate: found 'Ge' replaced; allowed: elements of Si, Si$"),
        ({"substrate": {"Si": {"Zz": 0.5}}}, r"^substrate: found 'Zz'; allowed: chemical symbols"),
        (
            {"layers": [{"width": 300}, {"width": 9, "alloy": {"Si": {"X": 0.5}}}]},
            r"^layers\[1\]\.alloy: found 'X'; allowed: chemical symbols",
        ),
        ({"field_of_view": 2.0}, r"^field_of_view: found 2 Å; allowed: the cell of Si, 3\.96 Å, or more$"),
        (
            {"scan": {"start": 0, "columns": 18, "step": 10}},
            r"^scan: found boxes that reach 182 Å above the substrate; allowed: up to 180 Å, the top of the stack$",
        ),
        (
            {"mistilt": {"magnitude": [0, 300], "azimuth": [0, 0]}, "thickness": 120},
            r"^scan: found boxes that reach 18\d\.\d Å above",
        ),
    ],
)
def test_what_cannot_be_made_is_refused(keys: dict[str, Any], said: str) -> None:
    check(block())
    with pytest.raises(StructureError, match=said):
        check(block(**keys))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"growth": [1, 1, 1]}, "allowed: a plane that holds the zone axis"),
        ({"substrate": {"Si": {"Ge": 0.6, "C": 0.6}}}, "takes 1.2 of the places of Si; allowed: 1 in all, or less"),
        ({"repeats": 200}, "there are 400 layers in all; allowed: 255 or less"),
        ({"layers": [{"width": 10, "strain": 0.5}]}, "less than or equal to 0.2"),
    ],
)
def test_keys_that_are_impossible_are_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        block(**keys)
