"""Monolayers: prototypes, files, what fills the field, and labels."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.build import mx2
from ase.data import covalent_radii
from ase.db import connect
from ase.io import write
from pydantic import ValidationError
from scipy.spatial import cKDTree

from exitwave.config.graph import Node
from exitwave.config.monolayers import Monolayers
from exitwave.errors import StructureError
from exitwave.items import Asked
from exitwave.structures import monolayers
from exitwave.structures.monolayer_library import CLOSEST, FARTHEST, balanced, closeness, library


def block(**keys):
    return Monolayers.model_validate({"kind": "monolayer", "count": 10, "field_of_view": 30, **keys})


def made(wanted, numbers=(0,), seed=0):
    asked = [Asked(number, (np.random.default_rng([seed, number]),)) for number in numbers]
    return list(monolayers.make(wanted, asked))


# --- prototypes ---------------------------------------------------------------------------------


def test_the_library_fills_all_classes_with_layers_that_atoms_have_room_in():
    layers = library()
    assert len({layer.group for layer in layers}) == len(layers) >= 2000
    counts = Counter(layer.bravais for layer in layers)
    assert len(counts) == 5
    assert min(counts.values()) >= 200
    assert all(CLOSEST <= closeness(layer) <= FARTHEST for layer in layers)


def test_known_members_have_the_lattices_that_are_known():
    known = {
        "graphene C": 2.46,
        "boron nitride BN": 2.50,
        "MoS2, 2H MoS2": 3.16,
        "CdI2, 1T TiS2": 3.41,
        "FeSe FeSe": 3.77,
    }
    by_name = {f"{layer.prototype} {layer.formula}": layer for layer in library()}
    for name, length in known.items():
        assert np.linalg.norm(by_name[name].cell[0]) == pytest.approx(length, rel=0.05), name


def test_classes_take_turns():
    ordered = balanced(library())
    assert len({layer.bravais for layer in ordered[:5]}) == 5
    assert set(Counter(layer.bravais for layer in ordered).values()) == {len(ordered) // 5}
    assert {layer.group for layer in ordered} == {layer.group for layer in library()}


def test_prototypes_can_be_chosen_and_unknown_ones_are_named():
    items = made(block(prototypes=["MoS2, 2H"], balanced=False), range(3))
    assert {item.row["prototype"] for item in items} == {"MoS2, 2H"}
    with pytest.raises(StructureError, match=r"^prototypes: found 'MoS2'; allowed: such as .*'MoS2, 2H'"):
        monolayers.check(Node("structures", "sheets", block(prototypes=["MoS2"]), {}))


def test_an_element_that_not_all_layers_have_cannot_be_replaced():
    wanted = block(prototypes=["MoS2, 2H"], dopants=[{"element": "Re", "host": "Mo", "fraction": 0.1}])
    with pytest.raises(StructureError, match=r"^dopants.host: found 'Mo', which \d+ of 10 monolayers do not have"):
        monolayers.check(Node("structures", "sheets", wanted, {}))


# --- items --------------------------------------------------------------------------------------


def test_the_layer_fills_the_square_with_the_density_of_its_cell():
    wanted = block(field_of_view=60)
    for item, layer in zip(made(wanted, range(5)), balanced(library()), strict=False):
        positions = item.arrays["positions"].values
        assert (positions[:, :2] >= 0).all()
        assert (positions[:, :2] < 60).all()
        assert len(positions) == pytest.approx(60**2 * len(layer.numbers) / abs(np.linalg.det(layer.cell)), rel=0.05)
        quarters = np.histogram2d(*positions[:, :2].T, bins=2, range=[[0, 60]] * 2)[0]
        assert quarters.max() < 1.2 * quarters.min()
        tree = cKDTree(positions)
        distances, nearest = tree.query(positions, k=2)
        numbers = item.arrays["numbers"].values
        radii = covalent_radii[numbers] + covalent_radii[numbers[nearest[:, 1]]]
        assert (distances[:, 1] / radii).min() > CLOSEST


def test_labels_are_those_of_the_prototype():
    wanted = block(count=40)
    layers = balanced(library())
    for number, item in enumerate(made(wanted, range(40))):
        # LaIS is the one whose columns weigh the same: from above it repeats in half its cell.
        assert item.row["bravais"] == layers[number].bravais or item.row["formula"] == "LaIS"
        assert item.row["bravais_margin"] >= 0.005
        assert item.row["lattice_a"] <= item.row["lattice_b"]
        assert 60 - 1e-6 <= item.row["lattice_gamma"] <= 90 + 1e-6


def test_strain_changes_the_class_and_is_told():
    (plain,) = made(block(prototypes=["graphene"]))
    (strained,) = made(block(prototypes=["graphene"], strain={"choice": [-0.03, 0.03]}), seed=3)
    row = strained.row
    assert plain.row["bravais"] == "hexagonal"
    assert {row["strain_first"], row["strain_second"]} == {-0.03, 0.03}
    assert row["bravais"] in ("rhombus", "oblique")
    assert row["strain_hexagonal"] == pytest.approx(0.03, rel=0.1)


def test_in_plane_turns_the_layer():
    first, second = (made(block(prototypes=["graphene"], in_plane=angle))[0] for angle in (0, 20))
    bonds = []
    for item in (first, second):
        positions = item.arrays["positions"].values[:, :2].astype(float)
        inner = positions[(np.abs(positions - 15) < 8).all(axis=1)]
        ways = positions[cKDTree(positions).query(inner, k=4)[1][:, 1:]] - inner[:, None]
        bonds.append(np.degrees(np.arctan2(ways[..., 1], ways[..., 0])).ravel() % 60)
    assert np.ptp(bonds[0] - bonds[0][0]) < 0.1 or np.ptp((bonds[0] + 30) % 60) < 0.1
    assert (np.median((bonds[1] + 30) % 60) - np.median((bonds[0] + 30) % 60)) % 60 == pytest.approx(20, abs=0.1)


def test_a_tilt_elongates_columns_and_keeps_labels():
    flat, tilted = (made(block(prototypes=["MoS2, 2H"], tilt=tilt, in_plane=0))[0] for tilt in (0, 100))
    spread = []
    for item in (flat, tilted):
        numbers = item.arrays["numbers"].values
        anion = Counter(numbers.tolist()).most_common(1)[0][0]
        anions = item.arrays["positions"].values[numbers == anion].astype(float)
        spread.append(np.median(cKDTree(anions[:, :2]).query(anions[:, :2], k=2)[0][:, 1]))
    thick = np.ptp(flat.arrays["positions"].values[:, 2])
    assert spread[0] < 1e-3
    assert spread[1] == pytest.approx(thick * np.sin(0.1), rel=0.05)
    assert tilted.row["bravais"] == flat.row["bravais"]


def test_layers_vacancies_dopants_and_carbon():
    wanted = block(prototypes=["graphene"], balanced=False, layers=2, stacking="shifted", vacancies=0.05,
        dopants=[{"element": "N", "fraction": 0.1}], contamination=8)  # fmt: skip
    (item,) = made(wanted, seed=1)
    arrays, row = item.arrays, item.row
    layer, carbon = arrays["object_id"].values == 1, arrays["object_id"].values == 0
    height = arrays["positions"].values[:, 2]
    assert row["layers"] == 2
    assert np.ptp(height[layer]) == pytest.approx(wanted.interlayer_gap, abs=0.01)
    assert set(arrays["grain"].values[layer]) == {0, 1}
    assert row["vacancies"] == pytest.approx(0.05 * (layer.sum() + row["vacancies"]), abs=1)
    assert (arrays["numbers"].values[layer] == 7).sum() == row["dopants"] == pytest.approx(0.1 * layer.sum(), abs=1)
    assert row["contamination_thickness"] == 8
    assert height[carbon].min() > height[layer].max() + 2
    assert np.ptp(height[carbon]) == pytest.approx(8, abs=1.5)
    assert row["cell_height"] == pytest.approx(np.ptp(height) + 2 * wanted.vacuum, abs=0.01)


def test_ripples_move_atoms_along_the_beam_alone():
    flat, rippled = (made(block(prototypes=["graphene"], ripple=rms))[0] for rms in (0, 0.8))
    assert np.array_equal(flat.arrays["positions"].values[:, :2], rippled.arrays["positions"].values[:, :2])
    assert 0.2 < rippled.arrays["positions"].values[:, 2].std() < 2


# --- files --------------------------------------------------------------------------------------


def layer_of_mos2():
    atoms = mx2("MoS2", "2H", a=3.18, thickness=3.13, vacuum=8)
    atoms.pbc = True
    return atoms


@pytest.mark.parametrize(
    "how", ["POSCAR", "layer.cif", "layer.xyz", "two.xyz", "tilted.vasp", "other_axis.vasp", "many.json", "many.db"]
)
def test_a_layer_is_the_same_from_every_kind_of_file(tmp_path, how):
    atoms = layer_of_mos2()
    if how == "two.xyz":  # periodic in two directions only, and no third vector
        atoms.pbc = (True, True, False)
        atoms.cell[2] = 0
    if how == "tilted.vasp":  # the third vector leans
        atoms.cell[2] += [1.2, 2.1, 0]
    if how == "other_axis.vasp":
        atoms = Atoms(
            atoms.numbers, atoms.positions[:, [2, 0, 1]], cell=atoms.cell.array[[2, 0, 1]][:, [2, 0, 1]], pbc=True
        )
        atoms.positions -= [7.5, 0, 0]  # the layer goes over the edge of the cell
        atoms.wrap()
    if how == "many.json":
        held = {"lattice_mat": atoms.cell.tolist(), "coords": atoms.positions.tolist(), "cartesian": True,
            "elements": atoms.get_chemical_symbols()}  # fmt: skip
        (tmp_path / how).write_text(json.dumps([{"jid": "JVASP-664", "atoms": held}]))
    elif how == "many.db":
        with connect(tmp_path / how) as database:
            database.write(atoms)
    else:
        write(tmp_path / how, atoms, format="vasp" if how == "POSCAR" else None)
    wanted = block(source="files", path=tmp_path, count=2)
    monolayers.check(Node("structures", "sheets", wanted, {}))
    (item,) = made(wanted)
    assert item.row["file"].startswith(how)
    assert (item.row["formula"], item.row["prototype"]) == ("MoS2", "AB2, layer group 78")
    assert (item.row["bravais"], item.row["lattice_a"]) == ("hexagonal", pytest.approx(3.18, abs=1e-3))
    assert np.ptp(item.arrays["positions"].values[:, 2]) == pytest.approx(3.13, abs=0.01)


def test_what_is_no_layer_is_refused_and_named(tmp_path):
    bulk = Atoms("NaCl", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[3.9, 3.9, 3.9], pbc=True)
    write(tmp_path / "bulk.vasp", bulk)
    with pytest.raises(
        StructureError, match=r"^path: '.*bulk.vasp' has no empty slab wider than .* allowed: cells with 5 Å"
    ):
        made(block(source="files", path=tmp_path))


def test_one_bad_entry_of_many_is_left_out(tmp_path, caplog):
    bulk = Atoms("NaCl", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[3.9, 3.9, 3.9], pbc=True)
    with connect(tmp_path / "many.db") as database:
        for atoms in (bulk, layer_of_mos2()):
            database.write(atoms)
    items = made(block(source="files", path=tmp_path / "many.db"), range(2))
    assert [item.row["file"] for item in items] == ["many.db#2"] * 2
    assert "many.db#1' has no empty slab" in caplog.text


@pytest.mark.parametrize("text", ["{}", "[{}]", "[{", '[{"jid": 1, "atoms": {"elements": ["Mo"]}}]'])
def test_a_damaged_collection_is_named(tmp_path, text):
    (tmp_path / "many.json").write_text(text)
    with pytest.raises(StructureError, match=r"many.json' cannot be read as a collection of structures"):
        made(block(source="files", path=tmp_path / "many.json"))


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(StructureError, match=r"^path: found no structure in the folder"):
        made(block(source="files", path=tmp_path))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"path": "x"}, "path is given with source prototypes"),
        ({"source": "files"}, "path is left out with source files"),
        ({"source": "files", "path": "x", "prototypes": ["graphene"]}, "prototypes is given with source files"),
        ({"stacking": "shifted"}, "stacking is shifted with layers 1"),
    ],
)
def test_keys_that_contradict_each_other(keys, said):
    with pytest.raises(ValidationError, match=said):
        block(**keys)


def test_formula_and_prototype_stay_on_one_side_of_a_split(tmp_path):
    wanted = block(count=5000)
    found = monolayers.groups(wanted, "0", 0, 5000)
    first = {}
    for name, position in zip(found.names, found.positions, strict=True):
        assert first.setdefault(name, position) == position
    assert len(first) > 1500
